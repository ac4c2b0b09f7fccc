"""One way to train V and M with Lightning: resumes from the last epoch, records rows, and proves that what is frozen
stayed.
"""

import logging
import os
import pickle
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from worldmodels.store.journal import Journal
from worldmodels.training.bar import TrainingBar
from worldmodels.training.config import TrainerConfig
from worldmodels.training.hardware import resolve_precision
from worldmodels.utils import interrupts

log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint"


def adam(network: nn.Module, learning_rate: float, fused: bool = False) -> torch.optim.Adam:
    """Adam over what trains: frozen parameters are not in it. ``fused`` is a tenth faster for V on a CPU, but Lightning
    cannot clip gradients with it."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    fused = fused and all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
    return torch.optim.Adam(trainable, lr=learning_rate, fused=fused)


class Recorder(lightning.Callback):
    """Writes what was logged to the journal: a row of ``table`` at the end of every epoch, which counts ``units`` on
    ``axis``, and loss and learning rate every ``every`` batches.
    """

    def __init__(self, journal: Journal, table: str, axis: str, units: int, every: int) -> None:
        self.journal, self.table, self.axis, self.units, self.every = journal, table, axis, units, every

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module, batch, batch_idx) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]  # at the batch's end it is the next one's

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx) -> None:
        interrupts.check()
        if trainer.global_step % self.every == 0:
            loss = float(outputs["loss"] if isinstance(outputs, Mapping) else outputs)
            values = {"loss": loss, "learning_rate": self._rate}
            self.journal.row("batches", "batch", {"batch": trainer.global_step, **values})

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        place = {self.axis: (trainer.current_epoch + 1) * self.units}
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {**place, **values, "seconds": round(time.perf_counter() - self._started, 2)}
        self.journal.row(self.table, self.axis, row)
        log.info("  %s", "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


class SaveEveryEpoch(Checkpoint):
    """Keeps the last epoch's checkpoint at ``path``, which holds either the old or the new one, also after a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        partial = self.path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self.path)

    def finished(self) -> tuple[int, int]:
        """Epochs and batches that the checkpoint has behind it; zeros where there is none, or none that can be read."""
        if not self.path.exists():
            return 0, 0
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            log.warning("%s is damaged (%s): training starts anew", self.path, str(error).split("\n")[0])
            self.path.unlink()
            return 0, 0
        return state["epoch"] + 1, state["global_step"]


def make_trainer(
    config: TrainerConfig, callbacks: list[lightning.Callback], gradient_clip: float | None, **options: Any
) -> lightning.Trainer:
    """Lightning's trainer on this hardware, each gradient clipped element by element to ±``gradient_clip``."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=1,
        precision=resolve_precision(config),  # type: ignore[arg-type]
        gradient_clip_val=gradient_clip,
        gradient_clip_algorithm="value",
        callbacks=callbacks,
        **(quiet | options),
    )


def fit(
    module: lightning.LightningModule,
    data: lightning.LightningDataModule,
    folder: Path,
    recorder: Recorder,
    callbacks: Sequence[lightning.Callback],
    config: TrainerConfig,
    epochs: int,
    gradient_clip: float | None = None,
) -> None:
    """Train for ``epochs``, each gradient clipped element by element to ±``gradient_clip``, as in
    Ha's code. Goes on from ``folder/checkpoint`` where an earlier call was interrupted.

    The journal is taken back to the checkpoint, so that no row appears twice. Raises `KeyboardInterrupt` when
    interrupted (Lightning alone would exit), and `RuntimeError` if a frozen weight changed by one bit.
    """
    saving = SaveEveryEpoch(folder / CHECKPOINT / "last.ckpt")
    epoch, batch = saving.finished()
    if epoch:
        log.info("  going on after %d of %d epochs", epoch, epochs)
    recorder.journal.rewind(**{recorder.table: epoch * recorder.units, "batches": batch})
    trainer = make_trainer(
        config,
        [recorder, *callbacks, TrainingBar(recorder.journal.stage, recorder.axis == "epoch"), saving],
        gradient_clip,
        max_epochs=epochs,
        default_root_dir=folder,
    )
    before = {name: p.detach().cpu().clone() for name, p in module.named_parameters() if not p.requires_grad}
    for part in module.modules():
        own = list(part.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            part.eval()  # Lightning keeps the modes it finds
    try:
        trainer.fit(module, data, ckpt_path=str(saving.path) if epoch else None, weights_only=True)
    except SystemExit as exit_:
        if isinstance(exit_.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from exit_
        raise
    for name, parameter in module.named_parameters():
        if name in before and not torch.equal(parameter.detach().cpu(), before[name]):
            raise RuntimeError(f"frozen weight {name} changed during training: this is a bug, please report it")
    shutil.rmtree(saving.path.parent, ignore_errors=True)
