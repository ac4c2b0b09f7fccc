"""Checkpoints of an unfinished training: between epochs, in the middle of one, and when asked to stop.

Training that goes on from one ends with the same weights and the same rows, bit for bit, as one that was never
interrupted: the order of the batches follows from the epoch's number, a step's noise from the step's number, and the
sums behind the means of an epoch are in the checkpoint.
"""

import logging
import multiprocessing
import pickle
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from worldmodels.training import distributed
from worldmodels.training.callbacks import StopWhenDiverged
from worldmodels.utils import interrupts
from worldmodels.utils.files import replacing
from worldmodels.utils.logs import Places, places

log = logging.getLogger(__name__)
KEY = "worldmodels.progress"  # of our state in a checkpoint
LITTLE = 30.0  # seconds of work that are worth no checkpoint


class WholeFiles(TorchCheckpointIO):
    """Replaces a checkpoint atomically. Lightning itself writes to the folder of temporary files first, which may be
    too small.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


class Progress(Checkpoint):
    """Keeps the last checkpoint at ``path``: after every epoch, within one after ``every_minutes`` or ``every_steps``,
    and when the process is asked to stop, which it then does. It never holds a weight that is not finite.

    There is no checkpoint after an epoch's last batch, because Lightning would take the epoch for finished, validation
    included; there is one after the batch before, so that an interruption of the validation costs little.
    """

    def __init__(
        self, path: Path, diverged: StopWhenDiverged, every_minutes: float | None, every_steps: int | None
    ) -> None:
        self.path, self.diverged = path, diverged
        self.every_seconds, self.every_steps = (every_minutes or float("inf")) * 60, every_steps
        self._state: dict[str, Any] = {}
        self._resumed: dict[str, Any] = {}
        self._sums: dict[str, Any] = {}
        self._asked: Any = None
        self._logs: Places = []

    @contextmanager
    def deferring(self, trainer: lightning.Trainer) -> Iterator[None]:
        """Let signals wait for a checkpoint, here or in the processes of several devices."""
        if trainer.world_size == 1:
            with interrupts.deferred():
                yield
            return
        self._asked = multiprocessing.get_context(trainer.strategy.launcher._start_method).Event()  # type: ignore
        logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it tells of those that it ends
        self._logs = places()
        with interrupts.deferred(self._asked.set):
            yield

    def _requested(self) -> bool:
        return interrupts.requested() or (self._asked is not None and self._asked.is_set())

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if trainer.world_size > 1:
            distributed.begin(self._logs)

    @property
    def state_key(self) -> str:
        return KEY

    def saved_checkpoint(self) -> dict[str, Any] | None:
        """The checkpoint at ``path``; None where there is none, or none that can be read."""
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as records:  # torch writes checksums, and does not look at them
                if damaged := records.testzip():
                    raise zipfile.BadZipFile(f"{damaged} is not what was written")
            checkpoint = torch.load(self.path, weights_only=True, map_location="cpu")
            return checkpoint if KEY in checkpoint["callbacks"] else None
        except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            log.warning("%s is damaged (%s): training starts anew", self.path, str(error).split("\n")[0])
            self.path.unlink()
            return None

    def state_dict(self) -> dict[str, Any]:
        return self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._saved = time.monotonic()
        if self._resumed:
            self._sums = dict(self._resumed["sums"])
            torch.set_rng_state(self._resumed["random"])
            for device, state in enumerate(self._resumed["cuda_random"]):
                torch.cuda.set_rng_state(state, device)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module, outputs, batch, batch_idx: int) -> None:
        self._restore_sums(trainer)
        done = batch_idx + 1
        since = time.monotonic() - self._saved
        due = since >= self.every_seconds
        due |= since >= LITTLE and done + trainer.accumulate_grad_batches >= trainer.num_training_batches
        asked, due = distributed.agreed(trainer, self._requested(), due)
        if trainer.is_last_batch or trainer.should_stop:
            if asked:
                distributed.stop(trainer)
        elif done % trainer.accumulate_grad_batches == 0:
            if asked or due or (self.every_steps is not None and done % self.every_steps == 0):
                self._save(trainer, pl_module, trainer.current_epoch, done)
            if asked:
                distributed.stop(trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        if any(distributed.agreed(trainer, self._requested())):
            distributed.stop(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._sums = {}
        self._save(trainer, pl_module, trainer.current_epoch + 1, 0)

    def _save(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, epochs: int, batch: int) -> None:
        """``epochs`` are finished, and ``batch`` batches of the one after."""
        self.diverged.check_weights(trainer, pl_module)
        self._state = {
            "epochs": epochs,
            "batch": batch,
            "batches": trainer.fit_loop.total_batch_idx + 1,
            "steps": trainer.global_step,
            "stopped": batch == 0 and trainer.should_stop,
            "sums": _sums(trainer) if batch else {},
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()

    def _restore_sums(self, trainer: lightning.Trainer) -> None:
        """Add what the epoch's batches logged before the interruption; 0 + x is x, so the bits are the same."""
        results = trainer.fit_loop.epoch_loop._results
        for key in [key for key in self._sums if key in results]:
            before, metric = self._sums.pop(key), results[key]
            value = before["value"][trainer.global_rank].to(metric.value.device)
            if metric.meta.is_max_reduction or metric.meta.is_min_reduction:
                metric.value = metric.meta.reduce_fx(torch.stack([value, metric.value]))
            else:
                metric.value = value + metric.value
            if metric.meta.is_mean_reduction:
                metric.cumulated_batch_size = (
                    before["size"][trainer.global_rank].to(metric.value.device) + metric.cumulated_batch_size
                )
            metric._computed = None


def _sums(trainer: lightning.Trainer) -> dict[str, Any]:
    """What the batches of this epoch have logged so far, on every device. Lightning's checkpoints leave it out."""
    sums = distributed.logged_sums(trainer)
    return {key: {"value": values.cpu(), "size": sizes.cpu()} for key, (values, sizes) in sums.items()}
