"""Gradual unfreezing: one more module trains at every epoch."""

from collections.abc import Sequence

import lightning
import torch
from torch import nn


class GradualUnfreezing(lightning.Callback):
    """Module number n of ``modules`` trains from epoch n + 1 on, both counted from 1 (Howard & Ruder 2018,
    arXiv:1801.06146, section 3.3).

    What is frozen follows from the epoch's number alone, so a resumed run goes on as an undisturbed one. The optimizer
    holds all of it from the start: it passes over a parameter without a gradient, whose state begins with its own first
    step. Raises `RuntimeError` if a frozen weight changed by one bit.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = list(modules)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)  # which is not called where training goes on in an epoch

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for position, module in enumerate(self.modules):
            trains = position < trainer.current_epoch
            module.requires_grad_(trains).train(trains)
        waiting = self.modules[trainer.current_epoch :]
        self._before = [(p, p.detach().clone()) for module in waiting for p in module.parameters()]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for parameter, before in self._before:
            if not torch.equal(parameter.detach(), before):
                raise RuntimeError("a weight changed before its turn to unfreeze: this is a bug, please report it")
