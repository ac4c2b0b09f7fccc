"""Probe: how much of the true state V's μ, and M's h beside it, carry on held-out rollouts."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from worldmodels.config import Config
from worldmodels.diagnostics.probe_report import HeldoutRollouts, recall, report
from worldmodels.envs import task_class, task_path, task_spec
from worldmodels.factory import beside_weights, make_memory, make_vision
from worldmodels.memory.config import NETWORK as MEMORY_NETWORK
from worldmodels.memory.interface import Memory
from worldmodels.pipeline.stage import Stage, label_of
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.utils import parts
from worldmodels.utils.settings import counted
from worldmodels.vision.config import NETWORK as VISION_NETWORK
from worldmodels.vision.scaling import to_pixels

log = logging.getLogger(__name__)
BATCH = 64
TABLE = "r2"


def shows(config: Config) -> bool:
    """Whether the task tells what its pictures show, so that V can be probed."""
    task = task_class(config.env)
    return bool(task.visible_targets or task.objects)


def moves(config: Config) -> bool:
    """Whether the task tells what moves, so that M can be probed."""
    return bool(task_class(config.env).motions)


def vision(config: Config, heldout: Path, encoded: Path, weights: Path, journal: Journal) -> dict[str, Any]:
    """The visible targets from μ, and the recall of objects. ``heldout``: rollouts; ``encoded``: the same, encoded by
    V, whose ``weights`` decode them.
    """
    heldout_rollouts, mu = _heldout_rollouts(config, heldout), _all(encoded, "mu")
    store, network = RolloutStore(heldout), make_vision(config, weights).eval()

    @torch.inference_mode()
    def decoded(rollout: int, where: np.ndarray) -> np.ndarray:
        z = torch.from_numpy(mu[rollout][where])
        return np.concatenate([to_pixels(network.decode(part)).numpy() for part in z.split(BATCH)])

    def frames(rollout: int, where: np.ndarray) -> np.ndarray:
        return store.read(rollout, "frames")[where]

    figures = report(heldout_rollouts, {"z": mu}, heldout_rollouts.task.visible_targets, config.probe)
    figures["objects"] = recall(heldout_rollouts, frames, decoded, config.probe)
    _show(figures, journal, "epoch", config.vae.epochs)
    return figures


def memory(config: Config, heldout: Path, encoded: Path, weights: Path, journal: Journal) -> dict[str, Any]:
    """The motions of things from [z, h], beside the same from z alone."""
    heldout_rollouts, mu, actions = _heldout_rollouts(config, heldout), _all(encoded, "mu"), _all(encoded, "actions")
    network = make_memory(config, actions[0].shape[1], weights).eval()
    both = [np.concatenate(pair, axis=1) for pair in zip(mu, hidden_states(network, mu, actions), strict=True)]
    figures = report(heldout_rollouts, {"z": mu, "zh": both}, heldout_rollouts.task.motions, config.probe)
    _show(figures, journal, "step", config.memory.steps)
    return figures


@torch.inference_mode()
def hidden_states(network: Memory, z: list[np.ndarray], actions: list[np.ndarray]) -> list[np.ndarray]:
    """The h that C reads beside each z: after the frames before it; at first that of the initial state. z: (T, Z) and
    actions: (T, A) of each rollout -> (T, H).
    """
    states: list[np.ndarray] = []
    for first in range(0, len(z), BATCH):
        rows = slice(first, first + BATCH)
        h, _ = network.unroll(_padded(z[rows]), _padded(actions[rows]))
        before = torch.cat([network.initial_state(len(h)).h.unsqueeze(1), h], dim=1).numpy()
        states += [row[: len(values)] for row, values in zip(before, z[rows], strict=True)]
    return states


def _padded(rollouts: list[np.ndarray]) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence([torch.from_numpy(rollout) for rollout in rollouts], batch_first=True)


def _heldout_rollouts(config: Config, folder: Path) -> HeldoutRollouts:
    task, fps, states = task_class(config.env), task_spec(config.env).fps, _all(folder, "states")
    seeds = [entry.seed for entry in RolloutStore(folder).entries]
    return HeldoutRollouts(task, states, [task.shown(rows, fps) for rows in states], seeds)


def _all(folder: Path, name: str) -> list[np.ndarray]:
    store = RolloutStore(folder)
    return [store.read(rollout, name) for rollout in range(len(store))]


def _show(probed: dict[str, Any], journal: Journal, axis: str, step: int) -> None:
    row: dict[str, Any] = {axis: step}
    for inputs in ("z", "zh"):
        for target, figures in probed.get(inputs, {}).items():
            row |= {f"{target}_{inputs}_{kind}": figures[kind]["r2"] for kind in ("linear", "mlp")}
    row |= {f"{name}_recall": figures["recall"] for name, figures in probed.get("objects", {}).items()}
    journal.rewind(**{TABLE: 0})
    journal.row(TABLE, axis, row)
    measured = {name: value for name, value in row.items() if name != axis and value is not None}
    log.info(
        "  R² %s", ", ".join(f"{name} {value:.2f}" for name, value in measured.items()) or "unknown: too few frames"
    )


def _stage(
    part: str,
    probe: Callable[..., dict[str, Any]],
    network: Callable[[Config], list[str]],
    enabled: Callable[[Config], bool],
) -> Stage:
    return Stage(
        name=f"probe_{part}",
        parents=lambda config: {"heldout": "heldout", "encoded": "heldout_encode", part: part},
        inputs=lambda config: {"probe": counted(config.probe), **beside_weights(config, part)},
        build=lambda work: probe(
            work.config, work.path("heldout"), work.path("encoded"), work.path(part) / WEIGHTS, work.journal
        ),
        label=label_of(part),
        parts=lambda config: [task_path(config.env), *network(config)],
        libraries=lambda config: ("torch", "numpy"),
        enabled=lambda config: config.probe.enabled and enabled(config),
    )


VISION = _stage(
    "vision", vision, lambda config: parts.targets(VISION_NETWORK, config.vae.network, "vae.network"), shows
)
MEMORY = _stage(
    "memory", memory, lambda config: parts.targets(MEMORY_NETWORK, config.memory.network, "memory.network"), moves
)
