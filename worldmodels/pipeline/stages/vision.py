"""Vision: train V on frames, from scratch or from a source's weights."""

import logging
from pathlib import Path
from typing import Any

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.pipeline.stage import Stage, Work, label_of, training_inputs
from worldmodels.store.artifacts import WEIGHTS, Artifact
from worldmodels.store.journal import Journal
from worldmodels.store.runs import FinishedRun
from worldmodels.training.fit import Recorder, fit
from worldmodels.training.hardware import resolve_precision
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.transfer.weights import prepare, save_weights, unfrozen_later
from worldmodels.utils import parts
from worldmodels.utils.settings import counted
from worldmodels.vision.config import LOSS, NETWORK
from worldmodels.vision.controls import frame_store
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.module import VisionModule, VisionPictures

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
        context = TrainingContext(config.seed, data.training_rollouts(), features)
        make_module = parts.find(LOSS, config.vae.loss, "vae.loss").module or VisionModule
        trainer = config.trainer
        fit(
            make_module(network, config.vae, context, trainer.channels_last, trainer.compile),
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


def _build(work: Work) -> dict[str, Any]:
    weights = work.weights("source"), work.weights("features")
    return run(work.config, work.path("dataset"), *weights, work.folder, work.journal)


def features(config: Config) -> dict[str, Artifact]:
    """The finished V that the loss compares features with, if its setting ``run`` names one."""
    folder = parts.complete(LOSS, config.vae.loss, "vae.loss").get("run")
    return {"features": FinishedRun(Path(folder)).vision} if folder else {}


STAGE = Stage(
    name="vision",
    parents=lambda config: {"dataset": "collect"},
    inputs=lambda config: {
        "vae": counted(config.vae),
        **training_inputs(config, "vision", resolve_precision(config.trainer)),
    },
    build=_build,
    label=label_of("vision"),
    parts=lambda config: [parts.target(NETWORK, config.vae.network), parts.target(LOSS, config.vae.loss)],
    libraries=("torch", "lightning"),
    loads="vision",
    extra=features,
)
