"""The study at its smallest scale: a run and its analysis."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Commands, Finished


@pytest.mark.slow
def test_a_run_becomes_a_table_and_a_figure(
    finished: Callable[[str], Finished], commands: Commands, tmp_path: Path
) -> None:
    made = finished("lunar_lander")
    commands.analyse("memory_quality", str(made.run), "--to", str(tmp_path))
    found = {
        (row["measure"], row["model"], row["horizon"]): row for row in csv.DictReader((tmp_path / "results.csv").open())
    }
    measures = made.results["measures"]["memory"]
    for model in ("memory", "persistence", "reservoir", "mismatched_actions"):
        value = measures["open_loop"][model][0]["value"]
        assert abs(float(found["open_loop", model, "1"]["value"]) - value) < 1e-4 * abs(value)
    assert found["nll", "memory", ""]["value"]
    summary = {
        (row["measure"], row["model"], row["horizon"]): row for row in csv.DictReader((tmp_path / "summary.csv").open())
    }
    row, difference = found["nll", "memory_minus_persistence", ""], summary["nll", "memory_minus_persistence", ""]
    assert difference["seeds"] == "1" and difference["value"] == difference["least"] == row["value"]
    assert (difference["below_0"], difference["above_0"]) == (
        str(int(float(row["high"]) < 0)),
        str(int(float(row["low"]) > 0)),
    )
    assert "lunar_lander" in (tmp_path / "open_loop.svg").read_text()
