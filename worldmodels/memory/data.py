"""Sequences for M, cut from encoded rollouts; z is drawn anew from (μ, σ²) for every batch."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from worldmodels.memory.config import MemoryConfig
from worldmodels.rollouts.storage import RolloutStore, split
from worldmodels.training.loading import OrderedBatches, ResumableData
from worldmodels.utils.checks import require
from worldmodels.utils.seeds import generator, torch_generator

ARRAYS = ("mu", "log_var", "actions", "rewards", "terminated")
VALIDATION_SEQUENCES = 200


class Sequences(NamedTuple):
    """A batch of sequences of up to L frames: z (B, L, Z), actions (B, L, A), and mask (B, L - 1), 1 where a transition
    from frame t to t + 1 is real and 0 where it is padding. Rewards and ends (1 where terminated) of the actions, and
    the rows' weights, 0 for padding: (B, L) each. A rollout's last row has no next frame, but it has these. ``inputs``
    (B, L, Z) is what M is given, z or in some sequences μ.
    """

    z: Tensor
    actions: Tensor
    mask: Tensor
    rewards: Tensor
    terminated: Tensor
    rows: Tensor
    inputs: Tensor


class Window(NamedTuple):
    """``length`` frames of a rollout from ``start`` on."""

    rollout: int
    start: int
    length: int


class Windows(NamedTuple):
    """A batch to be read, the key of the noise that turns μ and σ² into z, and whether the windows were drawn."""

    members: list[Window]
    noise_key: tuple[int, ...]
    drawn: bool = False


def row_weights(length: int, window: Window, sequence_length: int) -> np.ndarray:
    """Weights of a window's rows, for a window drawn from a rollout of ``length`` frames as `RandomWindows` does:
    (count,). On average every row of every rollout counts alike.

    A window drawn uniformly covers the rows at a rollout's ends less often than those in its middle, and an episode's
    end lies in the last row: unweighted, ends would seem up to ``sequence_length`` times too rare.
    """
    _, start, count = window
    positions = length - count + 1
    rows = np.arange(start, start + count)
    covering = np.minimum(rows, length - count) - np.maximum(rows - count + 1, 0) + 1
    return (sequence_length / (length - 1) * positions / covering).astype(np.float32)


class EncodedSequences(Dataset[Sequences]):
    """Indexed by `Windows`. Keeps the last used ``cached_rollouts`` rollouts decoded (a rollout of 1,000 frames: 270
    KB).
    """

    def __init__(
        self, store: RolloutStore, seed: int, sequence_length: int, cached_rollouts: int, mean_inputs: float = 0.0
    ) -> None:
        self.store, self.seed, self.sequence_length, self.mean_inputs = store, seed, sequence_length, mean_inputs
        self._cached_rollouts = cached_rollouts
        self._remember()

    def _remember(self) -> None:
        store = self.store
        self._rollout = lru_cache(self._cached_rollouts)(lambda i: tuple(store.read(i, name) for name in ARRAYS))

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which remembers rollouts of its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_rollout"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember()

    def __getitem__(self, windows: Windows) -> Sequences:
        batch, length = len(windows.members), self.sequence_length
        sizes = [array.shape[1:] for array in self._rollout(windows.members[0].rollout)]
        targets = [np.zeros((batch, length, *size), np.float32) for size in sizes]
        mask, rows = np.zeros((batch, length - 1), np.float32), np.zeros((batch, length), np.float32)
        for row, window in enumerate(windows.members):
            rollout, start, count = window
            for target, source in zip(targets, self._rollout(rollout), strict=True):
                target[row, :count] = source[start : start + count]
            mask[row, : count - 1] = 1
            frames = self.store.entries[rollout].length
            rows[row, :count] = row_weights(frames, window, length) if windows.drawn else 1
        mu, log_var, *others = targets
        noise = torch.randn(mu.shape, generator=torch_generator(self.seed, "memory", *windows.noise_key))
        z = torch.from_numpy(mu) + torch.exp(torch.from_numpy(log_var) / 2) * noise
        actions, rewards, terminated = map(torch.from_numpy, others)
        mean_count = round(self.mean_inputs * batch) if windows.drawn else 0
        inputs = torch.cat([torch.from_numpy(mu[:mean_count]), z[mean_count:]])
        return Sequences(z, actions, torch.from_numpy(mask), rewards, terminated, torch.from_numpy(rows), inputs)


class RandomWindows(OrderedBatches[Windows]):
    """``batches`` batches of random windows an epoch, the same for the same seed and epoch. A rollout is drawn with
    probability proportional to its transitions, and a window's place in it uniformly."""

    def __init__(
        self,
        lengths: np.ndarray,
        rollouts: Sequence[int],
        config: MemoryConfig,
        seed: int,
        overfit: int | float = 0,
    ) -> None:
        super().__init__(overfit)
        self.rollouts = np.asarray(rollouts)
        self.lengths, self.config, self.seed = lengths, config, seed

    def count(self) -> int:
        return self.config.validate_every

    def batches(self, epoch: int) -> Iterator[Windows]:
        weights = self.lengths[self.rollouts] - 1
        for batch in range(self.count()):
            key = (0, epoch, batch)
            rng = generator(self.seed, "memory", *key)
            chosen = rng.choice(self.rollouts, self.config.batch_size, p=weights / weights.sum())
            counts = np.minimum(self.lengths[chosen], self.config.sequence_length)
            starts = rng.integers(self.lengths[chosen] - counts + 1)
            members = [Window(*map(int, row)) for row in zip(chosen, starts, counts, strict=True)]
            yield Windows(members, (1, *key), drawn=True)


def training_and_validation(store: RolloutStore, config: MemoryConfig) -> tuple[list[int], list[int]]:
    """M's rollouts: those it is trained on, and the others. Raises `ConfigError` where there are too few."""
    usable = np.flatnonzero(store.lengths >= 2)  # a transition needs two frames
    fix = "collect more" if len(usable) else "more of them do not help: look at why episodes end at their first frame"
    require(
        len(usable) >= 2,
        f"memory needs two rollouts of two frames or more: got {len(usable)} of {len(store)} rollouts; {fix}",
    )
    training, validation = split([store.entries[i].seed for i in usable], config.validation_fraction)
    return usable[training].tolist(), usable[validation].tolist()


class SequenceDataModule(ResumableData[Windows]):
    """Training batches without end, and a fixed set of validation windows from held-out rollouts. With ``overfit`` so
    many batches, or that share of an epoch's, are trained on in every epoch and validated on.
    """

    def __init__(
        self, store: RolloutStore, config: MemoryConfig, seed: int, workers: int = 0, overfit: int | float = 0
    ) -> None:
        super().__init__(workers)
        self.config = config
        lengths = store.lengths
        self.length = min(config.sequence_length, int(lengths.max()))
        self.training, self.validation = training_and_validation(store, config)
        self.data = EncodedSequences(store, seed, self.length, config.cached_rollouts, config.mean_inputs)
        self.sampler = RandomWindows(lengths, self.training, config, seed, overfit)
        windows = [
            Window(rollout, start, min(self.length, int(lengths[rollout]) - start))
            for rollout in self.validation
            for start in range(0, int(lengths[rollout]) - 1, self.length)
        ]
        keep = np.linspace(0, len(windows) - 1, min(VALIDATION_SEQUENCES, len(windows))).astype(int)
        chosen = [windows[i] for i in keep]
        size = config.batch_size
        self.validation_batches = [Windows(chosen[i : i + size], (2, i)) for i in range(0, len(chosen), size)]
        if overfit:
            self.validation_batches = self.sampler.overfitted()

    def training_rewards(self) -> np.ndarray:
        """Every reward of the training rollouts: (N,)."""
        return np.concatenate([self.data.store.read(rollout, "rewards") for rollout in self.training])

    def train_dataloader(self) -> DataLoader[Sequences]:
        return self.loader(self.data, self.sampler)

    def val_dataloader(self) -> DataLoader[Sequences]:
        return self.loader(self.data, self.validation_batches)
