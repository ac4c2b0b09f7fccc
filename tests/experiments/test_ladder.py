"""The ladder's table, from runs at the smallest scale."""

import csv
from pathlib import Path

import pytest
from helpers import Commands


@pytest.mark.slow
def test_rungs_become_a_table_and_a_figure(commands: Commands, tmp_path: Path) -> None:
    small = ("env=lunar_lander", "probe.enabled=false", "measure.enabled=false", "evaluate.episodes=2")
    commands.train("-m", "--config-dir=experiments", "+ladder=sweep", *small, "rung=state,readout_zh")
    commands.analyse("ladder", str(commands.outputs / "studies" / "ladder" / "smoke" / "*"), "--to", str(tmp_path))
    lines = list(csv.DictReader((tmp_path / "summary.csv").open()))
    assert [line["rung"] for line in lines] == [
        "C on the true state",
        "C on a read-out of the state from [z, h]",
        "random agent",
    ]
    scores = {each["evaluation"]["unofficial"].split(",")[0]: each["evaluation"]["mean"] for each in commands.results()}
    assert {line["remark"].split(",")[0]: float(line["score"]) for line in lines[:2]} == pytest.approx(scores, rel=1e-4)
    assert (tmp_path / "lunar_lander.svg").stat().st_size <= 300_000
