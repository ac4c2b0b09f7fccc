"""The study at its smallest scale: two runs and their analysis."""

import csv
from pathlib import Path

import pytest
from helpers import Commands


@pytest.mark.slow
def test_runs_become_tables_and_a_picture(commands: Commands, tmp_path: Path) -> None:
    commands.train(
        *("-m", "env=lunar_lander", "stage=vision", "vae=foveal,vae_gan", "vae.epochs=1", "collect.max_steps=20"),
        *("heldout.rollouts=12", "heldout.max_steps=30"),
    )
    runs = sorted(str(path.parent) for path in commands.outputs.rglob("results.json"))
    commands.analyse("lander_vision", *runs, "--to", str(tmp_path))
    rows = {row["variant"]: row for row in csv.DictReader((tmp_path / "results.csv").open())}
    assert set(rows) == {"FovealVAE salient with readouts", "ConvVAE gan"}
    results = {each["config"]["vae"]["loss"]["_target_"]: each for each in commands.results()}
    for row, loss in (("FovealVAE salient with readouts", "salient"), ("ConvVAE gan", "gan")):
        figure = results[loss]["probes"]["vision"]["z"]["x"]["linear"]["r2"]
        assert abs(float(rows[row]["x_linear"]) - figure) < 1e-3
    assert (tmp_path / "lunar_lander.png").stat().st_size <= 300_000
    assert len(list(csv.DictReader((tmp_path / "summary.csv").open()))) == 2
