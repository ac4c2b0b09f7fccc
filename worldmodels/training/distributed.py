"""V or M trained by several devices: processes of this machine, each with batches of its own, that log, save and stop
together.

n devices do what one device does that adds up the gradients of n batches: the batches come in the same order with the
same noise, a step takes n of them, and its gradient is their mean. An epoch's last batches, where there is none for
each device, are left out. Every device validates on all of the validation data.
"""

import re

import lightning
import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException

from worldmodels.utils import interrupts
from worldmodels.utils.errors import ConfigError, DamagedFile, Failure, TrainingDiverged
from worldmodels.utils.logs import Places, log_to, quiet_lightning
from worldmodels.utils.orphans import leave_with_parent

STOPPED = 130  # exit code of a process that was asked to stop, and saved
KINDS = {kind.__name__: kind for kind in (ConfigError, DamagedFile, Failure, TrainingDiverged)}
KINDS["MisconfigurationException"] = ConfigError


def begin(logs: Places) -> None:
    """In each of several processes: leave signals to the one that started it, end when it does, log where it does."""
    interrupts.only_noted()
    leave_with_parent()
    quiet_lightning()
    log_to(logs)


def agreed(trainer: lightning.Trainer, *wishes: bool) -> list[bool]:
    """Of each wish, whether any process has it: the same in all of them."""
    if trainer.world_size == 1:
        return list(wishes)
    mine = torch.tensor(wishes, dtype=torch.int32, device=trainer.strategy.root_device)
    return [bool(wish) for wish in trainer.strategy.reduce(mine, reduce_op="sum")]


def stop(trainer: lightning.Trainer) -> None:
    """End training because it was asked for, the process too where there are several."""
    if trainer.world_size > 1:
        raise SystemExit(STOPPED)
    raise KeyboardInterrupt


def logged_sums(trainer: lightning.Trainer) -> dict[str, tuple[Tensor, Tensor]]:
    """What the batches of this epoch have logged so far: of each mean the sum, and what it is divided by, on every
    device (n,). Called by all processes.
    """

    def gathered(value: Tensor) -> Tensor:
        own = value.detach().to(trainer.strategy.root_device)
        return own[None].clone() if trainer.world_size == 1 else trainer.strategy.all_gather(own)

    return {
        key: (gathered(metric.value), gathered(getattr(metric, "cumulated_batch_size", torch.tensor(0))))
        for key, metric in trainer.fit_loop.epoch_loop._results.items()
        if metric.is_tensor and metric.meta.on_epoch
    }


class MeansOverDevices(lightning.Callback):
    """Makes the means of a training epoch those over the batches of all devices. Lightning's ``sync_dist`` would round
    them: it halves the number of frames as a whole number.
    """

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.world_size == 1:
            return
        results = trainer.fit_loop.epoch_loop._results
        for key, (values, sizes) in logged_sums(trainer).items():
            metric = results[key]
            total = metric.meta.is_mean_reduction or metric.meta.is_sum_reduction
            metric.value, metric._computed = values.sum() if total else metric.meta.reduce_fx(values), None
            if metric.meta.is_mean_reduction:
                metric.cumulated_batch_size = sizes.sum()


def told_of(error: ProcessException) -> BaseException:
    """What a process's end means to the one that started it: our own errors as what they are there, a line each."""
    if isinstance(error, ProcessExitedException):
        if error.exit_code == STOPPED or interrupts.requested():
            return KeyboardInterrupt()
        return Failure(f"{str(error).strip()}, one of those that train: run the same command again, and it goes on")
    last = str(error).strip().splitlines()[-1]
    if (line := re.fullmatch(r"(?:[\w.]+\.)?(\w+): (.*)", last)) and line[1] in KINDS:
        return KINDS[line[1]](line[2])
    return error
