"""Every config of the groups that Lightning's users expect: experiment, debug, logger, callbacks; and a sweeper."""

import contextlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Commands

from worldmodels.api import compose as compose_in_python
from worldmodels.config import Config, check_parts, conf_dir
from worldmodels.pipeline.stages import vision
from worldmodels.store.journal import Journal
from worldmodels.store.loggers import make_loggers
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import require_options


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


@pytest.mark.parametrize(
    ("group", "name"),
    [(g, n) for g in ("rung", "recipe", "experiment", "debug", "logger", "callbacks") for n in options(g)],
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


def test_a_recipe_is_a_tasks_own_at_a_scale(compose: Callable[..., Config]) -> None:
    """And gives way to the command line; another task, another scale, and recipe=none have the scale's settings."""
    recipe = compose("env=lunar_lander", "scale=hour")
    assert (recipe.iterations, recipe.controller.readout, recipe.env.action_repeat) == (10, "salience", 4)
    assert compose("experiment=lunar_lander") == recipe
    assert compose("env=lunar_lander", "scale=hour", "iterations=2").iterations == 2
    for others in (["env=lunar_lander"], ["scale=hour"], ["env=lunar_lander", "scale=hour", "recipe=none"]):
        assert compose(*others).iterations == 1 and compose(*others).controller.readout is None, others
    for path in options("recipe"):
        task, _, scale = path.rpartition("_")
        assert path == "none" or (task in options("env") and scale in options("scale")), "it would never be read"


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Hydra would skip it. One of the user's own is found in another folder."""
    with pytest.raises(ConfigError, match=r"^recipe=typo is unknown: expected one of .*none$"):
        compose_in_python("recipe=typo")
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text("# @package _global_\niterations: 3\n")
    assert compose_in_python("recipe=mine", config_dir=tmp_path).iterations == 3


@pytest.mark.parametrize(
    ("overrides", "group"),
    [
        (["env=lunar_lander", "scale=hour", "vae=vae_gan"], "vae=vae_gan"),
        (["env=lunar_lander", "scale=hour", "rung=state"], "rung=state"),
        (["experiment=lunar_lander", "controller=cma_es"], "controller=cma_es"),
        (["env=lunar_lander", "recipe=lunar_lander_hour", "memory=mdn_lstm_512"], "memory=mdn_lstm_512"),
    ],
)
def test_a_group_that_a_recipe_chooses_too_is_refused(
    compose: Callable[..., Config], overrides: list[str], group: str
) -> None:
    """A sweep too, where one of its tasks has a recipe."""
    with pytest.raises(ConfigError, match=rf"^{group} chooses what the recipe lunar_lander_hour does too"):
        compose_in_python(*overrides)
    without = [override for override in overrides if not override.startswith("recipe=")]
    assert compose_in_python(*without, "recipe=none").iterations == 1
    with pytest.raises(ConfigError, match="recipe"):
        require_options(["env=car_racing,lunar_lander", "scale=quick,hour", group], Config, conf_dir())
    for fine in (["scale=hour", "vae=cvae"], ["env=lunar_lander", "vae=cvae"], ["experiment=take_cover", "vae=cvae"]):
        assert compose(*fine).iterations == 1


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
