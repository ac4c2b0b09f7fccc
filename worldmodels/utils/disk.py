"""What becomes of writing where there is no room, or no permission: one line that says what, where and why."""

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
TORCH = re.compile(r"PytorchStreamWriter failed|unexpected pos \d+ vs")  # all that torch says of a full disk


def trouble(error: BaseException) -> tuple[str, str | None] | None:
    """Why nothing could be written, and the file where it is known; None if the error is another one. Libraries wrap
    the system's error, or keep only its words.
    """
    for each in chain(error):
        if isinstance(each, OSError) and each.errno in CODES:
            file = each.filename2 or each.filename  # of two, the second is the copy
            return os.strerror(each.errno), file if isinstance(file, str) else None
        if not isinstance(each, Failure) and (said := next((x for x in REASONS if x in str(each)), None)):
            return said, None
        if TORCH.search(str(each)):
            return os.strerror(errno.ENOSPC), None
    return None


@contextmanager
def writing(what: str, folder: Path) -> Iterator[None]:
    """Raise `Failure` where what is done inside cannot write: ``what`` was to be written to ``folder``."""
    try:
        yield
    except Exception as error:
        if any(isinstance(each, Failure) for each in chain(error)) or (found := trouble(error)) is None:
            raise
        reason, file = found
        raise Failure(explained(what, file or folder, reason)) from error


def explained(what: str, place: Path | str, reason: str) -> str:
    """The line for people."""
    code, free = REASONS.get(reason), _free(Path(place))
    if code in NO_ROOM:
        room = f", {free / 2**20:,.0f} MB free" if free is not None else ""
        fix = f"{room}; make room, and the same command goes on"
    elif code in FORBIDDEN:
        fix = "; allow it, or choose another folder by paths.outputs or hydra.run.dir"
    else:
        fix = ""
    return f"{what} could not be written to {place}: {reason}{fix}"


def _free(path: Path) -> int | None:
    """Bytes free where ``path`` is, or would be."""
    for folder in (path, *path.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None
