"""LunarLander's ship by strategy: what the analysis refuses, and its constants against a regression on nothing."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, Commands, script
from synthetic import write_run

from worldmodels.config import Config
from worldmodels.rollouts.storage import split, write_index, write_rollout

SCRIPT = ROOT / "experiments" / "lander_reconstruction" / "analyse.py"


def test_a_constant_scores_what_the_mean_of_other_rollouts_does(
    analysis: Any, tmp_path: Path, compose: Callable[..., Config]
) -> None:
    config, rng = compose("env=lunar_lander"), np.random.default_rng(0)
    rollouts = [rng.uniform((-1.2, 0, 0, 0, -2, 0, 0, 0), (1.2, 1, 1, 1, 2, 1, 1, 1), (9, 8)) for _ in range(6)]
    entries = [
        write_rollout(tmp_path / f"{i}.h5", {"states": states}, seed=i, total_reward=0.0)
        for i, states in enumerate(rollouts)
    ]
    write_index(tmp_path, entries)
    run = SimpleNamespace(config=config, heldout_folder=lambda name: {"heldout": tmp_path}[name])

    fitting, scoring = split(range(6), config.probe.scored)
    seen = [states[np.abs(states[:, 0]) <= 1] for states in rollouts]
    assert sum(map(len, seen)) < 54  # some frames do not count
    fitted, scored = (np.concatenate([seen[i] for i in part]) for part in (fitting, scoring))
    expected = {}
    for name, of in {
        "x": lambda rows: rows[:, 0],
        "y": lambda rows: rows[:, 1],
        "angle_sin": lambda rows: np.sin(rows[:, 4]),
        "angle_cos": lambda rows: np.cos(rows[:, 4]),
    }.items():
        (constant,), *_ = np.linalg.lstsq(np.ones((len(fitted), 1)), of(fitted), rcond=None)
        expected[name] = 1 - np.mean((of(scored) - constant) ** 2) / np.var(of(scored))
    assert analysis.constants(run) == pytest.approx(expected)
    assert analysis.constants(SimpleNamespace(heldout_folder=lambda name: None)) == {}


def test_refused_with_one_line(commands: Commands, tmp_path: Path, compose: Callable[..., Config]) -> None:
    def told() -> str:
        runs = f"{tmp_path}/outputs/runs/*"
        return commands.analyse("lander_reconstruction", runs, "--to", str(tmp_path / "to"), expect=1)

    def ran(*overrides: str) -> None:
        write_run(tmp_path / "outputs", compose("stage=vision", *overrides), stages=2)

    ran("env=car_racing")
    assert told() == "error: expected runs on lunar_lander: got none\n"
    ran("env=lunar_lander", "vae=cvae", "seed=1")
    ran("env=lunar_lander", "vae=cvae", "vae.epochs=2", "seed=2")
    assert told() == "error: expected the runs of each model to have the same settings\n"


@pytest.fixture(scope="module")
def analysis() -> Any:
    return script(SCRIPT)
