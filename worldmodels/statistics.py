"""Statistics of returns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 10_000


def bootstrap_interval(values: Sequence[float] | np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron & Tibshirani 1993, section 13.3). One value: an interval of no
    width.
    """
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def describe(returns: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), 95 % bootstrap interval of the mean, and the returns themselves."""
    values = np.asarray(returns, dtype=np.float64)
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    interval = list(bootstrap_interval(values))
    return {
        "episodes": len(values),
        "mean": float(values.mean()),
        "std": std,
        "interval": interval,
        "returns": values.tolist(),
    }
