"""Statistics of returns, of seeds and of held-out rollouts.

An interval is `t_interval`'s: exact for normal values at any number of them, and close to its name for skewed ones as
far as their number allows; ``experiments/statistics`` measures the coverage of each. A percentile bootstrap of three
values, called 95 %, holds the mean in 71 % to 75 % of cases.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

BLOCK = 1_000  # resamples at once
SKEWED_FROM = 10  # values from which on their skewness can be told, and is corrected for
Figure = dict[str, Any]  # {"value": …, "interval": [low, high] or None}


def describe(returns: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), 95 % interval of the mean (None of a single return; of few, close to its
    name only where returns are near normal), and the returns themselves.
    """
    values = np.asarray(returns, dtype=np.float64)
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "episodes": len(values),
        "mean": float(values.mean()),
        "std": std,
        "interval": seed_estimate(values)["interval"],
        "returns": values.tolist(),
    }


class Ratios(NamedTuple):
    """Σ numerators / Σ denominators and what tells their error, an entry for each of K figures: (K,) each."""

    value: np.ndarray
    error: np.ndarray  # standard error, by the jackknife
    freedom: np.ndarray  # degrees of freedom
    skewness: np.ndarray  # of a member's influence
    members: np.ndarray


def ratios(numerators: np.ndarray, denominators: np.ndarray) -> Ratios:
    """(N, K), (N, K) -> `Ratios`. A member without a denominator is none of that figure's. With denominators of 1, the
    mean, its standard error and n - 1.

    The jackknife's standard error (Efron & Tibshirani 1993, section 11.2); degrees of freedom are one less than Kish's
    effective number of members, (Σ b)² / Σ b², because one long rollout among short ones stands alone.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    part = below != 0
    above = np.where(part, above, 0.0)
    members, total, denominator = part.sum(0), above.sum(0), below.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(denominator != 0, total / denominator, np.nan)
        without = np.where(part, (total - above) / (denominator - below), 0.0)
        deviation = np.where(part, without - without.sum(0) / members, 0.0)
        error = np.sqrt((members - 1) / members * (deviation**2).sum(0))
        freedom = np.maximum(denominator**2 / (below**2).sum(0) - 1, 1.0)
        influence = np.where(part, above - value * below, 0.0)
        skewness = (influence**3).sum(0) / members / ((influence**2).sum(0) / members) ** 1.5
    return Ratios(value, error, freedom, np.where(np.isfinite(skewness), skewness, 0.0), members)


def t_interval(estimates: Ratios, level: float = 0.95) -> np.ndarray:
    """Intervals of `Ratios`: (K, 2). NaN where fewer than two members have the figure.

    Of fewer than `SKEWED_FROM` members Student's, value ± t · error. Of more, the same with Hall's correction for
    skewness (1992, On the removal of skewness by transformation, JRSS B 54:221–228), which of normal values is as wide.
    """
    quantile = stdtrit(estimates.freedom, (1 + level) / 2)
    bounds = []
    for t in (quantile, -quantile):
        corrected = np.where(
            estimates.members < SKEWED_FROM, t, _from_symmetric(t, estimates.skewness, estimates.members)
        )
        bounds.append(estimates.value - corrected * estimates.error)
    return np.where((estimates.members > 1)[:, None], np.stack(bounds, axis=1), np.nan)


def _from_symmetric(t: np.ndarray, skewness: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The inverse of `to_symmetric`."""
    root, safe = np.sqrt(members), np.where(np.abs(skewness) < 1e-6, 1.0, skewness)
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = 3 * root / safe * (np.cbrt(1 + safe * (t / root - safe / (6 * members))) - 1)
    return np.where(np.abs(skewness) < 1e-6, t, bent)


def to_symmetric(t: np.ndarray, skewness: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Hall's third transformation of a t statistic of skewed values to one that is nearly symmetric."""
    root = np.sqrt(members)
    return t + skewness * t**2 / (3 * root) + skewness**2 * t**3 / (27 * members) + skewness / (6 * root)


def ratio_estimates(numerators: np.ndarray, denominators: np.ndarray) -> list[Figure]:
    """Σ numerators / Σ denominators over members, with 95 % intervals: (N, K), (N, K) -> K ``{"value", "interval"}``,
    for JSON. The value is None where there is no such figure, the interval also of a single member.

    A member is what is independent of the others: a rollout, not a frame.
    """
    estimates = ratios(numerators, denominators)
    return [_figure(value, limits) for value, limits in zip(estimates.value, t_interval(estimates), strict=True)]


def _figure(value: float, limits: Sequence[float] | np.ndarray) -> Figure:
    if not np.isfinite(value):
        return {"value": None, "interval": None}
    bounded = bool(np.isfinite(limits).all())
    return {"value": float(value), "interval": [float(limit) for limit in limits] if bounded else None}


def seed_estimate(values: Sequence[float] | np.ndarray) -> Figure:
    """Mean of one value for each seed, or episode, with its 95 % interval; a single one has none."""
    values = np.asarray(values, dtype=np.float64)
    (figure,) = ratio_estimates(values[:, None], np.ones((len(values), 1)))
    return figure


def estimate(value: float, resampled: np.ndarray, members: int, level: float = 0.95) -> Figure:
    """A figure that is no ratio of sums, with an interval of its bootstrap standard error: value ± t · error, t of
    ``members`` - 1 degrees of freedom, and the error for n - 1 in the place of n. Resamples without the figure do not
    count. A single member has no interval.
    """
    valid = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(valid):
        return {"value": None, "interval": None}
    if members < 2:
        return {"value": float(value), "interval": None}
    half = stdtrit(members - 1, (1 + level) / 2) * valid.std() * np.sqrt(members / (members - 1))
    return _figure(value, [value - half, value + half])


def resampled_counts(count: int, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each of ``count`` members occurs in each bootstrap resample: blocks of (b, count), float64."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Average precision: the mean, over positives, of the precision at each one's score; equal scores are one
    threshold.

    scores, positive: (N,); weights: (..., N), one ranking's value for each row -> (...). NaN without a positive. A
    ranking by chance has the share of positives.
    """
    order = np.argsort(-scores, kind="stable")
    weights = np.ones(len(scores)) if weights is None else weights
    weights, hits = weights[..., order], positive[order].astype(np.float64)
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of each group of equal scores
    chosen = weights.cumsum(-1)[..., last]
    true_positives = (weights * hits).cumsum(-1)[..., last]
    gained = np.diff(true_positives, axis=-1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(chosen > 0, true_positives / chosen, 0.0)
        return (gained * precision).sum(-1) / true_positives[..., -1]
