"""The artifact store."""

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from worldmodels.store.artifacts import Artifact, load_artifact, verified
from worldmodels.store.building import Store, locked
from worldmodels.store.fingerprint import digest
from worldmodels.utils.errors import DamagedFile, Failure

INPUTS = {"size": 3, "nested": {"a": [1, 2]}}


class Work:
    """Writes files, and counts how often it was asked to."""

    def __init__(self, **files: str) -> None:
        self.files = files or {"data": "abc"}
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        for name, text in self.files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return {"calls": self.calls}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artifacts")


def build(store, work, label="thing", inputs=INPUTS, parents=None, facts=None, stage="vision") -> Artifact:
    return store.build(stage, label, inputs, parents or {}, work, facts or {})


def test_an_artifact_is_built_once(store, caplog):
    caplog.set_level(logging.INFO)
    work = Work()
    first, second = build(store, work), build(store, work)
    assert work.calls == 1
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path
    assert first.manifest == second.manifest == load_artifact(first.path).manifest
    assert second.summary == {"calls": 1}
    assert (first.path / "data").read_text() == "abc"
    assert f"vision: reused {first.name}" in caplog.text


@pytest.mark.parametrize(
    "change",
    [{"inputs": {"size": 4, "nested": {"a": [1, 2]}}}, {"inputs": {**INPUTS, "new": None}}, {"stage": "memory"}],
)
def test_other_inputs_build_another(store, change):
    work = Work()
    first, second = build(store, work), build(store, work, **change)
    assert work.calls == 2
    assert first.path != second.path
    assert not second.cached
    assert build(store, work).path == first.path  # and the first one is still there
    assert work.calls == 2


@pytest.mark.parametrize("change", [{"label": "another name"}, {"facts": {"scale": "x"}}])
def test_label_and_facts_do_not_count(store, change):
    work = Work()
    first, second = build(store, work), build(store, work, **change)
    assert work.calls == 1
    assert second.path == first.path


def test_the_order_of_inputs_does_not_count(store):
    work = Work()
    build(store, work)
    assert build(store, work, inputs=dict(reversed(INPUTS.items()))).cached


def test_the_content_of_parents_counts_and_their_label_does_not(store):
    work = Work()
    parents = [
        build(store, Work(data=text), label=label, inputs={"number": number}, stage="collect")
        for number, (text, label) in enumerate([("same", "a"), ("same", "b"), ("other", "a")])
    ]
    assert parents[0].content == parents[1].content != parents[2].content
    children = [build(store, work, parents={"dataset": parent}) for parent in parents]
    assert [child.cached for child in children] == [False, True, False]
    role = build(store, work, parents={"source": parents[0]})
    assert not role.cached
    assert children[2].parent("dataset").path == parents[2].path


def test_the_manifest_says_where_an_artifact_comes_from(store):
    parent = build(store, Work(), stage="collect")
    made = build(
        store, Work(data="x", sub__more="y"), parents={"dataset": parent}, facts={"seed": 5, "config": {"a": 1}}
    )
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["stage"] == "vision"
    assert manifest["label"] == "thing"
    assert manifest["inputs"] == INPUTS
    assert manifest["parents"] == {"dataset": {"stage": "collect", "artifact": parent.name, "content": parent.content}}
    assert manifest["summary"] == {"calls": 1}
    assert (manifest["seed"], manifest["config"]) == (5, {"a": 1})
    assert set(manifest["files"]) == {"data", "sub/more"}
    assert set(manifest["versions"]) >= {"worldmodels", "python", "torch", "lightning", "gymnasium", "numpy"}
    assert manifest["seconds"] >= 0
    assert manifest["created"].endswith("+00:00")
    assert "git" in manifest
    assert manifest["code"] == {"files": {}, "versions": {}}
    assert made.name == f"thing-{manifest['key'][:10]}-{digest(manifest['code'])}"
    assert made.path.parent.name == "vision"


def test_failed_work_is_kept_and_gone_on_with(store):
    seen = []

    def work(folder):
        seen.append(sorted(path.name for path in folder.iterdir()))
        (folder / f"part{len(seen)}").write_text("finished")
        if len(seen) < 3:
            raise RuntimeError("out of luck")
        return {}

    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of luck"):
            build(store, work)
        (folder,) = (store.root / "vision").glob("thing-*")
        assert folder.name.endswith(".building")
        assert not (folder / "manifest.json").exists()
    made = build(store, work, label="asked for under another name")
    assert seen == [[], ["part1"], ["part1", "part2"]]
    assert [path.name for path in (store.root / "vision").glob("[!.]*")] == [made.name]
    assert set(made.manifest["files"]) == {"part1", "part2", "part3"}


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("abd"), lambda path: path.unlink()])
def test_damaged_and_deleted_files_are_named_and_made_anew(store, caplog, spoil):
    work = Work(data="abc", other="def")
    first = build(store, work)
    kept = (first.path / "other").stat().st_ino
    spoil(first.path / "data")
    seen = []

    def mend(folder):
        seen.extend(path.name for path in folder.iterdir())
        (folder / "data").write_text("abc")
        return {}

    second = build(store, mend)
    assert seen == ["other"]  # what was whole is there to go on from, what was not is gone
    assert not second.cached
    assert second.content == first.content
    assert (second.path / "other").stat().st_ino == kept
    assert str(first.path / "data") in caplog.text
    assert "other is damaged" not in caplog.text
    assert build(store, work).cached


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text('{"files": ')])
def test_an_artifact_without_its_manifest_is_made_anew(store, spoil):
    work = Work()
    first = build(store, work)
    spoil(first.path / "manifest.json")
    second = build(store, work)
    assert (second.path, second.content, second.cached) == (first.path, first.content, False)
    assert build(store, work).cached


def test_the_record_is_for_people_and_does_not_count(store):
    work = Work(data="abc", record__epochs="1")
    first = build(store, work)
    assert set(first.manifest["files"]) == {"data"}
    (first.path / "record" / "epochs").write_text("edited")
    assert build(store, work).cached
    other = build(store, Work(data="abc", record__epochs="2"), inputs={"other": 1})
    assert other.content == first.content


def test_what_a_killed_run_left_half_written_does_not_count_and_goes(store):
    whole = build(store, Work(), inputs={"number": 1})

    def killed(folder):
        (folder / "record").mkdir()
        for name in ("manifest.json.123.partial", "data.123.partial", "record/epochs.jsonl.123.partial"):
            (folder / name).write_text('{"stage": "vis')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(store, killed)
    made = build(store, Work())
    assert made.content == whole.content
    assert not list(made.path.rglob("*.partial"))


BUILDER = """
import logging, sys
from pathlib import Path
from worldmodels.store.building import Store

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")

def work(folder):
    print("working", flush=True)
    sys.stdin.readline()
    (folder / "data").write_text("abc")
    return {}

artifact = Store(Path(sys.argv[1])).build("vision", "thing", {"a": 1}, {}, work, {})
print("cached" if artifact.cached else "built", flush=True)
"""


class Builder:
    """Another process that asks for an artifact; its work lasts until it is told to go on."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-c", BUILDER, str(root)]
        self.process = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def says(self, *lines: str) -> None:
        """The next lines it prints hold these words."""
        for words in lines:
            assert words in self.process.stdout.readline()

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def test_two_processes_build_an_artifact_once(tmp_path):
    first = Builder(tmp_path)
    with first.process:
        first.says("vision: building thing", "working")
        second = Builder(tmp_path)
        with second.process:
            second.says("waiting for another run that builds vision thing")
            first.go_on()
            first.says("built")
            second.says("vision: reused thing", "cached")
    (folder,) = (tmp_path / "vision").glob("thing-*")
    assert (folder / "data").read_text() == "abc"


def test_the_lock_of_a_killed_process_is_free(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first = Builder(tmp_path)
    with first.process:
        first.says("vision: building thing", "working")
        first.process.kill()
    assert [path.suffix for path in (tmp_path / "vision").glob("thing-*")] == [".building"]
    work = Work()
    made = Store(tmp_path).build("vision", "thing", {"a": 1}, {}, work, {})
    assert work.calls == 1
    assert not made.cached
    assert "waiting" not in caplog.text


def test_one_process_at_a_time_adds_to_a_finished_artifact(store):
    """The lock is that of its builders."""
    made = build(store, Work())
    with locked(made.path):
        (lock,) = made.path.parent.glob(".*.lease")
        assert json.loads(lock.read_text())["process"] == os.getpid()
    assert not lock.exists()


@pytest.fixture
def read_only():
    """``read_only(folder)``: nobody may write there. A superuser becomes nobody for that."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # which nobody may enter, unlike pytest's own
    folder.chmod(0o755)
    yield folder, lambda: os.seteuid(65534) if os.geteuid() == 0 else None
    if os.getuid() == 0:
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_store_that_may_only_be_read_is_used_and_what_it_lacks_is_told_in_a_line(read_only):
    folder, become_nobody = read_only
    store, work = Store(folder / "artifacts"), Work()
    build(store, work)
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    become_nobody()
    assert build(store, work).cached
    with pytest.raises(Failure, match=r"vision thing could not be written to .*: Permission denied") as raised:
        build(store, work, inputs={"other": 1})
    assert "\n" not in str(raised.value)
    assert work.calls == 1


def test_a_full_disk_is_told_in_a_line_and_the_same_work_goes_on(store):
    def full(folder):
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Failure, match=r"vision thing could not be written to .*: No space left on device, .* MB free"):
        build(store, full)
    seen = []

    def room(folder):
        seen.extend(path.name for path in folder.iterdir())
        return {}

    assert not build(store, room).cached
    assert seen == ["half"]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_manifest_that_names_files_elsewhere_neither_reads_nor_removes_them(store, tmp_path, absolute):
    """Its artifact is made anew, as any damaged one."""
    other = tmp_path / "precious"
    other.write_text("kept")
    path = build(store, Work()).path
    manifest = json.loads((path / "manifest.json").read_text())
    name = str(other) if absolute else os.path.relpath(other, path)
    (path / "manifest.json").write_text(json.dumps(manifest | {"files": {name: "0" * 64}}))
    with pytest.raises(DamagedFile, match=r"manifest\.json is damaged"):
        verified(path)
    assert not build(store, Work()).cached
    assert other.read_text() == "kept"


@pytest.mark.parametrize("files", [None, 3, [], ["a"], {"a": 1, "b": None}])
def test_a_manifest_of_another_form_is_a_damaged_one(store, files):
    path = build(store, Work()).path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
    with pytest.raises(DamagedFile, match="is damaged or missing"):
        verified(path)
