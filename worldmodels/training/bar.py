"""How far V's or M's training is: a bar on a terminal, a line now and then in a log."""

from typing import Any

import lightning

from worldmodels.utils.progress import Progress

CHANGES_RESULTS = False  # shows what is done


class TrainingBar(lightning.Callback):
    """One bar over all batches of all epochs, with their rate and the time left. ``what``: the model that is trained;
    ``epochs``: whether the bar shows the number of the epoch.
    """

    def __init__(self, what: str, epochs: bool) -> None:
        self.what, self.epochs = what, epochs
        self._bar: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        self._bar = Progress(self.what, total, "batches", already_done=trainer.fit_loop.total_batch_idx + 1)
        self._bar.__enter__()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._bar and self.epochs:
            self._bar.describe(f"{self.what}, epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")

    def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx) -> None:
        if self._bar:
            self._bar.show(1)  # whoever saves checkpoints decides when to stop

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar:
            self._bar.__exit__(None, None, None)
            self._bar = None
