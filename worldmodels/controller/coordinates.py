"""The coordinates of a run's search: the scale of C's inputs, and a read-out of the state. Both are stored in the
artifact, so that an interrupted search goes on with the same ones.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from worldmodels.config import Config
from worldmodels.controller.agent import check_inputs, input_sizes, known_size, remembers
from worldmodels.controller.config import ControllerConfig
from worldmodels.controller.inputs import privileged, read_inputs
from worldmodels.controller.readout import ReadOut, fit
from worldmodels.controller.scaling import ROLLOUTS, Scaling, input_moments, seen, spread, state_moments
from worldmodels.envs import task_class, task_spec
from worldmodels.factory import make_memory
from worldmodels.memory.interface import Memory
from worldmodels.rollouts.executor import one_thread
from worldmodels.rollouts.storage import RolloutStore

SCALING = "scaling.safetensors"  # means and deviations of C's inputs
READOUT = "readout.safetensors"
FITTED = 500  # rollouts at most that a read-out is fitted to


def search_space(config: Config) -> tuple[ControllerConfig, dict[str, int]]:
    """The settings of the search with what the searched C's read, and the sizes of it: with a read-out, the state."""
    if not config.controller.readout:
        return config.controller, input_sizes(config)
    return dataclasses.replace(config.controller, inputs=["state"], readout=False), {"state": known_size(config)}


def make_scaling(
    config: Config, outputs: int, memory: Path | None, encoded: Path | None, dataset: Path | None, folder: Path
) -> Scaling:
    """Means and deviations over the encoded rollouts, or none where C's inputs are searched as they come."""
    path = folder / SCALING
    if not config.controller.standardise:
        return Scaling.none(sum(search_space(config)[1].values()), outputs)
    if not path.exists():
        if privileged(config.controller) is not None:  # a read-out is in the coordinates of what it reads out
            assert dataset is not None
            mean, std = state_moments([states for _, states in _states(config, dataset, ROLLOUTS)])
        else:
            assert encoded is not None
            store = RolloutStore(encoded)
            rollouts = spread(len(store), ROLLOUTS)
            mu, actions = ([store.read(rollout, name) for rollout in rollouts] for name in ("mu", "actions"))
            network = _memory(config, memory)
            with one_thread():
                mean, std = input_moments(
                    read_inputs(config.controller), network, mu, actions, config.controller.least_deviation
                )
        partial = path.with_suffix(".partial")
        save_file({"mean": mean, "std": std}, partial)
        partial.replace(path)
    moments = load_file(path)
    return Scaling(moments["mean"], moments["std"], outputs)


def _memory(config: Config, weights: Path | None) -> Memory | None:
    """M, where C reads its state."""
    reads = weights if remembers(config) else None
    network = make_memory(config, task_spec(config.env).action_size, reads).eval() if reads else None
    if network is not None:
        check_inputs(config, network)
    return network


def _states(config: Config, dataset: Path, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers of so many rollouts at most, and the true state of each as a controller knows it, (T, K)."""
    store, task = RolloutStore(dataset), task_class(config.env)
    for rollout in spread(len(store), most):
        yield rollout, task.known(store.read(rollout, "states"))


def make_readout(
    config: Config, memory: Path | None, encoded: Path | None, dataset: Path | None, folder: Path
) -> ReadOut | None:
    """A read-out fitted on the encoded rollouts; None where C acts on its inputs themselves."""
    if not config.controller.readout:
        return None
    path = folder / READOUT
    if not path.exists():
        assert encoded is not None and dataset is not None
        store, network, inputs = RolloutStore(encoded), _memory(config, memory), read_inputs(config.controller)
        with one_thread():
            fit(
                (seen(inputs, network, store.read(rollout, "mu"), store.read(rollout, "actions")), states)
                for rollout, states in _states(config, dataset, FITTED)
            ).save(path)
    return ReadOut.load(path)
