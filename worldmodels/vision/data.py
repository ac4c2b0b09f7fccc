"""Frames for V, read from the rollouts as they are needed; the data set never has to fit in memory."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from worldmodels.rollouts.storage import RolloutStore, split
from worldmodels.training.loading import OrderedBatches, ResumableData
from worldmodels.utils.checks import require
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


class Transitions(Frames):
    """Indexed by a batch of n frames, none of them a rollout's last: these and the ones after them, (2n, 64, 64, 3)
    uint8, and the actions between, (n, A) float32, which it keeps once they are read.
    """

    def __init__(self, store: RolloutStore, cached: int) -> None:
        super().__init__(store, cached)
        self._actions: dict[int, np.ndarray] = {}

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for rollout in {rollout for rollout, _ in batch} - self._actions.keys():
            self._actions[rollout] = self.store.read(rollout, "actions").astype(np.float32)
        before, after, actions = [], [], []
        for rollout, where in batch:
            frames = self._rollout(rollout)
            before.append(frames[where])
            after.append(frames[where + 1])
            actions.append(self._actions[rollout][where])
        return torch.from_numpy(np.concatenate(before + after)), torch.from_numpy(np.concatenate(actions))


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
        return -(-int(self._counts(self.lengths[self.rollouts]).sum()) // self.batch_size)

    def _counts(self, lengths: np.ndarray) -> np.ndarray:
        """How many frames an epoch has of rollouts so long."""
        return lengths

    def _draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the frames that an epoch has of a rollout so long."""
        return np.arange(length)

    def batches(self, epoch: int) -> Iterator[Batch]:
        rng = generator(self.seed, "vision", 2, epoch)
        remainder = np.empty((0, 2), dtype=np.int64)
        order = rng.permutation(self.rollouts)
        groups = (np.cumsum(self.lengths[order]) - 1) // self.group_frames
        for group in np.unique(groups):
            drawn = [(rollout, self._draw(int(self.lengths[rollout]), rng)) for rollout in order[groups == group]]
            pairs = np.concatenate([_pairs(rollout, frames) for rollout, frames in drawn])
            pairs = np.concatenate([remainder, rng.permutation(pairs)])
            full = len(pairs) // self.batch_size * self.batch_size
            for first in range(0, full, self.batch_size):
                yield _by_rollout(pairs[first : first + self.batch_size])
            remainder = pairs[full:]
        if len(remainder):
            yield _by_rollout(remainder)


class ShuffledTransitions(ShuffledFrames):
    """The same of transitions, each named by its first frame. An epoch has a random half of a rollout's, so that V sees
    as many frames in it as the rollouts have: an inner frame once on average, the first and the last half as often.
    """

    def _counts(self, lengths: np.ndarray) -> np.ndarray:
        return lengths // 2

    def _draw(self, length: int, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(length - 1)[: length // 2]


def _pairs(rollout: int, frames: np.ndarray) -> np.ndarray:
    return np.stack([np.full(len(frames), rollout), frames], axis=1)


def _by_rollout(pairs: np.ndarray) -> Batch:
    return [(int(rollout), np.sort(pairs[pairs[:, 0] == rollout, 1])) for rollout in np.unique(pairs[:, 0])]


class FrameDataModule(ResumableData[Batch]):
    """Training and validation frames of a data set; ``budget`` is the share of training rollouts used. With ``overfit``
    so many batches, or that share of them, are trained on in every epoch and validated on. With ``vae.inverse`` batches
    are those of `Transitions`.
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
        self.store, self.batch_size = store, config.batch_size
        self.cached = config.shuffle_frames + 2 * int(store.lengths.max())
        seeds = [entry.seed for entry in store.entries]
        self.training, self.validation = split(seeds, config.validation_fraction, budget)
        self.overfit = overfit
        self.transitions = config.inverse > 0
        self._read, sampler = (Transitions, ShuffledTransitions) if self.transitions else (Frames, ShuffledFrames)
        self._named = config.batch_size // 2 if self.transitions else config.batch_size  # frames that a batch names
        self.sampler = sampler(store.lengths, self.training, self._named, config.shuffle_frames, seed, overfit)
        for name, rollouts in (("training", self.training), ("validation", self.validation)):
            require(
                not self.transitions or bool((store.lengths[rollouts] > 1).any()),
                f"vae.inverse={config.inverse:g} reads actions between two frames, and the {name} rollouts have one "
                "frame each: expected longer rollouts",
            )

    @property
    def action_size(self) -> int:
        """Numbers of an action."""
        return self.store.read(0, "actions", slice(1)).shape[1]

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader(self._read(self.store, self.cached), self.sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """Every frame once; of transitions every second one, so that a last odd frame is missing."""
        if self.overfit:
            return self.loader(self._read(self.store, self.cached), self.sampler.overfitted())
        lengths = [(rollout, int(self.store.lengths[rollout])) for rollout in self.validation]
        pairs = np.concatenate(
            [
                _pairs(rollout, np.arange(0, length - 1, 2) if self.transitions else np.arange(length))
                for rollout, length in lengths
            ]
        )
        batches = [_by_rollout(pairs[i : i + self._named]) for i in range(0, len(pairs), self._named)]
        return self.loader(self._read(self.store, 0), batches)

    def training_rollouts(self) -> Rollouts:
        """The rollouts V trains on, for what a loss prepares from them."""
        return Rollouts(self.store, self.training)

    def count(self, rollouts: Sequence[int]) -> int:
        """Frames in these rollouts."""
        return int(self.store.lengths[list(rollouts)].sum())

    def examples(self, count: int) -> Tensor:
        """``count`` validation frames spread evenly over all of them: (count, 64, 64, 3) uint8."""
        pairs = np.concatenate([_pairs(rollout, np.arange(self.store.lengths[rollout])) for rollout in self.validation])
        return Frames(self.store, 0)[
            _by_rollout(pairs[np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)])
        ]
