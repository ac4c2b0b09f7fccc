"""An artifact that differs from another in its length alone goes on from the shorter one."""

from pathlib import Path
from typing import Any

import pytest

from worldmodels.store.artifacts import CHECKPOINT, RECORD, Artifact
from worldmodels.store.building import Length, Store

STEPS = Length(("part", "steps"))


class Counting:
    """Counts to ``steps``, a file in the record for each, and notes where it began."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def build(self, store: Store, steps: int, length: Length | None = STEPS, **others: Any) -> Artifact:
        def work(folder: Path) -> dict[str, Any]:
            (folder / RECORD).mkdir(exist_ok=True)
            begun = len(list((folder / RECORD).iterdir()))
            self.begun.append(begun)
            for step in range(begun, steps):
                (folder / RECORD / f"{step}").touch()
            (folder / CHECKPOINT).mkdir(exist_ok=True)
            (folder / "product").write_text(" ".join(sorted(path.name for path in (folder / RECORD).iterdir())))
            return {}

        inputs = {"part": {"steps": steps, "rate": others.pop("rate", 1)}}
        return store.build(
            "part", "p", inputs, others.pop("parents", {}), work, {}, others.pop("code", None), length=length
        )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_longer_one_goes_on_from_the_longest_shorter_one(store: Store, tmp_path: Path) -> None:
    counting = Counting()
    for steps in (3, 2, 5, 4):
        counting.build(store, steps)
    assert counting.begun == [0, 0, 3, 3]
    whole = Counting().build(Store(tmp_path / "other"), 5)
    assert counting.build(store, 5).content == whole.content
    assert not any((path / CHECKPOINT).exists() for path in (tmp_path / "part").glob("p-*"))


@pytest.mark.parametrize("change", ["rate", "parents", "code", "damage", "length"])
def test_what_differs_in_more_begins_anew(store: Store, change: str) -> None:
    counting = Counting()
    first = counting.build(store, 3)
    others: dict[str, Any] = {"rate": {"rate": 2}, "code": {"code": {"files": {"m": "1"}, "versions": {}}}}.get(
        change, {}
    )
    if change == "parents":
        others["parents"] = {"data": Artifact(first.path, {"stage": "s", "content": "c"}, cached=True)}
    if change == "damage":
        (first.path / "product").write_text("other")
    counting.build(store, 5, length=None if change == "length" else STEPS, **others)
    assert counting.begun == [0, 0]


def test_what_needs_a_checkpoint_goes_on_only_where_one_was_kept(store: Store, tmp_path: Path) -> None:
    counting, needs = Counting(), (RECORD, CHECKPOINT)
    counting.build(store, 2, Length(("part", "steps"), needs))
    counting.build(store, 3, Length(("part", "steps"), needs, keep=True))
    counting.build(store, 4, Length(("part", "steps"), needs))
    assert counting.begun == [0, 0, 3]
    assert len(list((tmp_path / "part").glob(f"p-*/{CHECKPOINT}"))) == 1
