"""Batches in an order that follows from the seed and the epoch's number, so that training goes on in the middle of an
epoch; and the loaders of V and M.
"""

import itertools
import signal
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar

import lightning
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

Batch = TypeVar("Batch")


class OrderedBatches(Sampler[Batch], Generic[Batch]):
    """The batches of an epoch, from the one that a checkpoint names; where several devices share them, those of this
    process. With ``overfit``, so many batches of the first epoch, or that share of them, are used in every epoch.
    """

    def __init__(self, overfit: int | float = 0) -> None:
        self.epoch = 0
        self._begin = (0, 0)
        self._process, self._processes = 0, 1
        self._overfit = overfit

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Every batch of an epoch, counted from 0, in its order."""
        raise NotImplementedError

    def count(self) -> int:
        """How many batches an epoch has."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch, also after a resume."""
        self.epoch = epoch

    def begin(self, epoch: int, batch: int) -> None:
        """Go on in ``epoch`` after its first ``batch`` batches."""
        self.epoch = epoch
        self._begin = (epoch, batch)

    def share(self, process: int, processes: int) -> None:
        """Of every ``processes`` batches, yield the one of this ``process``, counted from 0."""
        self._process, self._processes = process, processes

    def __len__(self) -> int:
        return self.count_used() // self._processes

    def overfitted(self) -> list[Batch]:
        """The batches that every epoch trains on, where there are so few."""
        return list(itertools.islice(self.batches(0), self.count_used()))

    def count_used(self) -> int:
        """How many of them it trains on."""
        count = self.count()
        if not self._overfit:
            return count
        overfitted = self._overfit if isinstance(self._overfit, int) else int(self._overfit * count)
        return min(max(overfitted, 1), count)

    def __iter__(self) -> Iterator[Batch]:
        epoch, done = self._begin
        batches = itertools.islice(self.batches(0 if self._overfit else self.epoch), self.count_used())
        share = itertools.islice(batches, self._process, None, self._processes)
        return itertools.islice(share, done if epoch == self.epoch else 0, len(self))


class ResumableData(lightning.LightningDataModule, Generic[Batch]):
    """A data module whose training batches are `OrderedBatches`, read by ``workers`` processes of their own."""

    sampler: OrderedBatches[Batch]

    def __init__(self, workers: int = 0) -> None:
        super().__init__()
        self.workers = workers

    def begin(self, epoch: int, batch: int) -> None:
        """Go on in ``epoch`` after its first ``batch`` batches."""
        self.sampler.begin(epoch, batch)

    def loader(self, data: Dataset[Any], batches: Iterable[Any]) -> DataLoader[Any]:
        """``data`` is indexed by a batch. Pinned memory lets a GPU fetch a batch while it works on the last one."""
        trainer = self.trainer
        pinned = trainer is not None and trainer.strategy.root_device.type == "cuda"
        if isinstance(batches, OrderedBatches) and trainer is not None:
            batches.share(trainer.global_rank, trainer.world_size)
        return DataLoader(
            data,
            sampler=batches,  # type: ignore[arg-type]
            batch_size=None,
            pin_memory=pinned,
            num_workers=self.workers if isinstance(batches, Sized) and len(batches) > 1 else 0,
            worker_init_fn=_ignore_interrupts,
            generator=torch.Generator().manual_seed(0),  # or every epoch would draw from the global stream
        )


def _ignore_interrupts(worker: int) -> None:
    """Ctrl-C goes to every process of a terminal; the main one ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
