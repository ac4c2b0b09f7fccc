"""What V's and M's training has in common, as Lightning callbacks: rows of numbers, an end where numbers are no longer
finite, and a limit of steps.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import lightning
import torch
from torch import nn

from worldmodels.store.journal import Journal
from worldmodels.utils.errors import TrainingDiverged

log = logging.getLogger(__name__)
VALIDATED = "val_"  # begins the names of the validation's figures


class Recorder(lightning.Callback):
    """Writes what was logged to the journal: a row of ``table`` at the end of every epoch, whose position on ``axis``
    is the number of the epoch (``epoch``) or of the steps done (``step``), and loss and learning rate every ``every``
    batches.
    """

    def __init__(self, journal: Journal, table: str, axis: str, every: int) -> None:
        self.journal, self.table, self.axis, self.every = journal, table, axis, every
        self._before = 0.0

    def row_position(self, epochs: int, steps: int) -> int:
        """The position of the row after so many finished epochs and steps."""
        return epochs if self.axis == "epoch" else steps

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["seconds"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._started = time.perf_counter() - self._before  # of an epoch that goes on

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module, batch, batch_idx) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]  # at the batch's end it is the next one's

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx) -> None:
        done = trainer.fit_loop.total_batch_idx + 1
        if done % self.every == 0 and trainer.is_global_zero:
            values = {"loss": float(loss_of(outputs)), "learning_rate": self._rate}
            self.journal.row("batches", "batch", {"batch": done, **values})

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        position = {self.axis: self.row_position(trainer.current_epoch + 1, trainer.global_step)}
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = self._seconds()
        self.journal.row(self.table, self.axis, {**position, **values, "seconds": round(seconds, 2)})
        log.info("  %s %d: %s (%.0f s)", self.axis, position[self.axis], in_words(values), seconds)

    def _seconds(self) -> float:
        return time.perf_counter() - self._started


def in_words(values: Mapping[str, float]) -> str:
    """A row for the console: the figures of the validation, and what the first of them was in training; all figures
    where nothing was validated. The journal has the others.
    """
    validated = [name for name in values if name.startswith(VALIDATED)]
    if not validated:
        return _listed(values, values)
    first = validated[0].removeprefix(VALIDATED)
    training = f"; training {_listed(values, [first])}" if first in values else ""
    return f"validation {_listed(values, validated)}{training}"


def _listed(values: Mapping[str, float], names: Iterable[str]) -> str:
    return ", ".join(f"{name.removeprefix(VALIDATED)} {values[name]:.4g}" for name in names)


def loss_of(outputs: Any) -> torch.Tensor:
    """The loss of what a training step gave."""
    return outputs["loss"] if isinstance(outputs, Mapping) else outputs


class StopWhenDiverged(lightning.Callback):
    """Ends training with `TrainingDiverged` where the loss of a batch, an epoch's figure or a weight is not finite.
    ``part`` (V, M) and the ``likely`` setting are for the message. On a GPU, where looking at a loss waits for it, only
    every ``every``-th is looked at. ``baselines`` are logged figures that say nothing about the training. The loss of
    the first step comes before any weight has changed: then it is not a setting, but the ``classes`` that gave it.
    """

    def __init__(
        self, part: str, likely: str, every: int, baselines: tuple[str, ...] = (), classes: str = "the network"
    ) -> None:
        self.part, self.likely, self.every, self.baselines, self.classes = part, likely, every, baselines, classes

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx) -> None:
        loss = loss_of(outputs)
        if loss.device.type == "cpu" or (batch_idx + 1) % self.every == 0:
            unchanged = trainer.current_epoch == 0 and batch_idx < trainer.accumulate_grad_batches
            first = f"no weight had changed yet: look at {self.classes}" if unchanged else None
            self._require(math.isfinite(float(loss)), f"the loss is {float(loss)}", trainer, first)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for name, value in trainer.callback_metrics.items():
            if name not in self.baselines:
                self._require(math.isfinite(float(value)), f"{name} is {float(value)}", trainer)
        self.check_weights(trainer, pl_module)

    def check_weights(self, trainer: lightning.Trainer, pl_module: nn.Module) -> None:
        """Raise `TrainingDiverged` unless every weight is finite."""
        broken = [name for name, weight in pl_module.named_parameters() if not torch.isfinite(weight).all()]
        self._require(not broken, f"{len(broken)} of its weights are not finite ({', '.join(broken[:2])} …)", trainer)

    def _require(self, finite: bool, what: str, trainer: lightning.Trainer, likely: str | None = None) -> None:
        if not finite:
            raise TrainingDiverged(
                f"{self.part}'s training diverged in epoch {trainer.current_epoch + 1}, step {trainer.global_step}: "
                f"{what}; expected finite numbers; nothing is stored; {likely or self.likely}"
            )


class StopAfter(lightning.Callback):
    """Ends training after so many steps. Validates before, which Lightning's own ``max_steps`` does not."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx) -> None:
        if trainer.global_step >= self.steps:
            trainer.should_stop = True
