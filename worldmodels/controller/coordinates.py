"""The coordinates of a run's search: the scale of C's inputs, and a read-out from them. Both are stored in the
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
from worldmodels.controller.policy import Shape
from worldmodels.controller.readout import ReadOut, fit
from worldmodels.controller.scaling import ROLLOUTS, Scaling, input_moments, moments, seen, spread, state_moments
from worldmodels.envs import task_class, task_spec
from worldmodels.factory import make_memory
from worldmodels.memory.interface import Memory
from worldmodels.rollouts.executor import one_thread
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.utils.checks import require
from worldmodels.utils.files import replacing
from worldmodels.vision.look import READ, Look, changes

SCALING = "scaling.safetensors"  # means and deviations of C's inputs
READOUT = "readout.safetensors"
LOOK = "look.safetensors"
FITTED = 500  # rollouts at most that a read-out of the state is fitted to
FRAMES = 40_000  # of the latest rollouts, about, that one of what the pictures show is fitted to


def search_space(config: Config) -> tuple[ControllerConfig, dict[str, int]]:
    """The settings of the search and the sizes of what the searched C's read. One that acts on a read-out is searched
    like one that knows a state.
    """
    readout = config.controller.readout
    if readout is None:
        return config.controller, input_sizes(config)
    size = known_size(config) if readout == "state" else READ
    return dataclasses.replace(config.controller, inputs=["state"], readout=None), {"state": size}


def make_scaling(
    config: Config,
    shape: Shape,
    memory: Path | None,
    encoded: Path | None,
    dataset: Path | None,
    folder: Path,
    readout: ReadOut | None,
) -> Scaling:
    """Means and deviations over the encoded rollouts, or none where what the search sees is searched as it comes;
    ``shape``: of the searched C's.
    """
    path = folder / SCALING
    if config.controller.standardise and not path.exists():
        if privileged(config.controller) is not None:  # a read-out is in the coordinates of the state
            assert dataset is not None
            mean, std = state_moments([states for _, states in _states(config, dataset, ROLLOUTS)])
        else:
            assert encoded is not None
            store = RolloutStore(encoded)
            network, inputs = _memory(config, memory), read_inputs(config.controller)
            with one_thread():
                if readout is None:
                    rollouts = spread(len(store), ROLLOUTS)
                    mu, actions = ([store.read(rollout, name) for rollout in rollouts] for name in ("mu", "actions"))
                    mean, std = input_moments(inputs, network, mu, actions, config.controller.least_deviation)
                else:
                    read = [readout(_seen(store, inputs, network, rollout)) for rollout in _latest(store)]
                    mean, std = moments(np.concatenate(read), 1e-3)
        with replacing(path) as partial:
            save_file({"mean": mean, "std": std}, partial)
    return stored_scaling(folder, shape)


def stored_scaling(folder: Path, shape: Shape) -> Scaling:
    """That of the search in ``folder``, for C's of this shape, which read its inputs or the first of them."""
    if not (path := folder / SCALING).exists():
        return Scaling.none(shape)
    stored = load_file(path)
    return Scaling(stored["mean"][: shape.inputs], stored["std"][: shape.inputs], shape)


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


def _seen(store: RolloutStore, inputs: list[str], network: Memory | None, rollout: int) -> np.ndarray:
    """What C reads in an encoded rollout, (T, D)."""
    return seen(inputs, network, store.read(rollout, "mu"), store.read(rollout, "actions"))


def _latest(store: RolloutStore) -> range:
    """The rollouts of about the latest `FRAMES` frames: they come first in a data set, and earlier rounds follow."""
    return range(int(np.searchsorted(np.cumsum(store.lengths), FRAMES)) + 1)[: len(store)]


def make_readout(
    config: Config,
    memory: Path | None,
    encoded: Path | None,
    dataset: Path | None,
    folder: Path,
    source: Path | None = None,
) -> ReadOut | None:
    """A read-out fitted on the encoded rollouts; None where C acts on its inputs themselves. ``source``: the folder of
    the search that this one goes on from, whose read-out of what the pictures show has the same meaning.
    """
    if config.controller.readout is None:
        return None
    path = folder / READOUT
    if not path.exists():
        assert encoded is not None and dataset is not None
        store, network, inputs = RolloutStore(encoded), _memory(config, memory), read_inputs(config.controller)
        with one_thread():
            if config.controller.readout == "state":
                fitted = fit(
                    (_seen(store, inputs, network, rollout), states)
                    for rollout, states in _states(config, dataset, FITTED)
                )
            else:
                read = [_seen(store, inputs, network, rollout) for rollout in _latest(store)]
                fitted = _of_what_is_shown(read, RolloutStore(dataset), folder, source)
        fitted.save(path)
    return ReadOut.load(path)


def _of_what_is_shown(read: list[np.ndarray], dataset: RolloutStore, folder: Path, source: Path | None) -> ReadOut:
    """A read-out of what the frames of the first rollouts show, from what C reads there, (T, D) of each."""
    frames = (dataset.read(rollout, "frames") for rollout in range(len(read)))
    if source is not None and (source / LOOK).exists():
        look = Look.load(source / LOOK)
        shown = [look(each) for each in frames]
    else:
        look, shown = Look.prepare(frames)
    look.save(folder / LOOK)
    parts = []
    for targets in (shown, [changes(values) for values in shown]):
        known = [~np.isnan(values).any(axis=1) for values in targets]
        require(
            any(rows.any() for rows in known),
            "controller.readout=salience finds nothing salient in the frames of the training rollouts: expected a task "
            "with something to look at; set controller.readout=null",
        )
        rollouts = zip(read, targets, known, strict=True)
        parts.append(fit((x[rows], y[rows]) for x, y, rows in rollouts if rows.any()))
    return ReadOut(*(np.concatenate(arrays) for arrays in zip(*map(dataclasses.astuple, parts), strict=True)))
