"""Where tables are printed."""

from typing import Any

from rich.console import Console

CHANGES_RESULTS = False  # shows what is done

UNCUT = 10_000  # columns
AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False}


def make_console() -> Console:
    """Standard output. Where it is no terminal, a table is as wide as it needs to be. Text is printed as it is: in a
    folder's name, ``[a]`` is no markup and ``:car:`` no picture.
    """
    console = Console(**AS_IT_IS)
    return console if console.is_terminal else Console(width=UNCUT, **AS_IT_IS)
