"""Whatever is written on a command line composes, or is refused in one line.

``python -m tests.campaign overrides`` tries a thousand.
"""

from collections.abc import Iterator
from typing import Any

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="needs hypothesis: pip install 'worldmodels[dev]'")
from hypothesis import strategies as st  # noqa: E402

from worldmodels.api import compose  # noqa: E402
from worldmodels.config import check_parts, conf_dir, plain  # noqa: E402
from worldmodels.utils.errors import ConfigError  # noqa: E402

GROUPS = {path.parent.name for path in conf_dir().glob("*/*.yaml")}
OPTIONS = sorted({f"{path.parent.name}={path.stem}" for path in conf_dir().glob("*/*.yaml")})


def keys(node: Any, path: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{path}{name}"
        if isinstance(value, dict):
            yield from keys(value, f"{path}{name}.")


def overrides() -> st.SearchStrategy[str]:
    known = st.sampled_from(sorted({*keys(plain(compose())), *GROUPS}))
    name = st.text("abcxyz_.", min_size=1, max_size=8)
    number = st.one_of(st.integers(-(10**20), 10**20), st.floats(width=32), st.integers(-2, 5)).map(str)
    word = st.sampled_from(
        ["null", "true", "", "''", "none", "[]", "{}", "[1,a]", "{a: 1}", "a.b.C", "os.system", "???"]
    )
    odd = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
    value = st.one_of(number, word, odd)
    sign = st.sampled_from(["", "", "", "", "+", "++", "~"])
    assigned = st.builds("{}{}={}".format, sign, st.one_of(known, known, known, name), value)
    return st.one_of(assigned, assigned, assigned, st.sampled_from(OPTIONS), odd)


def refusal(written: list[str]) -> str | None:
    """Why this command line is refused; None where it composes."""
    try:
        check_parts(compose(*written))
    except ConfigError as refused:
        return str(refused)
    return None


@hypothesis.settings(max_examples=25, deadline=None, database=None, derandomize=True, print_blob=True)
@hypothesis.given(st.lists(overrides(), min_size=1, max_size=3))
def test_random_overrides_compose_or_are_refused_in_a_line(written: list[str]) -> None:
    why = refusal(written)
    assert why is None or (why.strip() and "\n" not in why)
