"""Numbers and their nouns."""

CHANGES_RESULTS = False  # shows what is done


def number_of(count: int, one: str, several: str | None = None) -> str:
    """``1 episode``, ``2 episodes``; ``several`` where an s does not do."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
