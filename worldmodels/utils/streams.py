"""Standard input, output and error that cannot fail a command, whatever they are connected to."""

import io
import os
import sys
from typing import Any

CHANGES_RESULTS = False  # shows what is done


def use_utf8() -> None:
    """Start this command again in Python's UTF-8 mode where the locale has another encoding for text and for the names
    of folders, with which libraries fail. The terminal keeps its own encoding.
    """
    if os.name != "posix" or sys.getfilesystemencoding().lower().replace("-", "") == "utf8":
        return
    os.environ["PYTHONUTF8"] = "1"
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    if "PYTHONIOENCODING" not in os.environ and encoding.lower() not in ("ascii", "ansi_x3.4-1968", "646"):
        os.environ["PYTHONIOENCODING"] = encoding
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def prepare() -> None:
    """Replace characters that a terminal cannot show, drop output that nobody reads any more, and put the null device
    in place of a closed stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, before a file of ours does
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and not isinstance(stream.buffer, io.BytesIO):
            setattr(sys, name, _lasting(stream))


class _Lasting(io.FileIO):
    """A descriptor that becomes the null device once its reader is gone, say ``head``: the work goes on."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return memoryview(data).nbytes


def _lasting(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    if os.name != "posix":
        stream.reconfigure(errors="replace")
        return stream
    raw = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        *(raw, stream.encoding, "replace"),
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
