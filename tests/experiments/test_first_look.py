"""The study at its smallest scale: a run and its analysis."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Commands, Finished


@pytest.mark.slow
def test_a_run_becomes_a_table_and_a_picture(
    finished: Callable[[str], Finished], commands: Commands, tmp_path: Path
) -> None:
    made = finished("lunar_lander")
    commands.analyse("first_look", str(made.run), "--to", str(tmp_path))
    (row,) = csv.DictReader((tmp_path / "results.csv").open())
    results = made.results
    assert row["env"] == "lunar_lander"
    assert abs(float(row["score"]) - results["evaluation"]["mean"]) < 1e-3
    assert 0 < (tmp_path / "lunar_lander.gif").stat().st_size <= 300_000
