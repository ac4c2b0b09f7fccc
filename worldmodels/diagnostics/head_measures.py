"""How good are M's heads, on held-out rollouts? With 95 % intervals over rollouts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worldmodels.diagnostics.baselines import Baselines, gaussian_nll
from worldmodels.diagnostics.trajectories import Trajectory, batches
from worldmodels.memory.interface import Memory
from worldmodels.utils.devices import device_of
from worldmodels.utils.statistics import Figure, average_precision, estimate, ratio_estimates, resampled_counts

AP_RESAMPLES = 1_000  # fewer, because each goes through all rows
AP_MEMBERS = 16  # rollouts: an interval of fewer holds less than it is called (experiments/statistics)


@torch.no_grad()
def measure_reward(
    network: Memory, head: Any, baselines: Baselines, heldout: Sequence[Trajectory], seed: int
) -> dict[str, Any]:
    """R² of the mean reward and NLL in nats, against the mean and Gaussian of the training rewards."""
    device = device_of(network)
    floor = max(baselines.reward_std, 1e-6)
    parts = []
    for batch in batches(heldout, seed):
        hidden = network.unroll(batch.z.to(device), batch.actions.to(device))[0]
        mean, nll = head.mean(hidden).cpu(), head.nll(hidden, batch.rewards.to(device)).cpu()
        off = batch.rewards - baselines.reward_mean
        constant = gaussian_nll(off, torch.tensor(floor**2))
        columns = torch.stack([(batch.rewards - mean).square(), off.square(), nll, constant, nll - constant], -1)
        parts.append((columns.double() * batch.rows.unsqueeze(-1)).sum(1).numpy())
    sums = np.concatenate(parts)
    counts = np.array([[float(len(trajectory.mu))] for trajectory in heldout])
    unexplained, squares = sums[:, :1], sums[:, 1:2]
    [explained] = ratio_estimates(squares - unexplained, squares)
    nll, constant, difference = ratio_estimates(sums[:, 2:], np.repeat(counts, 3, axis=1))
    return {"r2": explained, "nll": nll, "constant_nll": constant, "nll_minus_constant": difference}


@torch.no_grad()
def measure_end(
    network: Memory, head: Any, baselines: Baselines, heldout: Sequence[Trajectory], seed: int
) -> dict[str, Any]:
    """Brier score and NLL against the training share of ends; average precision against the held-out share."""
    device = device_of(network)
    probabilities, losses = [], []
    for batch in batches(heldout, seed):
        hidden = network.unroll(batch.z.to(device), batch.actions.to(device))[0]
        columns = head.probability(hidden).cpu(), head.nll(hidden, batch.terminated.to(device)).cpu()
        for values_of, values in zip((probabilities, losses), columns, strict=True):
            values_of += [
                row[: int(count)].double().numpy() for row, count in zip(values, batch.rows.sum(1), strict=True)
            ]
    ended = [np.asarray(trajectory.terminated, np.float64) for trajectory in heldout]
    rate = min(max(baselines.end_rate, 1e-6), 1 - 1e-6)
    columns = np.array(
        [
            [
                ((p - d) ** 2).sum(),
                ((rate - d) ** 2).sum(),
                ((p - d) ** 2 - (rate - d) ** 2).sum(),
                loss.sum(),
                -(d * np.log(rate) + (1 - d) * np.log(1 - rate)).sum(),
                d.sum(),
            ]
            for p, d, loss in zip(probabilities, ended, losses, strict=True)
        ]
    )
    counts = np.array([len(d) for d in ended])
    names = ("brier", "constant_brier", "brier_minus_constant", "nll", "constant_nll", "base_rate")
    figures = dict(zip(names, ratio_estimates(columns, np.repeat(counts[:, None], 6, axis=1)), strict=True))
    scores, positive, rollout = (
        np.concatenate(probabilities),
        np.concatenate(ended),
        np.repeat(range(len(counts)), counts),
    )
    value = float(average_precision(scores, positive))
    if len(counts) < AP_MEMBERS:
        precision: Figure = {"value": value if np.isfinite(value) else None, "interval": None}
    else:
        blocks = resampled_counts(len(counts), AP_RESAMPLES)
        resampled = [average_precision(scores, positive, row[rollout]) for block in blocks for row in block]
        precision = estimate(value, np.array(resampled), len(counts))
    return {**figures, "average_precision": precision, "ends": int(positive.sum())}
