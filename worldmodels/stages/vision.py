"""Vision: train V on frames, from scratch or from a source's weights."""

import logging
from pathlib import Path
from typing import Any

from worldmodels.artifacts import WEIGHTS
from worldmodels.config import Config
from worldmodels.journal import Journal
from worldmodels.parts import make_vision
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.training import Recorder, fit
from worldmodels.transfer.weights import prepare, save_weights
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.losses import Given
from worldmodels.vision.module import VisionPictures
from worldmodels.vision.objectives import MODULES

log = logging.getLogger(__name__)
PICTURED = 10  # frames in an epoch's pictures


def run(
    config: Config, dataset: Path, source: Path | None, features: Path | None, folder: Path, journal: Journal
) -> dict[str, Any]:
    """Write ``weights.safetensors``. ``source``: weights to start from; ``features``: those of the V that a loss
    compares with. Returns the summary.
    """
    network = make_vision(config)
    parameters = prepare(network, "vision", source, config.transfer.freeze)
    if parameters["trainable"]:
        budget = config.transfer.budget if source else 1.0
        data = FrameDataModule(RolloutStore(dataset), config.vae, config.seed, budget)
        log.info("  %d training frames, %d for validation", data.count(data.training), data.count(data.validation))
        given = Given(config.seed, data.training_rollouts(), features)
        make_module, trainer = MODULES[config.vae.loss], config.trainer
        fit(
            make_module(network, config.vae, given, trainer.channels_last, trainer.compile),
            data,
            folder,
            Recorder(journal, "epochs", "epoch", units=1, every=10),
            [VisionPictures(journal, data.examples(PICTURED), config.seed)],
            trainer,
            config.vae.epochs,
        )
    else:
        log.info("  every parameter of V is frozen: its training is skipped")
    save_weights(network, folder / WEIGHTS)
    return {"parameters": parameters, "epochs": journal.rows("epochs")}
