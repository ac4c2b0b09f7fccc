"""Frames for V, read from the rollouts as they are needed; the data set never has to fit in memory."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from worldmodels.rollouts.storage import RolloutStore, split
from worldmodels.training.loading import OrderedBatches, ResumableData
from worldmodels.utils.seeds import generator
from worldmodels.vision.config import VisionConfig

Batch = list[tuple[int, np.ndarray]]  # (rollout, increasing frame numbers)


class Frames(Dataset[Tensor]):
    """Indexed by a batch: (rollout, frames) pairs -> (B, 64, 64, 3) uint8.

    Reads rollouts whole, which is several times faster than picking frames, and keeps the last used ones up to
    ``cached`` frames (12 KB each).
    """

    def __init__(self, store: RolloutStore, cached: int) -> None:
        self.store, self.cached = store, cached
        self._rollouts: OrderedDict[int, np.ndarray] = OrderedDict()

    def _rollout(self, rollout: int) -> np.ndarray:
        if rollout not in self._rollouts:
            self._rollouts[rollout] = self.store.read(rollout, "frames")
            while len(self._rollouts) > 1 and sum(map(len, self._rollouts.values())) > self.cached:
                self._rollouts.popitem(last=False)
        self._rollouts.move_to_end(rollout)
        return self._rollouts[rollout]

    def __getitem__(self, batch: Batch) -> Tensor:
        return torch.from_numpy(np.concatenate([self._rollout(rollout)[where] for rollout, where in batch]))


class Rollouts:
    """Frames of one rollout after another, (T, 64, 64, 3) uint8 each, read when their turn comes."""

    def __init__(self, store: RolloutStore, rollouts: Sequence[int]) -> None:
        self.store, self.rollouts = store, rollouts

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.from_numpy(self.store.read(rollout, "frames")) for rollout in self.rollouts)


class ShuffledFrames(OrderedBatches[Batch]):
    """Batches of frames in random order, the same for the same seed and epoch.

    Rollouts are shuffled, taken in groups of about ``group_frames`` frames, and the frames of a group shuffled among
    each other: memory holds one group, and a data set that fits in one is shuffled uniformly.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        rollouts: Sequence[int],
        batch_size: int,
        group_frames: int,
        seed: int,
        overfit: int | float = 0,
    ) -> None:
        super().__init__(overfit)
        self.lengths, self.rollouts = lengths, np.asarray(rollouts)
        self.batch_size, self.group_frames, self.seed = batch_size, group_frames, seed

    def count(self) -> int:
        return -(-int(self.lengths[self.rollouts].sum()) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        rng = generator(self.seed, "vision", 2, epoch)
        remainder = np.empty((0, 2), dtype=np.int64)
        order = rng.permutation(self.rollouts)
        groups = (np.cumsum(self.lengths[order]) - 1) // self.group_frames
        for group in np.unique(groups):
            pairs = np.concatenate([_pairs(rollout, int(self.lengths[rollout])) for rollout in order[groups == group]])
            pairs = np.concatenate([remainder, rng.permutation(pairs)])
            full = len(pairs) // self.batch_size * self.batch_size
            for first in range(0, full, self.batch_size):
                yield _by_rollout(pairs[first : first + self.batch_size])
            remainder = pairs[full:]
        if len(remainder):
            yield _by_rollout(remainder)


def _pairs(rollout: int, length: int) -> np.ndarray:
    return np.stack([np.full(length, rollout), np.arange(length)], axis=1)


def _by_rollout(pairs: np.ndarray) -> Batch:
    return [(int(rollout), np.sort(pairs[pairs[:, 0] == rollout, 1])) for rollout in np.unique(pairs[:, 0])]


class FrameDataModule(ResumableData[Batch]):
    """Training and validation frames of a data set; ``budget`` is the share of training rollouts used. With ``overfit``
    so many batches, or that share of them, are trained on in every epoch and validated on.
    """

    def __init__(
        self,
        store: RolloutStore,
        config: VisionConfig,
        seed: int,
        budget: float,
        workers: int = 0,
        overfit: int | float = 0,
    ) -> None:
        super().__init__(workers)
        self.store = store
        self.cached = config.shuffle_frames + 2 * int(store.lengths.max())
        self.batch_size = config.batch_size
        seeds = [entry.seed for entry in store.entries]
        self.training, self.validation = split(seeds, config.validation_fraction, budget)
        self.overfit = overfit
        sizes = config.batch_size, config.shuffle_frames
        self.sampler = ShuffledFrames(store.lengths, self.training, *sizes, seed, overfit)

    def train_dataloader(self) -> DataLoader[Tensor]:
        return self.loader(Frames(self.store, self.cached), self.sampler)

    def val_dataloader(self) -> DataLoader[Tensor]:
        if self.overfit:
            return self.loader(Frames(self.store, self.cached), self.sampler.overfitted())
        pairs = np.concatenate([_pairs(rollout, self.store.lengths[rollout]) for rollout in self.validation])
        batches = [_by_rollout(pairs[i : i + self.batch_size]) for i in range(0, len(pairs), self.batch_size)]
        return self.loader(Frames(self.store, 0), batches)

    def training_rollouts(self) -> Rollouts:
        """The rollouts V trains on, for what a loss prepares from them."""
        return Rollouts(self.store, self.training)

    def count(self, rollouts: Sequence[int]) -> int:
        """Frames in these rollouts."""
        return int(self.store.lengths[list(rollouts)].sum())

    def examples(self, count: int) -> Tensor:
        """``count`` validation frames spread evenly over all of them: (count, 64, 64, 3) uint8."""
        pairs = np.concatenate([_pairs(rollout, self.store.lengths[rollout]) for rollout in self.validation])
        return Frames(self.store, 0)[
            _by_rollout(pairs[np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)])
        ]
