"""Measure: how good M is on held-out rollouts, beside baselines fitted to the rollouts M was trained on."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config import Config
from worldmodels.diagnostics.measures import measure
from worldmodels.diagnostics.trajectories import Trajectory
from worldmodels.factory import beside_weights, make_memory
from worldmodels.memory.config import NETWORK
from worldmodels.memory.data import training_and_validation
from worldmodels.pipeline.stage import Stage, label_of
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.utils import parts
from worldmodels.utils.settings import counted

log = logging.getLogger(__name__)
HORIZONS, ONE_STEP = "open_loop", "one_step"  # tables
MODELS = ("memory", "persistence", "reservoir", "mismatched_actions")


def memory(config: Config, heldout: Path, encoded: Path, weights: Path, journal: Journal) -> dict[str, Any]:
    """`worldmodels.diagnostics.measures.measure` of M's ``weights``. ``heldout``, ``encoded``: held-out rollouts, and
    those that M was trained on, as V sees them.
    """
    heldout_store, store = RolloutStore(heldout), RolloutStore(encoded)
    training, _ = training_and_validation(store, config.memory)
    chosen = [training[i] for i in spread(store.lengths[training], config.measure.training_frames)]
    figures = measure(
        make_memory(config, store.read(chosen[0], "actions").shape[1], weights),
        [_read(heldout_store, rollout) for rollout in range(len(heldout_store))],
        [_read(store, rollout) for rollout in chosen],
        samples=config.measure.samples,
    )
    _show(figures, journal, config.memory.steps)
    return figures


def spread(lengths: np.ndarray, frames: int) -> np.ndarray:
    """Indices of rollouts, evenly spaced, so many that together they hold about ``frames`` frames: at least one."""
    count = max(1, min(len(lengths), round(frames / lengths.mean())))
    return np.linspace(0, len(lengths) - 1, count).astype(int)


def _read(store: RolloutStore, rollout: int) -> Trajectory:
    return Trajectory(*(store.read(rollout, name) for name in Trajectory._fields))


def _show(figures: Mapping[str, Any], journal: Journal, steps: int) -> None:
    """In TensorBoard a horizon is a step of the open loop; figures without one are at M's last training step."""
    journal.rewind(**{HORIZONS: 0, ONE_STEP: 0})
    for index, horizon in enumerate(figures["open_loop"]["horizons"]):
        errors = {name: figures["open_loop"][name][index]["value"] for name in MODELS}
        journal.row(HORIZONS, "horizon", {"horizon": horizon, **errors})
    row: dict[str, Any] = {f"nll_{name}": figures["nll"][name]["value"] for name in MODELS}
    for part in ("calibration", "reward", "end"):
        of_part = (figures.get(part) or {}).items()
        row |= {f"{part}_{name}": figure["value"] for name, figure in of_part if isinstance(figure, dict)}
    journal.row(ONE_STEP, "step", {"step": steps, **row})
    log.info("  NLL %s", ", ".join(f"{name} {row[f'nll_{name}']:.3f}" for name in MODELS))


STAGE = Stage(
    name="measure_memory",
    parents=lambda config: {"heldout": "heldout_encode", "encoded": "encode", "memory": "memory"},
    inputs=lambda config: {
        "measure": counted(config.measure),
        "validation_fraction": config.memory.validation_fraction,
        "method": 3,
        **beside_weights(config, "memory"),
    },
    build=lambda work: memory(
        work.config, work.path("heldout"), work.path("encoded"), work.path("memory") / WEIGHTS, work.journal
    ),
    label=label_of("memory"),
    parts=lambda config: parts.targets(NETWORK, config.memory.network, "memory.network"),
    libraries=lambda config: ("torch", "numpy"),
    enabled=lambda config: config.measure.enabled,
)
