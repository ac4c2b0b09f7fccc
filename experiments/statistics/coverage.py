"""How often the project's 95 % intervals hold the truth: ``python experiments/statistics/coverage.py [--to FOLDER]``.

``coverage.csv`` has a row for each interval, distribution and number of values.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from worldmodels.reports.tidy import write_csv
from worldmodels.utils.comparing import interquartile_mean, probability_of_improvement
from worldmodels.utils.statistics import ratios, resampled_ratios, t_interval

STUDY = Path(__file__).parent
COUNTS = (2, 3, 5, 10, 16, 30, 100)
DRAWS = 40_000
SLOW_DRAWS = 1_000  # of an interval that resamples, or is computed one by one
Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


class Case(NamedTuple):
    """Numerators and denominators of (members, draws), and the truth that an interval has to hold."""

    kind: str
    distribution: str
    draw: Draw
    truth: float


def _mean(sample: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> Draw:
    return lambda rng, size: (sample(rng, size), np.ones(size))


def returns(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """As a driver's on CarRacing that leaves the road in 15 % of episodes."""
    off = rng.random(size) < 0.15
    return np.where(off, rng.normal(250, 150, size), rng.normal(850, 60, size))


def _lengths(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return rng.integers(20, 151, size).astype(float)  # of rollouts


def _errors(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Differences of errors summed over rollouts, whose own means are normal."""
    lengths = _lengths(rng, size)
    return lengths * rng.normal(0.3, 1.0, size), lengths


def _skewed_errors(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    lengths = _lengths(rng, size)
    return lengths * rng.exponential(1.0, size), lengths


def _shares(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Hits among frames; most rollouts have nearly all, a few hardly any."""
    lengths = _lengths(rng, size)
    return rng.binomial(lengths.astype(int), rng.beta(1.8, 0.2, size)).astype(float), lengths


CASES = (
    Case("mean", "normal", _mean(lambda rng, size: rng.normal(size=size)), 0.0),
    Case("mean", "uniform", _mean(lambda rng, size: rng.random(size)), 0.5),
    Case("mean", "exponential", _mean(lambda rng, size: rng.exponential(size=size)), 1.0),
    Case("mean", "lognormal", _mean(lambda rng, size: rng.lognormal(size=size)), float(np.exp(0.5))),
    Case("mean", "returns", _mean(returns), 0.15 * 250 + 0.85 * 850),
    Case("ratio", "normal", _errors, 0.3),
    Case("ratio", "exponential", _skewed_errors, 1.0),
    Case("ratio", "shares", _shares, 0.9),
)


def coverage(case: Case, count: int, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Share of draws whose interval holds the truth, and the median width."""
    bounds = t_interval(ratios(*case.draw(np.random.default_rng([seed, count]), (count, draws))))
    return _share_inside(bounds, case.truth)


def _share_inside(bounds: np.ndarray, truth: float) -> dict[str, Any]:
    inside = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    return {"coverage": float(inside.mean()), "width": float(np.median(bounds[:, 1] - bounds[:, 0]))}


def percentile(case: Case, count: int, seed: int = 0) -> dict[str, Any]:
    """Of the percentile bootstrap, which the project used before."""
    above, below = case.draw(np.random.default_rng([seed, count]), (count, SLOW_DRAWS))
    low, high = np.nanquantile(resampled_ratios(above, below), [0.025, 0.975], axis=0)
    return _share_inside(np.stack([low, high], axis=1), case.truth)


def many(kind: str, count: int, seed: int = 0) -> dict[str, Any]:
    """Of an interquartile mean of returns, or of the probability of improvement between two normal samples."""
    rng = np.random.default_rng([seed, count])
    if kind == "interquartile mean":
        truth = float(interquartile_mean(returns(rng, (1, 4_000_000))[0])["value"])
        intervals = [interquartile_mean(returns(rng, (1, count))[0])["interval"] for _ in range(SLOW_DRAWS)]
    else:
        truth = float(ndtr(0.5 / np.sqrt(2)))
        pairs = (rng.normal(size=(2, count)) for _ in range(SLOW_DRAWS))
        intervals = [probability_of_improvement(one + 0.5, other)["interval"] for one, other in pairs]
    return _share_inside(np.array([bounds for bounds in intervals if bounds is not None]), truth)


def rows() -> Iterator[dict[str, Any]]:
    for case in CASES:
        for count in COUNTS:
            row = {"kind": case.kind, "distribution": case.distribution, "n": count, **coverage(case, count)}
            yield row | {f"percentile_{key}": value for key, value in percentile(case, count).items()}
    for kind, distribution in (("interquartile mean", "returns"), ("probability of improvement", "normal")):
        for count in (count for count in COUNTS if count >= 10):
            yield {"kind": kind, "distribution": distribution, "n": count, **many(kind, count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=STUDY, help="where coverage.csv goes")
    write_csv(parser.parse_args().to / "coverage.csv", rows(), ".3f")


if __name__ == "__main__":
    main()
