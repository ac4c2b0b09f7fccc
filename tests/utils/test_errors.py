"""Errors of somebody's code in a line."""

from pathlib import Path

import pytest

import worldmodels
from worldmodels.utils.errors import described

OURS = Path(worldmodels.__file__).parent


@pytest.mark.parametrize(
    ("file", "told"),
    [(OURS / "made_up.py", ""), (OURS.with_name("worldmodels_of_mine") / "task.py", " at task.py:1")],
)
def test_the_place_is_in_their_code(file: Path, told: str) -> None:
    """Also where its folder begins as this package's does."""
    with pytest.raises(ValueError, match="no words") as caught:
        exec(compile("raise ValueError('no words')", str(file), "exec"))
    assert described(caught.value).endswith(f"no words{told or ' at test_errors.py:' + str(caught.tb.tb_lineno)}")
