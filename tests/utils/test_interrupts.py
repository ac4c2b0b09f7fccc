"""Interruptions that Python drops are neither lost nor shown."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodels.utils import interrupts

DROPPED = """
import os, signal, weakref
from worldmodels.utils import interrupts

interrupts.install()
class Thing: ...
thing = Thing()
kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
del thing
{after}
print("requested", interrupts.requested())
try:
    interrupts.check()
except KeyboardInterrupt:
    print("raised")
"""

FORK_SERVER = """
from multiprocessing import forkserver
from pathlib import Path
from worldmodels.utils import interrupts

with interrupts.held_back():
    forkserver.ensure_running()
for process in ("self", forkserver._forkserver._forkserver_pid):
    status = Path(f"/proc/{process}/status").read_text()
    print(status.split("SigBlk:")[1].split()[0])
"""


def run(after: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DROPPED.format(after=after)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_an_interruption_in_a_callback_is_raised_later_and_not_shown() -> None:
    ended = run("")
    assert ended.stdout == "requested True\nraised\n"
    assert ended.stderr == ""


def test_what_else_goes_wrong_in_a_callback_is_shown() -> None:
    ended = run("other = Thing(); keep = weakref.ref(other, lambda _: 1 / 0); del other")
    assert "ZeroDivisionError" in ended.stderr


def test_a_process_that_starts_meanwhile_is_not_interrupted() -> None:
    waiting = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('went on')"
    with interrupts.held_back():
        started = subprocess.run([sys.executable, "-S", "-c", waiting], capture_output=True, text=True, check=True)
    assert (started.stdout, started.stderr) == ("went on\n", "")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process blocks is read in /proc")
def test_a_fork_server_that_starts_meanwhile_never_hears_of_ctrl_c() -> None:
    """Nor do the workers that it forks. In a new interpreter, whose fork server is its own."""
    started = subprocess.run([sys.executable, "-c", FORK_SERVER], capture_output=True, text=True, check=True)
    ours, theirs = (int(mask, 16) for mask in started.stdout.split())
    interrupt = 1 << (signal.SIGINT - 1)
    assert not ours & interrupt
    assert theirs & interrupt
