"""Linear and small-MLP probes, and R² with an interval over whole rollouts.

Alain & Bengio 2017 read a representation with linear probes; the MLP finds what is encoded but not linearly. Probes are
to be scored on rollouts that they were neither fitted nor tuned on.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from worldmodels.utils.statistics import ratios, t_interval

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
    for validation_fold in np.unique(fold):
        predict = _ridge(Samples(*(column[fold != validation_fold] for column in training)))
        tried = Samples(*(column[fold == validation_fold] for column in training))
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
    x, tuned_x, test_x = map(tensor, np.split(scale.apply(everything), ends))
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
        return simple[-1] + spread * network(test_x).numpy().astype(np.float64)


def r_squared(targets: np.ndarray, predictions: np.ndarray, rollout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)² of each target, and its 95 % interval over rollouts, since frames of one are
    alike: that of a ratio of sums, see `worldmodels.utils.statistics`.

    targets, predictions: (N, K), rollout: (N,) -> (K,), (K, 2). NaN where a target does not vary, and as the interval
    of a single rollout.
    """
    _, index = np.unique(rollout, return_inverse=True)
    sums = np.zeros((2, index.max() + 1, targets.shape[1]))
    np.add.at(sums[0], index, (targets - predictions) ** 2)
    np.add.at(sums[1], index, (targets - targets.mean(axis=0)) ** 2)
    varies = sums[1].sum(axis=0) > 1e-9 * len(targets)
    unexplained = ratios(sums[0], np.where(varies, sums[1], 0.0))
    return 1 - unexplained.value, 1 - t_interval(unexplained)[:, ::-1]
