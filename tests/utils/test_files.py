"""Files that are whole."""

import json
import os

import pytest

from worldmodels.utils.files import replacing, write_bytes, write_json


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")], {"a": ({"b": float("nan")},)}])
def test_what_is_not_finite_is_null_for_any_reader(value, tmp_path):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    write_json(tmp_path / "file.json", {"value": value, "fine": [1, 2.5, "NaN", None, True]})
    read = json.loads((tmp_path / "file.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["fine"] == [1, 2.5, "NaN", None, True]
    assert "null" in json.dumps(read["value"])


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_text("newer")
        raise KeyboardInterrupt
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_takes_a_files_place_before_it_is_on_the_disk(tmp_path, monkeypatch):
    path, synced = tmp_path / "file", []

    def fsync(file):
        assert not path.exists()
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(path, b"abc")
    assert synced == [3] and path.read_bytes() == b"abc"
