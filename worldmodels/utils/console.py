"""Where tables are printed."""

from rich.console import Console

CHANGES_RESULTS = False  # shows what is done

UNCUT = 10_000  # columns


def make_console() -> Console:
    """Standard output. Where it is no terminal, a table is as wide as it needs to be."""
    console = Console()
    return console if console.is_terminal else Console(width=UNCUT)
