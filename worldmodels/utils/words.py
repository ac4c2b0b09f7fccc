"""Numbers and their nouns, lists, and what somebody meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

CHANGES_RESULTS = False  # shows what is done
LISTED = 6  # names in a line


def number_of(count: int, one: str, several: str | None = None) -> str:
    """``1 episode``, ``2 episodes``; ``several`` where an s does not do."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def listed(names: Sequence[str]) -> str:
    """The first few of names, and how many there are more."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def or_meant(name: str, known: Iterable[str]) -> str:
    """The end of a line about a ``name`` that is none of the ``known`` ones: the one that is spelt like it, if any."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""
