"""Processes of a command, as /proc tells them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


def family(process: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield from family(int(child))


def named(process: int, part: str) -> list[int]:
    """Those of its family with this in their command line."""
    return [number for number in family(process) if part in _command_line(number)]


def _command_line(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    return ""
