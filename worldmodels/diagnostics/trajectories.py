"""Encoded rollouts as plain arrays, and batches of them, for measuring M."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from worldmodels.utils.seeds import generator

ROLLOUTS = 32  # of a batch


class Trajectory(NamedTuple):
    """One encoded rollout of T frames; rewards and ends belong to the action of their row."""

    mu: np.ndarray  # (T, Z)
    log_var: np.ndarray  # (T, Z)
    actions: np.ndarray  # (T, A)
    rewards: np.ndarray  # (T,)
    terminated: np.ndarray  # (T,)


class Batch(NamedTuple):
    """Whole rollouts, padded at their ends to the longest: (B, L, ...) each. ``rows`` is 1 where a frame is real."""

    mu: Tensor
    log_var: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    z: Tensor
    rows: Tensor

    @property
    def transitions(self) -> Tensor:
        """1 where frames t and t + 1 are real: (B, L - 1)."""
        return self.rows[:, 1:]


def batches(trajectories: Iterable[Trajectory], seed: int) -> Iterator[Batch]:
    """All rollouts in their order, with z ~ N(μ, σ²); a rollout's noise follows from the seed and its number."""
    numbered = enumerate(trajectories)
    while members := list(islice(numbered, ROLLOUTS)):
        columns = list(zip(*(trajectory for _, trajectory in members), strict=True))
        z = [_sampled(trajectory, seed, number) for number, trajectory in members]
        rows = [np.ones(len(trajectory.mu)) for _, trajectory in members]
        yield Batch(*map(_padded, (*columns, z, rows)))


def mismatched_actions(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """The rollouts with actions that do not belong to them: all actions, end to end, moved on by half their number.

    Unlike a shuffle of single actions, this keeps how actions follow one another (a sticky policy repeats itself).
    What M loses by it, it loses because these actions were not taken here, not because no policy acts like that.
    """
    lengths = [len(trajectory.actions) for trajectory in trajectories]
    moved = np.roll(np.concatenate([trajectory.actions for trajectory in trajectories]), sum(lengths) // 2, axis=0)
    parts = np.split(moved, np.cumsum(lengths)[:-1])
    return [old._replace(actions=actions) for old, actions in zip(trajectories, parts, strict=True)]


def _padded(arrays: Iterable[np.ndarray]) -> Tensor:
    return pad_sequence([torch.from_numpy(np.asarray(array, np.float32)) for array in arrays], batch_first=True)


def _sampled(trajectory: Trajectory, seed: int, number: int) -> np.ndarray:
    noise = generator(seed, "figures", 4, number).standard_normal(trajectory.mu.shape)
    return trajectory.mu + np.exp(trajectory.log_var / 2) * noise
