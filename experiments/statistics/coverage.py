"""How often the project's 95 % intervals hold the truth: ``python experiments/statistics/coverage.py [--to FOLDER]``.

``coverage.csv`` has a row for each interval, distribution and number of values.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from worldmodels.diagnostics.head_measures import AP_MEMBERS
from worldmodels.diagnostics.probes import r_squared
from worldmodels.reports.tidy import write_csv
from worldmodels.utils.comparing import MANY, interquartile_mean, probability_of_improvement
from worldmodels.utils.statistics import (
    average_precision,
    estimate,
    ratios,
    resampled_counts,
    t_interval,
)

STUDY = Path(__file__).parent
COUNTS = (2, 3, 5, 10, 16, 30, 100)
DRAWS = 40_000
SINGLE_DRAWS = 10_000  # of an interval that is computed one by one
SLOW_DRAWS = 1_000  # of one that resamples
PROBABILITIES = (0.5, 0.76, 0.86, 0.92, 0.96)  # of improvement
CORRELATIONS = (0.0, 0.7)  # of seeds
RESAMPLES = 200  # of an interval of their standard error
BOOTSTRAP = 10_000  # resamples of the percentile bootstrap
Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


class Case(NamedTuple):
    """Numerators and denominators of (members, draws), and the truth that an interval has to hold."""

    kind: str
    distribution: str
    draw: Draw
    truth: float


def _mean(sample: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> Draw:
    return lambda rng, size: (sample(rng, size), np.ones(size))


def returns(rng: np.random.Generator, size: tuple[int, int], failing: float = 0.15) -> np.ndarray:
    """As a driver's on CarRacing that leaves the road in 15 % of episodes."""
    off = rng.random(size) < failing
    return np.where(off, rng.normal(250, 150, size), rng.normal(850, 60, size))


def rare_failures(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """The same, of one that leaves it in 2 %."""
    return returns(rng, size, 0.02)


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
    Case("mean", "gamma", _mean(lambda rng, size: rng.gamma(4.0, size=size)), 4.0),  # skewness 1
    Case("mean", "exponential", _mean(lambda rng, size: rng.exponential(size=size)), 1.0),
    Case("mean", "lognormal", _mean(lambda rng, size: rng.lognormal(size=size)), float(np.exp(0.5))),
    Case("mean", "returns", _mean(returns), 0.15 * 250 + 0.85 * 850),
    Case("mean", "rare failures", _mean(rare_failures), 0.02 * 250 + 0.98 * 850),
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
    both = np.hstack([above, below])
    above, below = np.split(
        np.concatenate([weights @ both for weights in resampled_counts(count, BOOTSTRAP)]), 2, axis=1
    )
    ratio = np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
    low, high = np.nanquantile(ratio, [0.025, 0.975], axis=0)
    return _share_inside(np.stack([low, high], axis=1), case.truth)


def interquartile(distribution: str, count: int, draws: int = SINGLE_DRAWS, seed: int = 0) -> dict[str, Any]:
    """Of an interquartile mean; the truth is that of four million values."""
    rng = np.random.default_rng([seed, count])
    (case,) = [case for case in CASES if (case.kind, case.distribution) == ("mean", distribution)]
    truth = float(interquartile_mean(case.draw(rng, (1, 4_000_000))[0][0])["value"])
    values = case.draw(rng, (draws, count))[0]
    return _share_inside(np.array([interquartile_mean(row)["interval"] for row in values]), truth)


def improvement(
    truth: float, correlation: float, count: int, draws: int = SINGLE_DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Of the probability of improvement between two normal samples, whose seeds are correlated; of the draws that have
    an interval.
    """
    rng = np.random.default_rng([seed, count])
    noise = rng.normal(size=(draws, 2, count))
    better = noise[:, 0] + np.sqrt(2) * ndtri(truth)
    other = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
    intervals = [probability_of_improvement(one, two)["interval"] for one, two in zip(better, other, strict=True)]
    return _share_inside(np.array([bounds for bounds in intervals if bounds is not None]), truth)


def explained(count: int, draws: int = SINGLE_DRAWS, seed: int = 0) -> dict[str, Any]:
    """Of R² over rollouts: a third of the target's variance is between them, half of the error's is common to the
    frames of one.
    """
    rng, bounds = np.random.default_rng([seed, count]), []
    for _ in range(draws):
        lengths = _lengths(rng, (count, 1))[:, 0].astype(int)
        rollout = np.repeat(np.arange(count), lengths)
        own, common = rng.normal(size=(2, len(rollout))), rng.normal(size=(2, count))[:, rollout]
        target = np.sqrt(2 / 3) * own[0] + np.sqrt(1 / 3) * common[0]
        error = 0.5 * (own[1] + common[1]) / np.sqrt(2)
        bounds.append(r_squared(target[:, None], (target - error)[:, None], rollout)[1][0])
    return _share_inside(np.array(bounds), 1 - 0.5**2)


def average_precisions(count: int, draws: int = SLOW_DRAWS // 2, seed: int = 0) -> dict[str, Any]:
    """Of the average precision of scores for the last frame of each rollout, by `estimate`; the truth is that of 20,000
    rollouts.
    """
    rng = np.random.default_rng([seed, count])
    intervals = []
    for _ in range(draws):
        scores, last, rollout = _ends(rng, count)
        weights = np.concatenate(list(resampled_counts(count, RESAMPLES, len(intervals))))[:, rollout]
        value = float(average_precision(scores, last))
        intervals.append(estimate(value, average_precision(scores, last, weights), count)["interval"])
    return _share_inside(np.array(intervals), float(average_precision(*_ends(rng, 20_000)[:2])))


def _ends(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of frames, which frame is the last, and whose: some rollouts' ends are predicted better than others'."""
    lengths = _lengths(rng, (count, 1))[:, 0].astype(int)
    rollout = np.repeat(np.arange(count), lengths)
    last = np.zeros(len(rollout), dtype=bool)
    last[lengths.cumsum() - 1] = True
    signal = rng.normal(2.5, 1.0, count)[rollout]
    return rng.normal(size=len(rollout)) + signal * last, last, rollout


def rows() -> Iterator[dict[str, Any]]:
    for case in CASES:
        for count in COUNTS:
            row = {"kind": case.kind, "distribution": case.distribution, "n": count, **coverage(case, count)}
            yield row | {f"percentile_{key}": value for key, value in percentile(case, count).items()}
    many = [count for count in COUNTS if count >= MANY]
    for distribution in ("normal", "exponential", "lognormal", "returns"):
        for count in many:
            figures = interquartile(distribution, count)
            yield {"kind": "interquartile mean", "distribution": distribution, "n": count, **figures}
    for truth, correlation in product(PROBABILITIES, CORRELATIONS):
        for count in many:
            distribution = f"{truth:g}; seeds correlated by {correlation:g}"
            figures = improvement(truth, correlation, count)
            yield {"kind": "probability of improvement", "distribution": distribution, "n": count, **figures}
    for kind, of_kind, least in (
        ("R²", explained, 2),
        ("average precision", average_precisions, AP_MEMBERS),
    ):
        for count in COUNTS:
            if count >= least:
                yield {"kind": kind, "distribution": "rollouts", "n": count, **of_kind(count)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=STUDY, help="where coverage.csv goes")
    write_csv(parser.parse_args().to / "coverage.csv", rows(), ".3f")


if __name__ == "__main__":
    main()
