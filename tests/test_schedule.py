"""The groups of tests that run together."""

import pytest
from helpers import ROOT
from schedule import GROUPS, LONG, group


@pytest.mark.parametrize("start", [*(each for starts in GROUPS.values() for each in starts), *LONG])
def test_every_name_is_the_beginning_of_a_tests(start: str) -> None:
    file, _, name = start.partition("::")
    paths = [
        path for path in (ROOT / "tests").rglob("test_*.py") if path.as_posix().split("/tests/")[-1].startswith(file)
    ]
    assert paths
    assert not name or f"def {name.partition('[')[0]}" in paths[0].read_text()


def test_a_test_of_no_group_runs_with_its_file() -> None:
    assert group("tests/test_train.py::test_help_names_every_group") == "test_train.py"
    assert group("tests/test_train.py::test_a_finished_run_is_reused[car_racing]") == "car_racing"
