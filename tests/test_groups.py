"""Every config of the groups that Lightning's users expect: experiment, debug, logger, callbacks; and a sweeper."""

import contextlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Commands

from worldmodels.config import Config, check_parts, conf_dir
from worldmodels.pipeline.stages import vision
from worldmodels.store.journal import Journal
from worldmodels.store.loggers import make_loggers


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


@pytest.mark.parametrize(
    ("group", "name"), [(g, n) for g in ("rung", "experiment", "debug", "logger", "callbacks") for n in options(g)]
)
def test_every_option_composes(compose: Callable[..., Config], group: str, name: str) -> None:
    check_parts(compose(f"{group}={name}"))
    first = (conf_dir() / group / f"{name}.yaml").read_text().removeprefix("# @package _global_\n")
    assert first.startswith("# "), "a line for --help's readers"


def test_an_experiment_gives_way_to_the_command_line(compose: Callable[..., Config]) -> None:
    config = compose("experiment=study_transfer", "env=lunar_lander", "transfer.budget=0.25")
    assert (config.env.name, config.transfer.name, config.scale) == ("lunar_lander", "freeze2", "sweep")
    assert config.transfer.budget == 0.25
    assert compose("experiment=fair_transfer").transfer.budget == 1.0
    assert compose("experiment=dream_score").memory.network["reward_head"] == "gaussian"
    assert compose("experiment=study_transfer", "debug=limit").trainer.limit_train_batches == 3


@pytest.mark.parametrize(("name", "batches"), [("overfit", 3), ("limit", 3), ("profiler", 8)])
def test_every_debug_config_trains_v(
    compose: Callable[..., Config], frames_dataset: Callable[..., Path], tmp_path: Path, name: str, batches: int
) -> None:
    """On four rollouts of 21 frames, of which V trains on three."""
    config = compose("scale=smoke", f"debug={name}", "trainer=cpu", "vae.batch_size=8", "vae.epochs=2", "logger=csv")
    dataset, folder = frames_dataset(21), tmp_path / "v"
    folder.mkdir()
    with contextlib.closing(make_loggers(config.logger, tmp_path / "run")) as loggers:
        journal = Journal(folder, loggers, "vision")
        summary = vision.run(config, dataset, None, None, folder, journal)
    assert [row["val_reconstruction"] > 0 for row in summary["epochs"]] == [True, True]
    last = 2 * batches // config.trainer.log_every_n_steps * config.trainer.log_every_n_steps
    assert journal.rows("batches")[-1]["batch"] == last
    assert {path.name for path in folder.iterdir()} == {"record", "checkpoint", "weights.safetensors"}
    profiles = [path.read_text() for path in (tmp_path / "run").glob("*profile-vision*")]
    assert len(profiles) == (name == "profiler") and all("run_training_batch" in text for text in profiles)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="the extra sweep is not installed")
def test_a_sweeper_optimises_vs_learning_rate(commands: Commands) -> None:
    """The README's command."""
    optimise = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1"]
    optimise += ["hydra.sweeper.sampler.seed=1", "objective=vision.val_reconstruction", "stage=vision"]
    optimise += ["vae.learning_rate=tag(log,interval(1e-4,1e-2))", "vae.epochs=1", "collect.max_steps=20"]
    optimise += ["probe.enabled=false", "measure.enabled=false"]
    output = commands.train(*optimise)
    found = [
        (r["config"]["vae"]["learning_rate"], r["vision"]["epochs"][-1]["val_reconstruction"])
        for r in commands.results()
    ]
    assert len({rate for rate, _ in found}) == 3
    best = next(commands.outputs.glob("sweeps/*/optimization_results.yaml")).read_text()
    assert str(min(found, key=lambda each: each[1])[0])[:8] in best, output
    assert json.dumps(min(value for _, value in found))[:6] in best
