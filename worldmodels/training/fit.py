"""How V and M are trained with Lightning: training resumes where it was interrupted, records rows, and proves that
frozen weights did not change.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from torch import nn
from torch.multiprocessing.spawn import ProcessException

from worldmodels.store.artifacts import CHECKPOINT
from worldmodels.store.loggers import instantiate
from worldmodels.training.bar import TrainingBar
from worldmodels.training.callbacks import Recorder, StopAfter, StopWhenDiverged
from worldmodels.training.config import CALLBACK, STRATEGIES, TrainerConfig, callbacks_of
from worldmodels.training.distributed import MeansOverDevices, told_of
from worldmodels.training.hardware import resolve_precision
from worldmodels.training.loading import ResumableData
from worldmodels.training.progress import KEY, Progress, WholeFiles
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError, TrainingDiverged
from worldmodels.utils.words import number_of

log = logging.getLogger(__name__)
UNUSED = "_find_unused_parameters_true"  # of a strategy: weights that train later have no gradient yet
PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def adam(network: nn.Module, learning_rate: float, fused: bool = False) -> torch.optim.Adam:
    """Adam over what trains: frozen parameters are not in it. ``fused`` is a tenth faster for V on a CPU, but Lightning
    cannot clip gradients with it."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    fused = fused and all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
    return torch.optim.Adam(trainable, lr=learning_rate, fused=fused)


def make_trainer(
    config: TrainerConfig, callbacks: list[lightning.Callback], gradient_clip: float | None = None, **options: Any
) -> lightning.Trainer:
    """Lightning's trainer on this hardware, with the flags of ``config``. A gradient is clipped element by element to
    ±``gradient_clip``, or as ``config`` says. Raises `ConfigError` for flags that Lightning refuses.

    The processes of several devices are Lightning's own, on this machine: a scheduler's variables are not looked at.
    """
    flags = _flags_of(config)
    if config.fast_dev_run:
        batches = int(config.fast_dev_run)
        flags |= {"limit_train_batches": batches, "limit_val_batches": batches}
    if config.max_time is not None:
        flags["max_time"] = config.max_time if config.max_time.count(":") == 3 else f"00:{config.max_time}"
    if gradient_clip is not None:
        flags |= {"gradient_clip_val": gradient_clip, "gradient_clip_algorithm": "value"}
    later = any(isinstance(each, GradualUnfreezing) and each.modules for each in callbacks)
    quiet = {"logger": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    resolved = {
        "strategy": "auto" if config.one_device else STRATEGIES[config.strategy] + (UNUSED if later else ""),
        "precision": resolve_precision(config),
        "fast_dev_run": False,  # done by limits and epochs, so that a result is stored
        "max_steps": -1,  # done by `StopAfter`
        "overfit_batches": 0.0,  # done by the data
        "profiler": None,
    }
    if config.max_steps > 0:
        callbacks = [StopAfter(config.max_steps), *callbacks]
    try:
        return lightning.Trainer(
            use_distributed_sampler=False,
            callbacks=callbacks,
            plugins=[LightningEnvironment(), WholeFiles()],
            **(quiet | flags | resolved | options),
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"Lightning refuses the trainer's flags: {error}") from error


def _flags_of(config: TrainerConfig) -> dict[str, Any]:
    """Those of the settings that are Lightning's own flags, under its names."""
    return {name: getattr(config, name) for name in signature(lightning.Trainer).parameters if hasattr(config, name)}


def make_callbacks(chosen: Mapping[str, Any], stage: str) -> list[lightning.Callback]:
    """The callbacks that the config names for a stage's training (vision, memory). Raises `ConfigError`."""
    return [instantiate(CALLBACK, value, f"callbacks.{name}") for name, value in callbacks_of(chosen, stage).items()]


def fit(
    module: lightning.LightningModule,
    data: ResumableData,
    folder: Path,
    recorder: Recorder,
    callbacks: Sequence[lightning.Callback],
    config: TrainerConfig,
    epochs: int,
    gradient_clip: float | None = None,
    diverged: StopWhenDiverged | None = None,
) -> None:
    """Train for ``epochs``, each gradient clipped element by element to ±``gradient_clip``, as in Ha's code. Resumes
    from ``folder/checkpoint`` where an earlier call was interrupted, also in the middle of an epoch; a finished
    training is not repeated.

    The journal is rewound to the checkpoint, so that no row appears twice. SIGINT and SIGTERM wait for the end of the
    batch, and for a checkpoint of it. Raises `KeyboardInterrupt` when interrupted (Lightning alone would exit),
    `TrainingDiverged` where numbers are no longer finite, and `RuntimeError` if a frozen weight changed by one bit.
    """
    diverged = diverged or StopWhenDiverged("the model", "lower the learning rate", config.log_every_n_steps)
    saving = Progress(
        folder / CHECKPOINT / "last.ckpt", diverged, config.checkpoint_every_minutes, config.checkpoint_every_steps
    )
    epochs = 1 if config.fast_dev_run else epochs
    before = {name: p.detach().cpu().clone() for name, p in module.named_parameters() if not p.requires_grad}
    checkpoint = saving.saved_checkpoint()
    at = checkpoint["callbacks"][KEY] if checkpoint else {"epochs": 0, "batch": 0, "steps": 0, "batches": 0}
    position = recorder.row_position(at["epochs"], at["steps"])
    recorder.journal.rewind(**{recorder.table: position, "batches": at["batches"]})
    if checkpoint and (at["stopped"] or at["epochs"] >= epochs):
        log.info("  trained before")
        module.load_state_dict(checkpoint["state_dict"])
    else:
        if checkpoint:
            half = f" and {number_of(at['batch'], 'batch', 'batches')}" if at["batch"] else ""
            log.info("  going on after %s of %s%s", f"{at['epochs']:,}", number_of(epochs, "epoch"), half)
        logs = recorder.journal.logs or folder / CHECKPOINT
        trainer = make_trainer(
            config,
            [
                MeansOverDevices(),
                diverged,
                recorder,
                *callbacks,
                TrainingBar(recorder.journal.stage, recorder.axis == "epoch"),
                saving,
            ],
            gradient_clip,
            max_epochs=epochs,
            default_root_dir=logs,
            logger=recorder.journal.lightning_logger(),
            profiler=_profiler(config, logs, recorder.journal.stage),
        )
        batches = data.sampler.count_used()
        require(
            trainer.world_size <= batches,
            f"trainer.devices={config.devices}: {trainer.world_size} devices would share "
            f"{number_of(batches, 'batch', 'batches')} of an epoch ({recorder.journal.stage}): expected one for each at"
            " least; use fewer devices, or smaller batches",
        )
        data.begin(at["epochs"], at["batch"])
        try:
            _fit(trainer, module, data, saving, checkpoint is not None)
        except TrainingDiverged:
            shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
            raise
    for name, parameter in module.named_parameters():
        if name in before and not torch.equal(parameter.detach().cpu(), before[name]):
            raise RuntimeError(f"frozen weight {name} changed during training: this is a bug, please report it")


def _fit(
    trainer: lightning.Trainer, module: lightning.LightningModule, data: Any, saving: Progress, resumes: bool
) -> None:
    for part in module.modules():
        parameters = list(part.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            part.eval()  # Lightning keeps the modes it finds
    try:
        with saving.deferring(trainer):
            trainer.fit(module, data, ckpt_path=str(saving.path) if resumes else None, weights_only=True)
    except ProcessException as error:
        raise told_of(error) from error
    except MisconfigurationException as error:
        raise ConfigError(f"Lightning refuses the trainer's flags: {error}") from error
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from exit_
        raise


def _profiler(config: TrainerConfig, folder: Path, stage: str) -> Profiler | None:
    """Lightning's, whose report goes to ``folder``."""
    if config.profiler is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return PROFILERS[config.profiler](dirpath=folder, filename=f"profile-{stage}")
