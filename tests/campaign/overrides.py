"""Random command lines: each composes, or is refused in one line.

A row of the table is a run with its seed. What breaks the rule ends the run, and Hypothesis shows the shortest such
command line.
"""

from collections import Counter
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from tests.campaign.table import Table, count, options
from tests.test_random_overrides import overrides, refusal


def main(arguments: list[str], folder: Path) -> None:
    """``overrides [examples=N] [seed=S]``: N random command lines, each of which composes or is refused in one line."""
    given, _ = options(arguments, {"examples": count, "seed": count}, set())
    seed, outcomes = given.get("seed", 0), Counter[str]()

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=given.get("examples", 1000), deadline=None, database=None)
    @hypothesis.given(st.lists(overrides(), min_size=1, max_size=3))
    def tried(written: list[str]) -> None:
        why = refusal(written)
        assert why is None or (why.strip() and "\n" not in why), f"{written}: {why}"
        outcomes["composed" if why is None else "refused in a line"] += 1

    tried()
    Table(Path(__file__).with_name("overrides.csv")).add({"seed": seed, "tried": outcomes.total(), **outcomes})
    print(dict(outcomes))
