"""Interruptions that Python drops are neither lost nor shown."""

import subprocess
import sys

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
