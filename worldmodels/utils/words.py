"""Numbers and their nouns, and lists."""

from collections.abc import Sequence

CHANGES_RESULTS = False  # shows what is done
LISTED = 6  # names in a line


def number_of(count: int, one: str, several: str | None = None) -> str:
    """``1 episode``, ``2 episodes``; ``several`` where an s does not do."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """The first few of names, and how many there are more."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
