"""The committed verdicts are those of the committed curves."""

import csv
from pathlib import Path

import pytest
from helpers import ROOT, Commands

from worldmodels.reports import committed, tidy

STUDIES = {
    "lander_reconstruction": ("comparisons", "probes"),
    "vision_transfer": ("comparisons", "gains", "summary", "probes"),
    "memory_transfer": ("comparisons", "gains", "summary"),
    "agent_transfer": ("comparisons", "gains", "summary"),
}


@pytest.mark.parametrize("study", [pytest.param(name, marks=pytest.mark.slow) for name in STUDIES])
def test_tables_are_made_again_from_the_committed_ones(commands: Commands, tmp_path: Path, study: str) -> None:
    commands.analyse(study, "--from-csv", "--to", str(tmp_path))
    for table in STUDIES[study]:
        assert (tmp_path / f"{table}.csv").read_text() == (ROOT / "experiments" / study / f"{table}.csv").read_text()
    assert not (tmp_path / "runs.csv").exists()  # what only runs can tell stays as it is
    for figure in tmp_path.glob("*.svg"):
        assert figure.stat().st_size <= 300_000


def test_a_line_of_runs_and_its_curves_are_a_run() -> None:
    folder = ROOT / "experiments" / "memory_transfer"
    runs = committed.read(folder, "memory")
    assert len(runs) == 180
    config = runs[0].results["config"]
    assert config["memory"]["network"]["_target_"].endswith("MDNLSTM")
    assert (config["collect"]["frames"], config["transfer"]["load"]) == (3000, ["vision"])
    with (folder / "curves.csv").open(newline="") as file:
        given = list(csv.DictReader(file))
    again = [row for run in runs for row in tidy.curve_rows(run)]
    assert [(row["x"], row["measure"], f"{row['value']:.6g}") for row in again] == [
        (int(row["x"]), row["measure"], row["value"]) for row in given
    ]
    frozen = [run for run in runs if run.results["seed"] == 0 and run.results["transfer"] == "pretrained_vision"]
    assert len({run.results["stages"]["vision"]["artifact"] for run in frozen}) == 2  # frozen, and fine-tuned


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = ROOT / "experiments" / "lander_reconstruction"
    for name in ("runs", "curves", "costs"):
        text = (folder / f"{name}.csv").read_text()
        (tmp_path / f"{name}.csv").write_text(text if name != "runs" else text.rsplit("\n", 2)[0] + "\n")
    with pytest.raises(ValueError, match=r"runs.csv has 79 runs, curves.csv 80"):
        committed.read(tmp_path, "vision")
