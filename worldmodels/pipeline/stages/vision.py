"""Vision: train V on frames, from scratch or from a source's weights."""

import logging
from pathlib import Path
from typing import Any

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.pipeline.stage import Stage, Work, label_of, training_inputs, training_length
from worldmodels.store.artifacts import WEIGHTS, Artifact
from worldmodels.store.building import Length
from worldmodels.store.journal import Journal
from worldmodels.store.runs import FinishedRun
from worldmodels.training.callbacks import Recorder, StopWhenDiverged
from worldmodels.training.checkpoints import HYPER_PARAMETERS
from worldmodels.training.config import callback_targets
from worldmodels.training.fit import fit, make_callbacks
from worldmodels.training.hardware import resolve_precision
from worldmodels.transfer.budgets import budget_of, epochs_of
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.transfer.weights import prepare, save_weights, unfrozen_later
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.settings import counted
from worldmodels.vision.config import LOSS, NETWORK
from worldmodels.vision.controls import frame_store
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.interface import Vision
from worldmodels.vision.losses.base import Loss, TrainingContext
from worldmodels.vision.module import VisionModule, VisionPictures, hyper_parameters
from worldmodels.vision.scaling import to_unit
from worldmodels.vision.trial import FRAMES, noise, try_network, try_training

log = logging.getLogger(__name__)
PICTURED = 10  # frames in an epoch's pictures


def run(
    config: Config, dataset: Path, source: Path | None, features: Path | None, folder: Path, journal: Journal
) -> dict[str, Any]:
    """Write ``weights.safetensors``. ``source``: weights to start from; ``features``: those of the V that a loss
    compares with. Returns the summary.
    """
    network = make_vision(config)
    transfer, epochs = config.transfer, epochs_of(config, "vision")
    store = frame_store(dataset, config.vae.frames, config.seed)
    trainer = config.trainer
    reading = trainer.num_workers, trainer.overfit_batches
    data = FrameDataModule(store, config.vae, config.seed, budget_of(transfer, "vision"), *reading)
    parameters = prepare(network, "vision", source, transfer, epochs)
    if hasattr(network, "prepare") and not stays(config):
        network.prepare(data.training_rollouts())
    read_out = {"action_size": data.action_size} if config.vae.inverse else {}
    make_module = getattr(parts.find(LOSS, config.vae.loss, "vae.loss"), "module", None) or VisionModule
    if parameters["trainable"]:
        context = TrainingContext(config.seed, data.training_rollouts(), features)
        module = make_module(network, config.vae, context, trainer.channels_last, trainer.compile, **read_out)
        try_training(module, *_names(config), to_unit(data.examples(FRAMES)))
        log.info("  %d training frames, %d for validation", data.count(data.training), data.count(data.validation))
        fit(
            module,
            data,
            folder,
            Recorder(journal, "epochs", "epoch", every=trainer.log_every_n_steps),
            [
                VisionPictures(journal, data.examples(PICTURED), config.seed),
                GradualUnfreezing(unfrozen_later(network, "vision", transfer, epochs)),
                *make_callbacks(config.callbacks, "vision"),
            ],
            trainer,
            epochs,
            diverged=StopWhenDiverged(
                "V",
                f"vae.learning_rate={config.vae.learning_rate:g} is likely too high: lower it",
                trainer.log_every_n_steps,
                classes=" and ".join(_names(config)),
            ),
        )
    else:
        log.info("  every parameter of V is frozen: its training is skipped")
    save_weights(network, folder / WEIGHTS)
    return {
        "parameters": parameters,
        "epochs": journal.rows("epochs"),
        HYPER_PARAMETERS: hyper_parameters(config.vae, config.seed, **read_out),
    }


def _build(work: Work) -> dict[str, Any]:
    weights = work.weights("source"), work.weights("features")
    return run(work.config, work.path("dataset"), *weights, work.folder, work.journal)


def stays(config: Config) -> bool:
    """Whether V is that of a finished run on the same task, and all of it is frozen: then it also keeps what it counted
    of that run's frames.
    """
    transfer = config.transfer
    whole = "vision" in transfer.load and "vision" in transfer.freeze and transfer.fraction is None
    if transfer.source_run is None or not whole:
        return False
    return FinishedRun(Path(transfer.source_run), config.allow).config.env == config.env


def features(config: Config) -> dict[str, Artifact]:
    """The finished V that the loss compares features with, if its setting ``run`` names one."""
    folder = parts.complete(LOSS, config.vae.loss, "vae.loss").get("run")
    return {"features": FinishedRun(Path(folder)).vision} if folder else {}


def check_network(config: Config, network: Vision) -> None:
    """Raise `ConfigError` where V is not as its interface says, before any work; one that first has to `prepare` is
    tried before it is trained.
    """
    if getattr(type(network), "prepare", Vision.prepare) is Vision.prepare:
        try_network(network, _names(config)[0], noise())


def _names(config: Config) -> tuple[str, str]:
    """V and its loss, for messages."""
    network = parts.target(NETWORK, config.vae.network, "vae.network")
    return f"vae.network={network}", f"vae.loss={parts.target(LOSS, config.vae.loss, 'vae.loss')}"


def _derived(loss: Any) -> bool:
    """Whether it is a loss, or a function that makes one."""
    return not isinstance(loss, type) or issubclass(loss, Loss)


def check(config: Config) -> None:
    """Raise `ConfigError` where the loss cannot take the finished V that it names, cannot train this V, or cannot do
    what Lightning's flags ask for.
    """
    loss = parts.find(LOSS, config.vae.loss, "vae.loss")
    require(
        _derived(loss),
        f"vae.loss={parts.target(LOSS, config.vae.loss)} is no loss: expected {LOSS.allowed}, derived from {LOSS.fits}",
    )
    trainer = config.trainer
    require(
        not config.vae.inverse or getattr(loss, "module", None) is None,
        f"vae.loss={parts.name(LOSS, config.vae.loss)} trains V in a way of its own: expected vae.inverse=0, or "
        "another vae.loss",
    )
    if getattr(getattr(loss, "module", None), "manual", False):
        require(
            trainer.accumulate_grad_batches == 1 and trainer.gradient_clip_val is None and trainer.one_device,
            f"vae.loss={parts.name(LOSS, config.vae.loss)} steps its optimizer itself: expected "
            "trainer.accumulate_grad_batches=1, trainer.gradient_clip_val=null and trainer.devices=1",
        )
    if (compared := features(config)) and hasattr(loss, "check_source"):
        loss.check_source(compared["features"].weights)
    if needed := getattr(loss, "needs", ()):
        modules = dict(make_vision(config).named_children())
        require(
            all(name in modules for name in needed),
            f"vae.loss={parts.name(LOSS, config.vae.loss)} trains {', '.join(needed)} apart, and "
            f"{parts.name(NETWORK, config.vae.network)} has {', '.join(modules) or 'no modules'}: expected a V with "
            "these modules, or another vae.loss",
        )


def _length(config: Config) -> Length | None:
    """Epochs, at a constant rate: a cosine stretches over all of them."""
    return training_length(config, "vision", "vae", "epochs") if config.vae.min_learning_rate is None else None


STAGE = Stage(
    name="vision",
    parents=lambda config: {"dataset": "collect"},
    inputs=lambda config: {
        "vae": counted(config.vae),
        **training_inputs(config, "vision", resolve_precision(config.trainer)),
        **({"stays": True} if stays(config) else {}),
    },
    build=_build,
    label=label_of("vision"),
    parts=lambda config: [
        *parts.targets(NETWORK, config.vae.network, "vae.network"),
        *parts.targets(LOSS, config.vae.loss, "vae.loss"),
        *callback_targets(config.callbacks, "vision"),
    ],
    libraries=lambda config: ("torch", "lightning", "numpy"),
    loads="vision",
    extra=features,
    length=_length,
)
