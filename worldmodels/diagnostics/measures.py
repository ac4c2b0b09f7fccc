"""How good is M? Errors, likelihood, calibration, use of actions and heads, on rollouts it never trained on."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodels.diagnostics.baselines import Baselines, fit_baselines, gaussian_nll
from worldmodels.diagnostics.head_measures import measure_end, measure_reward
from worldmodels.diagnostics.open_loop import SquaredErrors, squared_errors
from worldmodels.diagnostics.trajectories import Batch, Trajectory, batches, mismatched_actions
from worldmodels.memory import mixture
from worldmodels.memory.interface import Memory, heads_of
from worldmodels.utils.checks import require
from worldmodels.utils.devices import device_of
from worldmodels.utils.statistics import ratio_estimates

HORIZONS = (1, 2, 5, 10, 20, 50, 100)
BINS = 10  # of the histogram of the probability integral transform
ACTIVE = 0.01  # least variance of μ in a latent dimension that V uses (Burda et al. 2016, section 5.2)
CENTRAL = (0.5, 0.9)
Figures = dict[str, Any]


def measure(
    network: Memory,
    heldout: Sequence[Trajectory],
    training: Iterable[Trajectory],
    seed: int = 0,
    horizons: Sequence[int] = HORIZONS,
    samples: int = 8,
) -> Figures:
    """All measures of M, as plain JSON. A figure is ``{"value", "interval"}``: a 95 % interval over held-out rollouts,
    None of a single one. Both are None where the rollouts do not give it. Differences are paired by rollout.

    ``training``: rollouts to fit the baselines to, read once. ``seed``: of z ~ N(μ, σ²) and of the reservoir.
    ``samples``: futures whose expectation is M's forecast, two or more; with 0 its mean is fed back. ``moving_share``
    near 0 says that μ tells rollouts apart but hardly moves within one: then persistence cannot be beaten. Raises
    `ConfigError` without a transition on either side.
    """
    training = list(training) if not isinstance(training, Sequence) else training
    for name, rollouts in (("held-out", heldout), ("training", training)):
        require(
            any(len(trajectory.mu) > 1 for trajectory in rollouts),
            f"measuring M needs {name} rollouts of two frames or more: got {len(rollouts)} rollouts without; collect "
            "more",
        )
    require(samples == 0 or samples > 1, f"samples={samples} has no variance: expected 0, or 2 or more")
    was_training = network.training
    network.eval()
    baselines = fit_baselines(network, training, seed)
    figures: Figures = {
        "rollouts": len(heldout),
        "frames": sum(len(trajectory.mu) for trajectory in heldout),
        "training": {"rollouts": baselines.rollouts, "frames": baselines.frames},
        "active_dimensions": int((baselines.variance >= ACTIVE).sum()),
        "moving_share": baselines.moving,
        "reservoir_ridge": baselines.reservoir.ridge,
        "open_loop": _open_loop(squared_errors(network, baselines, heldout, horizons, seed, samples), baselines)
        | {"horizons": list(horizons)},
        **_one_step(network, baselines, heldout, seed),
    }
    heads = heads_of(network)
    if heads.reward is not None:
        figures["reward"] = measure_reward(network, heads.reward, baselines, heldout, seed)
    if heads.end is not None:
        figures["end"] = measure_end(network, heads.end, baselines, heldout, seed)
    network.train(was_training)
    return {**figures, "summary": summary(figures)}


def summary(figures: Figures) -> Figures:
    """Verdicts: true where a difference's whole interval is on M's side, at each horizon and of the NLL; None where
    there is none. ``everywhere``: true at all that have one, None where none has.
    """
    names = {
        "beats_persistence": "memory_minus_persistence",
        "beats_reservoir": "memory_minus_reservoir",
        "uses_actions": "memory_minus_mismatched_actions",
    }
    verdicts = {}
    for verdict, name in names.items():
        differences = zip(figures["open_loop"]["horizons"], figures["open_loop"].get(name, []), strict=False)
        better = {f"horizon_{horizon}": _below_zero(value) for horizon, value in differences}
        if name in figures["nll"]:
            better["nll"] = _below_zero(figures["nll"][name])
        if not better:
            continue
        decided = [value for value in better.values() if value is not None]
        verdicts[verdict] = {**better, "everywhere": all(decided) if decided else None}
    return verdicts


def rows(figures: Figures) -> list[Figures]:
    """The figures as a flat table: ``measure``, ``model``, ``horizon`` (or None), ``value``, ``low``, ``high``."""
    table = []
    for measure_name, models in figures.items():
        for model, entry in models.items() if isinstance(models, dict) else ():
            horizons = figures["open_loop"]["horizons"] if measure_name == "open_loop" else range(1, BINS + 1)
            several = isinstance(entry, list)
            for horizon, figure in zip(horizons, entry, strict=False) if several else ((None, entry),):
                if isinstance(figure, dict) and figure.keys() == {"value", "interval"}:
                    low, high = figure["interval"] or (None, None)
                    bounds = {"value": figure["value"], "low": low, "high": high}
                    table.append({"measure": measure_name, "model": model, "horizon": horizon, **bounds})
    return table


def _below_zero(difference: Figures) -> bool | None:
    return None if difference["interval"] is None else difference["interval"][1] < 0


def _compared(sums: dict[str, np.ndarray], counts: np.ndarray) -> dict[str, list[Figures]]:
    """Each model's mean, and M's difference to each other: (R, K) sums, (R, K) counts."""
    sums = sums | {f"memory_minus_{name}": sums["memory"] - sums[name] for name in sums if name != "memory"}
    return {name: ratio_estimates(value, counts) for name, value in sums.items()}


def _open_loop(errors: SquaredErrors, baselines: Baselines) -> Figures:
    """Squared error as a share of the variance of μ in training, both summed over the dimensions: 1 is about what the
    mean gives. So a dimension counts by its variance, and one that V does not use hardly counts; a mean of every
    dimension's own ratio would be made of the noise in those.
    """
    sums = {name: value for name, value in errors._asdict().items() if name != "forecasts"}
    counted = errors.forecasts
    return {
        **_compared(sums, counted * baselines.variance.sum()),
        "forecasts": counted.sum(0).astype(int).tolist(),
        "rollouts": (counted > 0).sum(0).tolist(),
    }


@torch.no_grad()
def _one_step(network: Memory, baselines: Baselines, heldout: Sequence[Trajectory], seed: int) -> Figures:
    """NLL in nats per latent dimension of z ~ N(μ, σ²), from the z before it; and whether M's mixtures are calibrated:
    the share of z in each tenth of the predicted distribution, and in its central intervals.
    """
    device, reservoir = device_of(network), baselines.reservoir
    persistence = torch.from_numpy(baselines.persistence).float().to(device)
    active = torch.from_numpy(baselines.variance >= ACTIVE).to(device)
    parts: dict[str, list[np.ndarray]] = {}
    transforms = []

    def keep(name: str, values: Tensor, batch: Batch) -> None:
        """values: (B, L - 1, Z)."""
        summed = (values * batch.transitions.unsqueeze(-1)).double().sum(1)
        parts.setdefault(name, []).append(summed.cpu().numpy())

    pairs = zip(batches(heldout, seed), batches(mismatched_actions(heldout), seed), strict=True)
    for batch, mismatched in ((Batch(*(part.to(device) for part in rollouts)) for rollouts in pair) for pair in pairs):
        z, following = batch.z[:, :-1], batch.z[:, 1:]
        predicted = network.mixture(network.unroll(batch.z, batch.actions)[0][:, :-1], z)
        keep("memory", mixture.nll(predicted, following), batch)
        misled = network.mixture(network.unroll(batch.z, mismatched.actions)[0][:, :-1], z)
        keep("mismatched_actions", mixture.nll(misled, following), batch)
        hidden = reservoir.network.unroll(batch.z, batch.actions)[0][:, :-1]
        keep("reservoir", gaussian_nll(following - reservoir.predict(hidden), reservoir.variance), batch)
        keep("persistence", gaussian_nll(batch.z.diff(dim=1), persistence), batch)
        real = batch.transitions.unsqueeze(-1) > 0
        transforms.append(_histogram(mixture.cdf(predicted, following), real & active).cpu().numpy())
    sums = {name: np.concatenate(part) for name, part in parts.items()}
    counts = np.array([[len(trajectory.mu) - 1.0] for trajectory in heldout])
    dimensions = next(iter(sums.values())).shape[1]
    compared = _compared({name: value.sum(1, keepdims=True) for name, value in sums.items()}, counts * dimensions)
    per_dimension = {name: (value.sum(0) / counts.sum()).tolist() for name, value in sums.items()}
    return {
        "nll": {
            **{name: value for name, [value] in compared.items()},
            "per_dimension": {**per_dimension, "variance": baselines.variance.tolist()},
        },
        "calibration": calibration(np.concatenate(transforms)) if active.any() else None,
    }


def _histogram(transform: Tensor, counted: Tensor) -> Tensor:
    """Counts of u in each of 20 equal bins, for each sequence: (B, T, Z), mask -> (B, 2 * BINS)."""
    bins = 2 * BINS  # of 0.05, so that the limits of the central intervals are among their edges
    index = (transform * bins).long().clamp(0, bins - 1)
    counts = transform.new_zeros(len(transform), bins, dtype=torch.float64)
    return counts.scatter_add_(1, index.flatten(1), counted.expand_as(index).flatten(1).double())


def calibration(counts: np.ndarray) -> Figures:
    """Calibration from counts of the probability integral transform u = F(z) in 20 equal bins, by rollout: (R, 20).

    u is uniform where the mixture is right (Dawid 1984). ``histogram``: share in each tenth; ``coverage_50`` and
    ``coverage_90``: share in the central intervals; ``error``: mean of |share of u ≤ p - p| over p = 0.1 … 0.9
    (Kuleshov et al. 2018, section 3.5, with the absolute value). It has no interval: a mean of distances is never below
    0, so that few rollouts show more of it than there is, and an interval around it misses the 0 of a mixture that is
    right.
    """
    edges = np.linspace(0, 1, counts.shape[1] + 1)
    tenths = counts.reshape(len(counts), BINS, -1).sum(-1)
    total = counts.sum(1, keepdims=True)
    central = []
    for share in CENTRAL:
        inside = (edges[:-1] >= (1 - share) / 2 - 1e-9) & (edges[1:] <= (1 + share) / 2 + 1e-9)
        central.append(counts[:, inside].sum(1))
    columns = np.column_stack([tenths, *central])
    estimates = ratio_estimates(columns, np.broadcast_to(total, columns.shape))
    below = tenths.sum(0).cumsum()[:-1] / total.sum()
    return {
        "histogram": estimates[:BINS],
        **{f"coverage_{share * 100:.0f}": value for share, value in zip(CENTRAL, estimates[BINS:], strict=True)},
        "error": {"value": float(np.abs(below - np.arange(1, BINS) / BINS).mean()), "interval": None},
    }
