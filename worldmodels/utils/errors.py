"""The kinds of failure a user can act on without reading a traceback."""

import os
import sysconfig
import traceback
from collections.abc import Iterator

CHANGES_RESULTS = False
MISTAKES = (SyntaxError, NameError, AttributeError, TypeError, ValueError)  # of a module that is imported


class ConfigError(ValueError):
    """The request makes no sense. The message is one line: what was got, what was expected, the fix. Exit code 2."""


class Failure(RuntimeError):
    """The machine failed, not the request and not the code: no disk space, no permission, no ffmpeg. The message is
    one line; once the cause is fixed, the same command goes on. Exit code 1.
    """


class TrainingDiverged(Failure):
    """Numbers are not finite. The message is one line that says where, and names the likely setting. Exit code 1."""


class DamagedFile(Failure):
    """A file of the artifact store cannot be read. The same command builds it anew."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, the latest first."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def described(error: BaseException) -> str:
    """An error of somebody's code in a line: its type, its words, and where that code raised it, or called what did."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    others = (f"{ours}{os.sep}", f"{sysconfig.get_paths()['stdlib']}{os.sep}", "<")
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(others) and f"{os.sep}site-packages{os.sep}" not in frame.filename
    ]
    place = f" at {os.path.basename(theirs[-1].filename)}:{theirs[-1].lineno}" if theirs else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no words'}{place}"
