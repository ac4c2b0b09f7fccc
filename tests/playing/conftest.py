"""A run to play, of untrained models."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from worldmodels.config import plain
from worldmodels.controller.agent import controller_size
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.playing.session import Played
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.building import Store
from worldmodels.store.runs import FinishedRun, path_from
from worldmodels.transfer.weights import save_weights

HEADS = ("memory.network.reward_head=gaussian", "memory.network.end_head=true", "memory.network.skip_gain=true")


@pytest.fixture(scope="session")
def make_run(compose, tmp_path_factory):
    """``make_run("env=lunar_lander", …)``: a folder of a run with V, M and C."""

    def make(*overrides):
        config = compose(*overrides)
        root = tmp_path_factory.mktemp("played")
        folder, store = root / "run", Store(root / "artifacts")
        folder.mkdir()
        spec = task_spec(config.env)
        vision, memory = make_vision(config), make_memory(config, spec.action_size)
        with torch.no_grad():
            if getattr(memory, "skip_gain", None) is not None:
                memory.skip_gain.gain.fill_(0.05)
            vision.decoder.dense.weight.mul_(20)  # pictures that differ
        parameters = np.random.default_rng(0).normal(size=controller_size(config, spec.outputs))
        made = {
            "vision": lambda place: save_weights(vision, place / WEIGHTS),
            "memory": lambda place: save_weights(memory, place / WEIGHTS),
            "controller": lambda place: save_file({"mean": parameters, "best": parameters}, place / WEIGHTS),
        }
        stages, parents = {}, {}
        for stage, work in made.items():
            built = store.build(stage, "x", {}, parents, lambda place, work=work: work(place) or {}, {})
            stages[stage], parents = {"artifact": built.name}, {**parents, stage: built}
        results = {"stages": stages, "artifacts": path_from(folder, store.root), "config": plain(config)}
        (folder / "results.json").write_text(json.dumps(results))
        return folder

    return make


@pytest.fixture(scope="session")
def run(make_run):
    return make_run("env=lunar_lander", "memory.network.hidden_size=16", "trainer.precision=32-true", *HEADS)


@pytest.fixture(scope="session")
def played(run):
    return Played.of(FinishedRun(run), 3)
