"""The ladder's table, from runs at the smallest scale."""

import csv
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from helpers import ROOT, Commands, script

from worldmodels.config import plain


@pytest.fixture(scope="module")
def analysis() -> ModuleType:
    return script(ROOT / "experiments" / "ladder" / "analyse.py")


def scored(analysis: ModuleType, **scores: list[float]) -> list[dict]:
    """A row for each seed of these rungs, whose inputs are joined by ``_``."""
    return [
        {
            "env": "lunar_lander",
            "rung": analysis.RUNGS[tuple(name.split("_"))],
            "seed": seed,
            "score": score,
            "random": 5.0,
            "parameters": 4,
            "remark": "",
        }
        for name, values in scores.items()
        for seed, score in enumerate(values)
    ]


def test_a_step_down_takes_one_thing_away(analysis):
    rows = scored(analysis, state=[9.0, 8], z_h_readout=[7.0], z_readout=[4.0], z_h=[6.0], z=[1.0])
    lost = {(line["from"], line["to"]): line["lost"] for line in analysis.steps(rows)}
    names = {key: analysis.RUNGS[tuple(key.split())] for key in ("state", "z h readout", "z readout", "z h", "z")}
    state, readout_zh, readout_z, zh, z = names.values()
    assert lost == {
        (state, readout_zh): 2,
        (readout_zh, zh): 1,
        (readout_z, z): 3,
        (readout_zh, readout_z): 3,
        (zh, z): 5,
    }


def test_random_agents_of_two_seeds_count_twice_though_they_score_the_same(analysis):
    last = analysis.summary(scored(analysis, state=[9.0, 8], z=[1.0, 2]))[-1]
    assert (last["rung"], last["seeds"], last["score"]) == (analysis.RANDOM, 2, 5)


@pytest.mark.slow
def test_rungs_become_a_table_and_a_figure(commands: Commands, tmp_path: Path) -> None:
    small = ("env=lunar_lander", "vae.epochs=1", "collect.max_steps=20", "probe.enabled=false", "measure.enabled=false")
    small += ("evaluate.episodes=2", "evaluate.video=false")
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
    [step] = csv.DictReader((tmp_path / "steps.csv").open())
    assert float(step["lost"]) == pytest.approx(float(lines[0]["score"]) - float(lines[1]["score"]), rel=1e-3)
    assert (tmp_path / "lunar_lander.svg").stat().st_size <= 300_000


def test_a_search_on_what_the_pictures_show_is_no_rung(analysis, compose):
    for overrides, expected in ((["rung=readout_zh"], "C on a read-out of the state from [z, h]"), ([], None)):
        config = compose("env=lunar_lander", *overrides or ["controller=salience"])
        run = SimpleNamespace(folder="RUN", results={"config": plain(config)})
        if expected:
            assert analysis.rung(run) == expected
        else:
            with pytest.raises(SystemExit, match="error: RUN is no rung of the ladder"):
                analysis.rung(run)
