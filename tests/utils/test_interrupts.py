"""Interruptions that Python drops are neither lost nor shown."""

import signal
import subprocess
import sys

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
