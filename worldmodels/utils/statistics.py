"""Statistics of returns and of held-out rollouts."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

RESAMPLES = 10_000
BLOCK = 1_000  # resamples at once


def describe(returns: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), 95 % bootstrap interval of the mean (None of a single return), and the returns
    themselves.
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


def resampled_counts(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each of ``count`` members occurs in each bootstrap resample: blocks of (b, count), float64."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def resampled_sums(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Totals over the members of each bootstrap resample: (N, C) -> (``resamples``, C). The same seed draws the same
    resamples.
    """
    return np.concatenate([weights @ values for weights in resampled_counts(len(values), resamples, seed)])


def resampled_ratios(numerators: np.ndarray, denominators: np.ndarray, seed: int = 0) -> np.ndarray:
    """Σ numerators / Σ denominators over the members of each bootstrap resample: (N, K), (N, K) -> (RESAMPLES, K).

    The same seed draws the same resamples. NaN where a resample's denominators add up to 0.
    """
    above, below = np.split(resampled_sums(np.hstack([numerators, denominators]), seed=seed), 2, axis=1)
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def estimate(value: float, resampled: np.ndarray, members: int, level: float = 0.95) -> dict[str, Any]:
    """A figure with its percentile interval (Efron & Tibshirani 1993, section 13.3), for JSON; None where there is no
    such figure. Resamples without one do not count. A single member, of which every resample is the same, has no
    interval.
    """
    valid = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(valid):
        return {"value": None, "interval": None}
    if members < 2:
        return {"value": float(value), "interval": None}
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2])
    return {"value": float(value), "interval": [float(low), float(high)]}


def ratio_estimates(numerators: np.ndarray, denominators: np.ndarray) -> list[dict[str, Any]]:
    """Σ numerators / Σ denominators over members, with 95 % bootstrap intervals: (N, K), (N, K) -> K `estimate`s.

    A member is what is independent of the others: a rollout, not a frame (Efron & Tibshirani 1993, section 8.5). One
    without a denominator is none of that figure's.
    """
    numerators, denominators = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    above, below = numerators.sum(0), denominators.sum(0)
    values = np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
    resampled = resampled_ratios(numerators, denominators)
    members = np.count_nonzero(denominators, axis=0)
    return [estimate(*figure) for figure in zip(values, resampled.T, members, strict=True)]


def seed_estimate(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Mean of one value for each seed, or episode, as an `estimate`; a single one has no interval.

    A percentile interval of so few values is too narrow. Of two or three it is their range, which holds the mean of a
    symmetric distribution with probability 1 - 2^(1 - n): 50 % and 75 %; of five normal values it is 84 %, of ten 91 %.
    """
    values = np.asarray(values, dtype=np.float64)
    (found,) = ratio_estimates(values[:, None], np.ones((len(values), 1)))
    return found


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
    found = (weights * hits).cumsum(-1)[..., last]
    gained = np.diff(found, axis=-1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(chosen > 0, found / chosen, 0.0)
        return (gained * precision).sum(-1) / found[..., -1]
