"""Writing where there is no disk space or no permission fails with one line that says what, where and why."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldmodels.utils.errors import Failure, chain

CHANGES_RESULTS = False
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
CODES = (*NO_ROOM, *FORBIDDEN, errno.EIO, errno.ENAMETOOLONG)
REASONS = {os.strerror(code): code for code in CODES}
folder_settings = ["paths.outputs", "hydra.run.dir"]  # of this command, that choose where it writes
TORCH = re.compile(r"PytorchStreamWriter failed|unexpected pos \d+ vs")  # all that torch says of a full disk


def trouble(error: BaseException) -> tuple[str, str | None] | None:
    """Why nothing could be written, and the file where it is known; None if the error is another one. Libraries wrap
    the system's error, or keep only its words.
    """
    for cause in chain(error):
        if isinstance(cause, OSError) and cause.errno in CODES:
            file = cause.filename2 or cause.filename  # of two, the second is the copy
            return os.strerror(cause.errno), file if isinstance(file, str) else None
        if not isinstance(cause, Failure) and (reason := next((x for x in REASONS if x in str(cause)), None)):
            return reason, None
        if TORCH.search(str(cause)):
            return os.strerror(errno.ENOSPC), None
    return None


@contextmanager
def writing(what: str, folder: Path, setting: str | None = None) -> Iterator[None]:
    """Raise `Failure` where what is done inside cannot write: ``what`` was to be written to ``folder``. ``setting``:
    what chooses it, where that is another one than for all that the command writes.
    """
    try:
        yield
    except Exception as error:
        if any(isinstance(cause, Failure) for cause in chain(error)) or (problem := trouble(error)) is None:
            raise
        reason, file = problem
        raise Failure(explained(what, file or folder, reason, setting)) from error


def explained(what: str, path: Path | str, reason: str, setting: str | None = None) -> str:
    """The line for people."""
    code, free = REASONS.get(reason), _free(Path(path))
    if code in NO_ROOM:
        room = f", {free / 2**20:,.0f} MB free" if free is not None else ""
        fix = f"{room}; make room, and the same command goes on"
    elif code in FORBIDDEN:
        fix = f"; allow it, or choose another folder by {setting or ' or '.join(folder_settings)}"
    else:
        fix = ""
    return f"{what} could not be written to {path}: {reason}{fix}"


def no_folder(setting: str, error: OSError) -> str:
    """The line for a folder that can be none, whoever asks, such as one in /proc or below a file. ``setting``: what
    the user wrote.
    """
    reason = error.strerror or type(error).__name__
    return f"{setting} cannot be written ({reason}): expected a folder one may write to"


def _free(path: Path) -> int | None:
    """Bytes free where ``path`` is, or would be."""
    for folder in (path, *path.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def remove_empty_folders(below: Path) -> None:
    """Remove the folders above ``below`` that are empty, up to the working folder."""
    working_folder = Path.cwd()
    for parent in below.absolute().parents:
        if working_folder.is_relative_to(parent):
            break
        try:
            parent.rmdir()
        except OSError:
            break
