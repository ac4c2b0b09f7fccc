"""The study at its smallest scale: its sweeps, and their analysis against what the runs say."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, Commands, script
from synthetic import t_limits

from worldmodels.rollouts.storage import RolloutStore
from worldmodels.transfer.metrics import Curves

SCRIPT = ROOT / "experiments" / "agent_transfer" / "analyse.py"
# Steps enough for searches to differ, with the same numbers on processors with bf16 and without.
SMALL = ("vae.epochs=2", "collect.max_steps=20", "controller.max_steps=40", "trainer.precision=32-true")
FIGURES = ("bipedal_walker", "car_racing_frozen", "car_racing_mean", "car_racing_published", "car_racing_scratch")


@pytest.mark.slow
def test_sweeps_become_tables_and_figures(studies: Commands, tmp_path: Path) -> None:
    commands = studies

    def sweep(name: str, *overrides: str) -> None:
        commands.train("-m", "--config-dir=experiments", f"+agent_transfer={name}", *SMALL, *overrides)

    def means(name: str) -> list[float]:
        run = json.loads((folder / name / "results.json").read_text())
        return [float(np.mean(row["fitness"])) for row in run["controller"]["generations"]]

    sweep("sweep", "transfer=scratch,freeze_encoder", "transfer.budget=1.0", "seed=0,1")
    sweep("controls", "seed=0")
    sweep("other_tasks", "env=bipedal_walker", "transfer=scratch", "transfer.budget=0.5", "seed=0")
    sweep("step_size", "seed=0")
    folder = commands.outputs / "studies" / "agent_transfer" / "smoke"
    second = json.loads((folder / "control-1-random_memory-seed0" / "results.json").read_text())
    assert second["config"]["controller"]["inputs"] == ["z"]
    assert [stage["cached"] for stage in second["stages"].values()] == [True] * 4 + [False]  # what the first made
    commands.analyse("agent_transfer", f"{folder}/*", "--to", str(tmp_path))

    def table(name: str) -> list[dict[str, str]]:
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    scratch, frozen = (
        [means(f"car_racing-{name}-1.0-seed{seed}") for seed in (0, 1)] for name in ("scratch", "freeze_encoder")
    )
    untrained, alone = (means(f"control-{job}-random_memory-seed0") for job in (0, 1))
    assert len({tuple(curve) for curve in (*scratch, *frozen, untrained, alone)}) == 6  # else nothing below says much

    summary = {(row["env"], row["label"]): row for row in table("summary")}
    names = ("scratch", "freeze_encoder", "random_memory", "z_alone", "small_steps", "all 2")
    assert set(summary) == {*(("car_racing", name) for name in names), ("bipedal_walker", "scratch ×0.5")}
    row, rises = summary["car_racing", "freeze_encoder"], [last - first for first, last in frozen]
    assert float(row["first"]) == pytest.approx(np.mean([first for first, _ in frozen]), rel=1e-4)
    assert float(row["last"]) == pytest.approx(np.mean([last for _, last in frozen]), rel=1e-4)
    assert [float(row[key]) for key in ("rise_low", "rise", "rise_high")] == pytest.approx(
        [t_limits(rises)[0], np.mean(rises), t_limits(rises)[1]], rel=1e-3
    )
    assert row["verdict"] == "undecided"  # of two seeds
    both = np.mean([scratch, frozen], axis=0)
    assert float(summary["car_racing", "all 2"]["last"]) == pytest.approx(both[:, 1].mean(), rel=1e-4)

    gains = {(row["label"], row["reference"], row["metric"]): row for row in table("gains")}
    found = gains["freeze_encoder", "scratch", "area"]
    assert (found["question"], found["seeds"]) == ("transfer of V", "0 1")
    assert float(found["value"]) == pytest.approx(np.mean(frozen) - np.mean(scratch), rel=1e-3)
    for control, reference, label in ((untrained, scratch[0], "scratch"), (alone, untrained, "random_memory")):
        found = gains["random_memory" if control is untrained else "z_alone", label, "area"]
        assert (found["question"], found["seeds"], found["low"]) == ("M", "0", "")
        assert float(found["value"]) == pytest.approx(np.mean(control) - np.mean(reference), rel=1e-3)
    assert float(gains["z_alone", "scratch", "jump_start"]["value"]) == pytest.approx(
        alone[0] - scratch[0][0], rel=1e-3
    )

    assert gains["small_steps", "scratch", "jump_start"]["question"] == "M"
    assert float(gains["small_steps", "scratch", "jump_start"]["value"]) != 0

    drawn = {row["strategy"] for row in table("curves") if row["env"] == "car_racing"}
    assert drawn == {"scratch", "freeze_encoder", "random_memory", "z_alone", "small_steps"}
    read = {row["strategy"]: row for row in table("inputs") if (row["env"], row["seed"]) == ("car_racing", "0")}
    encoded = commands.outputs / "artifacts" / "encode"
    (of_scratch,) = encoded.glob("car_racing-scratch-smoke-seed0-*")
    mu = [RolloutStore(of_scratch).read(i, "mu") for i in range(len(RolloutStore(of_scratch)))]
    for name in ("scratch", "random_memory", "z_alone", "small_steps"):
        assert float(read[name]["z"]) == pytest.approx((np.concatenate(mu) ** 2).sum(1).mean(), rel=1e-4)
    assert read["z_alone"]["h"] == ""
    assert read["small_steps"]["h"] == read["scratch"]["h"] != read["random_memory"]["h"]
    assert 0 < float(read["random_memory"]["h"]) < 256  # each of 256 within ±1
    vision = {json.loads(path.read_text())["stages"]["vision"]["artifact"] for path in _of_seed_0(folder)}
    assert len(vision) == 1  # controls see through the V of scratch
    for name in (*FIGURES, "gains"):
        text = (tmp_path / f"{name}.svg").read_text()
        assert "generation" in text and len(text) < 300_000
    assert not (tmp_path / "lunar_lander.svg").exists()


def _of_seed_0(folder: Path) -> list[Path]:
    names = ("car_racing-scratch-1.0-seed0", "control-0-random_memory-seed0", "control-1-random_memory-seed0")
    return [folder / name / "results.json" for name in names]


@pytest.fixture(scope="module")
def analysis() -> Any:
    return script(SCRIPT)


@pytest.fixture
def agent(analysis: Any) -> Callable[[np.ndarray], Any]:
    """An agent whose population mean is the given curves, a row a seed."""

    def made(means: np.ndarray) -> Any:
        seeds = tuple(range(len(means)))
        x = np.arange(1, means.shape[1] + 1)
        curves = {name: Curves(x, means, seeds) for name in ("best", "mean", "worst", "std", "seconds")}
        return analysis.Agent("car_racing", "scratch", "scratch", 1.0, curves)

    return made


@pytest.mark.parametrize(
    ("slopes", "verdict"),
    [
        ((2, 2.2, 3), "rises"),
        ((-2, -2.2, -3), "falls"),
        ((1, 2, 3), "undecided"),
        ((-1, 2, 3), "undecided"),
        ((1, 2), "undecided"),
    ],
)
def test_an_agent_learns_if_the_interval_of_its_rise_says_so(
    analysis: Any, agent: Callable[[np.ndarray], Any], slopes: tuple[float, ...], verdict: str
) -> None:
    (row,) = analysis.summary([agent(np.outer(slopes, np.arange(10.0)))])
    assert row["verdict"] == verdict
    assert row["rise"] == pytest.approx(8 * np.mean(slopes))  # between the middles of the first two and the last two
    assert [row["rise_low"], row["rise_high"]] == pytest.approx(t_limits([8 * slope for slope in slopes]))
