"""Linear and small-MLP probes, and R² with an interval that resamples whole rollouts.

Alain & Bengio 2017 read a representation with linear probes; the MLP tells what is there but not linearly. Whoever
calls a probe scores it on rollouts that it was neither fitted nor tuned on.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from worldmodels.utils.statistics import resampled_sums

PENALTIES = 10.0 ** np.arange(-5, 4)  # of the ridge, on standardised inputs
FOLDS = 5
HIDDEN = 128
BATCH = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
PATIENCE = 15  # epochs without a smaller error on the tuning rollouts


class Samples(NamedTuple):
    """Frames of several rollouts: inputs (N, D), targets (N, K), and the rollout each is of (N,)."""

    inputs: np.ndarray
    targets: np.ndarray
    rollout: np.ndarray

    def of(self, rollouts: list[int]) -> "Samples":
        """The frames of these rollouts."""
        return Samples(*(column[np.isin(self.rollout, rollouts)] for column in self))


class Standard(NamedTuple):
    """Mean and standard deviation of each column; a constant column is left as wide as it is."""

    mean: np.ndarray
    std: np.ndarray

    @staticmethod
    def of(values: np.ndarray) -> "Standard":
        std = values.std(axis=0)
        return Standard(values.mean(axis=0), np.where(std > 0, std, 1))

    def apply(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std


def linear(training: Samples, inputs: np.ndarray) -> np.ndarray:
    """Ridge regression in closed form on standardised inputs: inputs (N, D) -> predictions (N, K).

    Each target's penalty is that of `PENALTIES` with the least error in a cross-validation over rollouts. It matters
    where what is constant in a rollout, such as a landscape, would tell the rollouts apart.
    """
    rollouts, index = np.unique(training.rollout, return_inverse=True)
    fold = index % FOLDS if len(rollouts) > 1 else np.arange(len(index)) * FOLDS // len(index)
    errors = np.zeros((len(PENALTIES), training.targets.shape[1]))
    for left_out in np.unique(fold):
        predict = _ridge(Samples(*(column[fold != left_out] for column in training)))
        tried = Samples(*(column[fold == left_out] for column in training))
        errors += [np.square(predict(tried.inputs, penalty) - tried.targets).sum(axis=0) for penalty in PENALTIES]
    return _ridge(training)(inputs, PENALTIES[np.argmin(errors, axis=0)])


def _ridge(samples: Samples) -> Callable[[np.ndarray, np.ndarray | float], np.ndarray]:
    """Predictions for inputs and a penalty, one or one a target: (XᵀX / N + λ)⁻¹ Xᵀy / N by eigenvectors."""
    scale, mean = Standard.of(samples.inputs), samples.targets.mean(axis=0)
    x = scale.apply(samples.inputs)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    projected = vectors.T @ (x.T @ (samples.targets - mean)) / len(x)

    def predict(inputs: np.ndarray, penalty: np.ndarray | float) -> np.ndarray:
        return scale.apply(inputs) @ (vectors @ (projected / (np.maximum(values, 0)[:, None] + penalty))) + mean

    return predict


def mlp(fitted: Samples, tuned: Samples, inputs: np.ndarray, epochs: int, seed: int = 0) -> np.ndarray:
    """A net of two hidden layers beside a linear probe, whose errors it learns, for all targets together: inputs
    (N, D) -> predictions (N, K).

    AdamW with a cosine decay over ``epochs``; ends when ``tuned`` has not improved for `PATIENCE` epochs, and answers
    with the weights that were best there.
    """
    scale, spread = Standard.of(fitted.inputs), Standard.of(fitted.targets).std

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    ends = np.cumsum([len(fitted.inputs), len(tuned.inputs)])
    everything = np.concatenate([fitted.inputs, tuned.inputs, inputs])
    simple = np.split(linear(fitted, everything), ends)
    x, tuned_x, asked_x = map(tensor, np.split(scale.apply(everything), ends))
    y, tuned_y = (tensor((part.targets - line) / spread) for part, line in zip((fitted, tuned), simple, strict=False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        last = nn.Linear(HIDDEN, y.shape[1])
    for parameter in last.parameters():
        nn.init.zeros_(parameter)  # starts as the linear probe
    network = nn.Sequential(*layers, last)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    best, least, since = copy.deepcopy(network.state_dict()), tuned_y.square().mean().item(), 0
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            functional.mse_loss(network(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            error = functional.mse_loss(network(tuned_x), tuned_y).item()
        since += 1
        if error < least:
            best, least, since = copy.deepcopy(network.state_dict()), error, 0
        if since >= PATIENCE:
            break
    network.load_state_dict(best)
    with torch.no_grad():
        return simple[-1] + spread * network(asked_x).numpy().astype(np.float64)


def r_squared(targets: np.ndarray, predictions: np.ndarray, rollout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)² of each target, and its 95 % percentile bootstrap interval, which resamples
    rollouts, since frames of one are alike (Efron & Tibshirani 1993, section 13.3).

    targets, predictions: (N, K), rollout: (N,) -> (K,), (K, 2). NaN where a target does not vary, and as the interval
    of a single rollout.
    """
    _, index = np.unique(rollout, return_inverse=True)
    y = targets - targets.mean(axis=0)
    sums = np.zeros((index.max() + 1, 1 + 3 * y.shape[1]))
    np.add.at(sums, index, np.hstack([np.ones((len(y), 1)), y, y**2, (targets - predictions) ** 2]))

    def score(totals: np.ndarray) -> np.ndarray:
        count, (total, squares, residual) = totals[..., :1], np.split(totals[..., 1:], 3, axis=-1)
        varies = squares - total**2 / count
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(varies > 1e-9 * count, 1 - residual / varies, np.nan)

    return score(sums.sum(axis=0)), interval(score(resampled_sums(sums)), len(sums))


def interval(values: np.ndarray, members: int) -> np.ndarray:
    """The middle 95 % of bootstrap values: (B, K) -> (K, 2). NaN where most samples have none, and where all are of a
    single member.
    """
    few = (np.isnan(values).mean(axis=0) > 0.5) | (members < 2)
    limits = np.nanquantile(np.where(few, 0, values), [0.025, 0.975], axis=0).T
    return np.where(few[:, None], np.nan, limits)
