"""Measure V: the figures of its validation on the held-out rollouts, which are the same for every seed."""

import logging
from pathlib import Path
from typing import Any

from worldmodels.config import Config
from worldmodels.diagnostics.vision_measures import FIGURES, EncodedFrames, measure
from worldmodels.factory import beside_weights, make_vision
from worldmodels.pipeline.stage import Stage, label_of
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.training.hardware import device
from worldmodels.utils import parts
from worldmodels.utils.words import number_of
from worldmodels.vision.config import NETWORK

log = logging.getLogger(__name__)
TABLE = "heldout"


def vision(config: Config, heldout: Path, encoded: Path, weights: Path, journal: Journal) -> dict[str, Any]:
    """`worldmodels.diagnostics.vision_measures.measure` of V's ``weights``. ``heldout``: rollouts; ``encoded``: the
    same, encoded by V.
    """
    store, latents = RolloutStore(heldout), RolloutStore(encoded)
    network = make_vision(config, weights).to(device(config.trainer)).eval()
    rollouts = (
        EncodedFrames(store.read(rollout, "frames"), latents.read(rollout, "mu"), latents.read(rollout, "log_var"))
        for rollout in range(len(store))
    )
    figures = measure(network, rollouts)
    row = {name: figures[name]["value"] for name in FIGURES}
    journal.rewind(**{TABLE: 0})
    journal.row(TABLE, "epoch", {"epoch": config.vae.epochs, **row})
    log.info("  held-out reconstruction %.1f, KL %.1f nats, %s", *row.values(), number_of(figures["frames"], "frame"))
    return figures


STAGE = Stage(
    name="measure_vision",
    parents=lambda config: {"heldout": "heldout", "encoded": "heldout_encode", "vision": "vision"},
    inputs=lambda config: beside_weights(config, "vision"),  # else V's settings, and the rollouts', are of its parents
    build=lambda work: vision(
        work.config, work.path("heldout"), work.path("encoded"), work.path("vision") / WEIGHTS, work.journal
    ),
    label=label_of("vision"),
    parts=lambda config: parts.targets(NETWORK, config.vae.network, "vae.network"),
    enabled=lambda config: config.measure.enabled,
)
