"""Vision: train V on frames, from scratch or from a source's weights."""

import logging
from pathlib import Path
from typing import Any

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.training.fit import Recorder, fit
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.transfer.weights import prepare, save_weights, unfrozen_later
from worldmodels.vision.controls import frame_store
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
    transfer, epochs = config.transfer, config.epochs["vision"]
    store = frame_store(dataset, config.vae.frames, config.seed)
    data = FrameDataModule(store, config.vae, config.seed, transfer.budget_of("vision"))
    parameters = prepare(network, "vision", source, transfer, epochs)
    network.prepare(data.training_rollouts())
    if parameters["trainable"]:
        log.info("  %d training frames, %d for validation", data.count(data.training), data.count(data.validation))
        given = Given(config.seed, data.training_rollouts(), features)
        make_module, trainer = MODULES[config.vae.loss], config.trainer
        fit(
            make_module(network, config.vae, given, trainer.channels_last, trainer.compile),
            data,
            folder,
            Recorder(journal, "epochs", "epoch", units=1, every=10),
            [
                VisionPictures(journal, data.examples(PICTURED), config.seed),
                GradualUnfreezing(unfrozen_later(network, "vision", transfer, epochs)),
            ],
            trainer,
            epochs,
        )
    else:
        log.info("  every parameter of V is frozen: its training is skipped")
    save_weights(network, folder / WEIGHTS)
    return {"parameters": parameters, "epochs": journal.rows("epochs")}
