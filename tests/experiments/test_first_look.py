"""The study at its smallest scale: a run and its analysis."""

import csv
from pathlib import Path

from helpers import Commands


def test_a_run_becomes_a_table_and_a_picture(commands: Commands, tmp_path: Path) -> None:
    commands.train("-m", "env=lunar_lander")
    run = next(commands.outputs.rglob("results.json")).parent
    commands.analyse("first_look", str(run), "--to", str(tmp_path))
    (row,) = csv.DictReader((tmp_path / "results.csv").open())
    results = commands.results()[0]
    assert row["env"] == "lunar_lander"
    assert abs(float(row["score"]) - results["evaluation"]["mean"]) < 1e-3
    assert 0 < (tmp_path / "lunar_lander.gif").stat().st_size <= 300_000
