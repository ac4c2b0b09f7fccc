"""Tasks that worldmodels has no class for, from nothing to a score, in networks too small to learn."""

from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from worldmodels.config import STAGES
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.building import Store
from worldmodels.store.results import assemble, headline

TINY = [
    *("scale=smoke", "trainer=cpu", "trainer.precision=32-true", "vae.epochs=1", "vae.network.latent_size=4"),
    *("memory.network.hidden_size=6", "memory.steps=2", "memory.validate_every=2", "memory.sequence_length=8"),
    *("collect.rollouts=2", "collect.max_steps=16", "heldout.rollouts=2", "heldout.max_steps=16"),
    *("controller.generations=1", "controller.max_steps=8", "evaluate.episodes=1", "evaluate.max_steps=12"),
]
WITHOUT_MEASURES = ["probe.enabled=false", "measure.enabled=false"]
STATES = {"pendulum": 3, "mountain_car": 2, "cart_pole": 4, "pong": 0}
ACTIONS = {"pendulum": 1, "mountain_car": 1, "cart_pole": 2, "pong": 6}


@pytest.mark.slow
@pytest.mark.parametrize("task", STATES)
def test_a_task_without_a_class_goes_through_every_stage(task, compose, tmp_path):
    if task == "pong":
        pytest.importorskip("ale_py")
    config = compose(*TINY, f"env={task}", f"paths.outputs={tmp_path}")
    # Pong's is registered by a package that each worker has to import.
    with closing(ProcessExecutor(1) if task == "pong" else SerialExecutor()) as executor:
        pipeline = Pipeline(config, Store(tmp_path / "artifacts"), executor, None, lambda: pytest.fail("no source"))
        assert list(pipeline.run()) == list(STAGES)
    made = pipeline.artifacts
    store = RolloutStore(made["collect"].path)
    actions, frames = store.read(0, "actions"), store.read(0, "frames")
    assert actions.shape[1] == ACTIONS[task] and store.read(0, "states").shape[1] == STATES[task]
    assert frames.shape[1:] == (64, 64, 3) and frames.std() > 0
    if task in ("cart_pole", "pong"):
        assert set(np.unique(actions)) == {0.0, 1.0} and (actions.sum(axis=1) == 1).all()
    assert load_file(made["controller"].weights)["mean"].size == ACTIONS[task] * (4 + 6 + 1)
    results = assemble(config, made, {}, "", None, pipeline.heldout_artifacts)
    assert np.isfinite(results["evaluation"]["mean"]) and np.isfinite(results["evaluation"]["random"]["mean"])
    assert "probes" not in results  # nothing is declared that could be found
    assert results["measures"]["memory"]["nll"]["memory"]["value"] is not None
    assert list(made["evaluate"].path.rglob("episode.mp4"))


@pytest.mark.slow
def test_c_is_searched_in_dreams_alone(compose, tmp_path):
    """Every step pays 1, so M needs no reward head."""
    dream = [
        "controller.validate_every=1",
        "controller.validation_episodes=2",
        "controller.where=dream",
        "env.step_reward=1",
        "memory.network.end_head=true",
        "controller.inputs=[z]",
    ]
    config = compose(*TINY, "env=cart_pole", *dream, *WITHOUT_MEASURES)
    with closing(SerialExecutor()) as executor:
        pipeline = Pipeline(config, Store(tmp_path / "artifacts"), executor, None, lambda: pytest.fail("no source"))
        assert list(pipeline.run()) == list(STAGES)
    results = assemble(config, pipeline.artifacts, {}, "", None)
    [row] = results["controller"]["generations"]
    assert f"held-out dreams {row['dream']:.1f}, the task {row['validation']:.1f}" in headline("controller", results)
    assert 1 <= row["worst"] <= row["best"] <= 8
    [film] = pipeline.artifacts["controller"].path.rglob("film.000001.gif")
    with Image.open(film) as shown:
        assert 1 <= shown.n_frames <= 8 and shown.size == (128, 128)
    assert np.isfinite(results["evaluation"]["mean"])
