"""What M has to beat: nothing changes, and a reservoir; both fitted to the training rollouts, in one pass over them."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.diagnostics.trajectories import Trajectory, batches
from worldmodels.memory.interface import Memory
from worldmodels.memory.mixture import HALF_LOG_TWO_PI
from worldmodels.memory.network import MDNLSTM
from worldmodels.utils.devices import device_of
from worldmodels.utils.seeds import sequence

RIDGES = tuple(10.0**power for power in range(-10, 2))  # times the features' mean variance
FEW = 1e-3  # the ridge where there are too few rollouts to choose it
CHOOSING = 5  # every fifth training rollout chooses the ridge


class Reservoir(NamedTuple):
    """An LSTM with fresh random weights, as many numbers in h as M's, and a linear readout of h: the next μ, with the
    residual variance of z (Jaeger 2001). Its LSTM has learnt nothing. It is the same whatever kind of network M is.
    """

    network: MDNLSTM  # its mixture is not used
    weight: Tensor  # (H, Z)
    bias: Tensor  # (Z,)
    variance: Tensor  # (Z,)
    ridge: float

    def predict(self, h: Tensor) -> Tensor:
        """The next μ: (..., H) -> (..., Z)."""
        return h @ self.weight + self.bias


class Baselines(NamedTuple):
    """Facts of the training rollouts, and the baselines fitted to them. Variances are those of a single dimension."""

    rollouts: int
    frames: int
    mean: np.ndarray  # of μ: (Z,)
    variance: np.ndarray  # of μ: (Z,)
    moving: float  # share of the variance of μ, summed over dimensions, that is within rollouts and not between them
    persistence: np.ndarray  # mean square of z_{t+1} - z_t: (Z,)
    reward_mean: float
    reward_std: float
    end_rate: float
    reservoir: Reservoir


def gaussian_nll(error: Tensor, variance: Tensor) -> Tensor:
    """Negative log-density in nats of errors under N(0, variance)."""
    return 0.5 * (error.square() / variance + variance.log()) + HALF_LOG_TWO_PI


def untrained(network: Memory, seed: int) -> MDNLSTM:
    """An LSTM of M's sizes with fresh weights, on the same device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(sequence(seed, "figures", 5).generate_state(1)[0]))
        fresh = MDNLSTM(network.latent_size, network.action_size, network.hidden_size, mixtures=1)
    return fresh.to(device_of(network)).eval()


@torch.no_grad()
def fit_baselines(network: Memory, training: Iterable[Trajectory], seed: int) -> Baselines:
    """One pass over the training rollouts. Everything, the readout's normal equations too, is made of sums."""
    reservoir = untrained(network, seed)
    device = device_of(network)
    moments, rewards = [_Moments(), _Moments()], _Moments()
    levels, changes, noise = _Moments(), _Moments(), _Moments()
    rollouts, ends, within = 0, 0.0, 0.0
    for batch in batches(training, seed):
        hidden = reservoir.unroll(batch.z.to(device), batch.actions.to(device))[0].cpu()
        numbers = torch.arange(rollouts, rollouts + len(hidden))
        choosing = (numbers % CHOOSING == CHOOSING - 1).unsqueeze(1)
        real, following = batch.rows > 0, batch.transitions > 0
        pairs = torch.cat([hidden[:, :-1], batch.mu[:, 1:]], -1)
        for part, members in zip(moments, (~choosing, choosing), strict=True):
            part.add(pairs[following & members])
        levels.add(batch.mu[real])
        changes.add(batch.mu.diff(dim=1)[following])
        variance = batch.log_var.exp()
        noise.add(torch.cat([variance[:, :-1], variance[:, 1:]], -1)[following])
        rewards.add(batch.rewards[real].unsqueeze(-1))
        ends += float((batch.terminated * batch.rows).sum())
        mask = batch.rows.unsqueeze(-1).double()
        mean = (batch.mu * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        within += float(((batch.mu - mean).square() * mask).sum())
        rollouts += len(hidden)
    before, after = np.split(noise.mean, 2)
    weight, bias, residual, ridge = _ridge(*moments, size=network.hidden_size)
    to = lambda array: torch.from_numpy(array).float().to(device)  # noqa: E731
    return Baselines(
        rollouts=rollouts,
        frames=int(levels.count),
        mean=levels.mean,
        variance=np.diag(levels.covariance),
        moving=within / max(float(np.trace(levels.covariance)) * levels.count, 1e-12),
        persistence=np.diag(changes.square) / changes.count + before + after,
        reward_mean=float(rewards.mean[0]),
        reward_std=math.sqrt(max(float(rewards.covariance[0, 0]), 0.0)),
        end_rate=ends / levels.count,
        reservoir=Reservoir(reservoir, to(weight), to(bias), to(residual + after), ridge),
    )


class _Moments:
    """Count, sum and sum of products of rows, in double precision."""

    def __init__(self) -> None:
        self.count = 0.0
        self.sum: np.ndarray = np.zeros(())
        self.square: np.ndarray = np.zeros(())

    def add(self, rows: Tensor) -> None:
        values = rows.double().numpy()
        self.count += len(values)
        self.sum = self.sum + values.sum(0)
        self.square = self.square + values.T @ values

    @property
    def mean(self) -> np.ndarray:
        return self.sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        return self.square / self.count - np.outer(self.mean, self.mean)

    def __add__(self, other: "_Moments") -> "_Moments":
        both = _Moments()
        both.count, both.sum, both.square = self.count + other.count, self.sum + other.sum, self.square + other.square
        return both


def _ridge(fitting: _Moments, choosing: _Moments, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Ridge regression of the last columns on the first ``size``: weight (H, Z), bias (Z,), the residuals' mean square
    (Z,), and the ridge: the one that is best on ``choosing`` when fitted to ``fitting``; then fitted to both.
    """
    ridge = FEW
    if choosing.count and fitting.count:
        solutions = {ridge: _solve(fitting, size, ridge) for ridge in RIDGES}
        ridge = min(RIDGES, key=lambda ridge: _residual(choosing, *solutions[ridge]).sum())
    both = fitting + choosing
    weight, bias = _solve(both, size, ridge)
    return weight, bias, _residual(both, weight, bias), ridge


def _solve(moments: _Moments, size: int, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    covariance = moments.covariance
    inputs = covariance[:size, :size]
    penalty = max(ridge * np.trace(inputs) / size, 1e-12)  # a single transition has no variance
    weight = np.linalg.solve(inputs + penalty * np.eye(size), covariance[:size, size:])
    return weight, moments.mean[size:] - moments.mean[:size] @ weight


def _residual(moments: _Moments, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Mean square of target - (input @ weight + bias), from the moments alone."""
    size = len(weight)
    combined = np.concatenate([-weight, np.eye(weight.shape[1])])
    spread = np.einsum("iz,ij,jz->z", combined, moments.covariance, combined)
    off = moments.mean[size:] - moments.mean[:size] @ weight - bias
    return np.maximum(spread, 0) + off**2
