"""Locks: one holder at a time, and those of dead owners are taken over, by any file system's means."""

import io
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from helpers import ROOT

from worldmodels.store import locks
from worldmodels.store.locks import held

HOLD = """
import sys, time
from pathlib import Path
from worldmodels.store.locks import held
with held(Path(sys.argv[1]), "a thing"):
    print("held", flush=True)
    time.sleep(600)
"""
SOON = 30.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".key-code.lease"


def foreign(path, **changed):
    """A lock of a job on another machine."""
    owner = {"host": "node17", "process": os.getpid(), "began": None, "token": "theirs", "since": "2026-01-01 00:00:00"}
    path.write_text(json.dumps({**owner, **changed}))


@pytest.mark.parametrize("links", [True, False])
def test_one_holds_it_at_a_time_and_nothing_is_left(path, links, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links")))
    inside, most = [], []

    def work():
        for _ in range(5):
            with held(path, "a thing"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert len(most) == 20
    assert max(most) == 1
    assert list(path.parent.iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_is_taken_over_at_once(path, caplog):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with held(path, "a thing"):
        assert time.monotonic() - started < 5
    assert f"took over the lock of process {holder.pid} on" in caplog.text


def test_a_dead_node_s_lock_is_taken_over_when_its_lease_has_run_out(path, monkeypatch, caplog):
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.4)
    foreign(path)
    os.utime(path, (0, 4e9))  # the clock of the other machine is of no matter
    started = time.monotonic()
    with held(path, "a thing"):
        assert time.monotonic() - started >= 0.4
    assert "took over the lock of process" in caplog.text


def test_the_lock_of_a_node_that_renews_its_lease_is_waited_for(path, monkeypatch):
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.5)
    foreign(path)
    ended = threading.Event()

    def renew():
        for _ in range(15):
            time.sleep(0.1)
            os.utime(path)
        ended.set()
        path.unlink()

    threading.Thread(target=renew).start()
    with held(path, "a thing"):
        assert ended.is_set()


def test_a_holder_renews_its_lease(path, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.02)
    with held(path, "a thing"):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + SOON
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_another_process_of_the_same_number_is_no_owner(path):
    foreign(path, host=locks.socket.gethostname(), processes=locks._processes(), began="earlier")
    with held(path, "a thing"):
        assert json.loads(path.read_text())["token"] != "theirs"


def test_a_container_of_the_same_name_is_another_machine(path, monkeypatch):
    """Its processes are not seen from here, and yet they live."""
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.3)
    foreign(path, host=locks.socket.gethostname(), process=2**22 + 1, processes="another container")
    started = time.monotonic()
    with held(path, "a thing"):
        assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_leaves_nothing(path, links, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    def full(self, *_, **__):
        self.touch()
        Full().write(b"")

    def opened(file, _):
        os.close(file)
        return Full()

    if links:
        monkeypatch.setattr(locks.Path, "write_text", full)
    else:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links")))
        monkeypatch.setattr(locks.os, "fdopen", opened)
    with pytest.raises(OSError, match="No space left"), held(path, "a thing"):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_somebody_made_meanwhile_is_not_removed(path):
    foreign(path, token="new")
    locks._remove(path, {"token": "old"})
    assert json.loads(path.read_text())["token"] == "new"


def test_a_folder_of_somebody_else_is_an_error(tmp_path):
    with pytest.raises(OSError), held(tmp_path / "nowhere" / "lease", "a thing"):
        pass
