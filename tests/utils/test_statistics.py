"""Intervals: how often they hold the truth, and against printed tables and brute force."""

import math
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, script

from worldmodels.store.wording import MANY_VALUES
from worldmodels.utils.statistics import (
    average_precision,
    describe,
    estimate,
    ratio_estimates,
    ratios,
    resampled_counts,
    seed_estimate,
    t_interval,
)


def skewed(count: int) -> np.ndarray:
    return np.random.default_rng(0).exponential(10.0, count) - 50


def interval(values: list[float] | np.ndarray, level: float = 0.95) -> list[float]:
    """Of the mean."""
    values = np.asarray(values, dtype=float)[:, None]
    return t_interval(ratios(values, np.ones_like(values)), level)[0].tolist()


@pytest.fixture(scope="module")
def study() -> Any:
    return script(ROOT / "experiments" / "statistics" / "coverage.py")


# In %, measured. Of fewer than `MANY_VALUES` values an interval is called one of 95 % "if near normal".
COVERAGE = {
    ("mean", "normal"): (95, 95, 95, 95, 95),
    ("mean", "gamma"): (94.4, 93.5, 93.4, 94.4, 95.0),
    ("mean", "exponential"): (91, 89, 88, 94, 95),
    ("mean", "lognormal"): (89, 84, 82, 90, 92),
    ("ratio", "normal"): (95, 96, 95, 93.5, 94.5),
    ("ratio", "exponential"): (91, 91, 88.5, 92, 94),
}


@pytest.mark.parametrize("case", COVERAGE)
def test_intervals_hold_the_truth_as_often_as_told(study: Any, case: tuple[str, str]) -> None:
    (chosen,) = [each for each in study.CASES if (each.kind, each.distribution) == case]
    found = [100 * study.coverage(chosen, n, draws=20_000)["coverage"] for n in (2, 3, 5, 10, 30)]
    assert found == pytest.approx(COVERAGE[case], abs=1.2)
    if case[1] in ("normal", "gamma"):
        assert found == pytest.approx([95] * 5, abs=2)


@pytest.mark.parametrize("index", range(10))
def test_intervals_of_many_values_hold_the_truth_of_all_but_rare_failures(study: Any, index: int) -> None:
    case = study.CASES[index]
    expected = 91 if case.distribution == "rare failures" else 95
    assert 100 * study.coverage(case, MANY_VALUES, draws=20_000)["coverage"] == pytest.approx(expected, abs=2), case


def test_every_distribution_of_the_study_is_tested(study: Any) -> None:
    assert len(study.CASES) == 10


IQM = {"normal": (94.5, 94.5), "exponential": (92.5, 94), "lognormal": (92.5, 94), "returns": (95.5, 95.5)}


@pytest.mark.parametrize("distribution", IQM)
def test_interquartile_means_hold_the_truth_as_often_as_told(study: Any, distribution: str) -> None:
    found = [100 * study.interquartile(distribution, n, draws=4000)["coverage"] for n in (10, 30)]
    assert found == pytest.approx(IQM[distribution], abs=1.5)


@pytest.mark.parametrize("truth", [0.5, 0.96])
def test_probabilities_of_improvement_hold_the_truth_as_often_as_told(study: Any, truth: float) -> None:
    found = [100 * study.improvement(truth, 0.7, n, draws=2000)["coverage"] for n in (10, 30)]
    assert found == pytest.approx([95.5, 95], abs=2)


def test_a_probability_of_improvement_is_held_within_two_points_where_it_is_held_least(study: Any) -> None:
    assert study.improvement(0.76, 0.7, 10)["coverage"] >= 0.93


def test_r2_holds_the_truth_as_often_as_told(study: Any) -> None:
    assert [100 * study.explained(n, draws=2000)["coverage"] for n in (5, 10, 30)] == pytest.approx([93, 91, 92], abs=2)


def test_figures_of_resamples_hold_the_truth_as_often_as_told(study: Any) -> None:
    assert 100 * study.average_precisions(16, draws=200)["coverage"] == pytest.approx(94, abs=5)


@pytest.mark.parametrize(("level", "quantile"), [(0.95, 1.959964), (0.8, 1.281552)])
def test_interval_is_the_normal_one_on_a_large_sample(level: float, quantile: float) -> None:
    values = skewed(20_000)
    low, high = interval(values, level)
    half = quantile * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.03 * half)


def test_a_long_tail_is_where_the_interval_is_longer() -> None:
    """Of ten and more; fewer do not tell their skewness."""
    low, high = interval(skewed(20))
    assert high - skewed(20).mean() > 1.3 * (skewed(20).mean() - low)
    low, high = interval(skewed(9))
    assert high - skewed(9).mean() == pytest.approx(skewed(9).mean() - low)


@pytest.mark.parametrize("count", [2, 30])
def test_constant_values_have_an_interval_of_no_width(count: int) -> None:
    assert interval([-3.5] * count) == pytest.approx([-3.5, -3.5])


def test_three_returns_of_a_first_run_say_little() -> None:
    found = seed_estimate([35.0, 81.0, 382.0])
    assert found["value"] == 166 and found["interval"] == pytest.approx([-302, 634], abs=1)


def test_interval_moves_and_scales_with_the_values() -> None:
    low, high = interval(skewed(40))
    moved = interval(3 * skewed(40) + 7)
    assert moved == pytest.approx([3 * low + 7, 3 * high + 7])


def test_describe_holds_the_figures_and_every_return() -> None:
    returns = [1.0, 2.0, 4.0, 9.0]
    figures = describe(returns)
    assert figures["returns"] == returns and figures["episodes"] == 4
    assert figures["mean"] == 4.0
    assert figures["std"] == pytest.approx(math.sqrt((9 + 4 + 0 + 25) / 3))
    half = 3.182446 * figures["std"] / 2  # Student's t with three degrees of freedom
    assert figures["interval"] == pytest.approx([4 - half, 4 + half])


def test_describe_one_return() -> None:
    """Resampled, a single one is always itself: that says nothing of how certain it is."""
    figures = describe([5.0])
    assert (figures["mean"], figures["std"], figures["interval"]) == (5.0, 0.0, None)


def test_a_figure_of_one_member_has_no_interval() -> None:
    """Of the second column only the last member has something to divide by."""
    numerators, denominators = np.array([[1.0, 0.0], [2.0, 0.0], [6.0, 8.0]]), np.array([[1.0, 0.0], [2, 0], [2, 4]])
    first, second = ratio_estimates(numerators, denominators)
    assert first["interval"] is not None and first["value"] == pytest.approx(9 / 5)
    assert second == {"value": 2.0, "interval": None}
    assert ratio_estimates(numerators[:2, 1:], denominators[:2, 1:]) == [{"value": None, "interval": None}]


def test_the_error_of_a_ratio_is_the_jackknifes() -> None:
    """Leaving out one of 3/2, 5/1 and 2/2: 7/3, 5/4, 8/3."""
    above, below = np.array([3.0, 5.0, 2.0]), np.array([2.0, 1.0, 2.0])
    without = np.array([7 / 3, 5 / 4, 8 / 3])
    found = ratios(above[:, None], below[:, None])
    assert found.value[0] == 2
    assert found.error[0] == pytest.approx(math.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum()))
    assert found.freedom[0] == pytest.approx(25 / 9 - 1)  # (2 + 1 + 2)² / (4 + 1 + 4), less one


def test_a_bootstrapped_interval_of_a_mean_is_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    resampled = np.concatenate([weights @ values / 4 for weights in resampled_counts(4, 10_000)])
    assert estimate(4.0, resampled, 4)["interval"] == pytest.approx(interval(values), abs=0.1)
    assert estimate(4.0, resampled, 1) == {"value": 4.0, "interval": None}
    assert estimate(np.nan, resampled, 4) == {"value": None, "interval": None}


def test_average_precision_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 40):
        scores = rng.integers(0, 6, count) / 5  # with ties
        positive = rng.random(count) < 0.4
        positive[rng.integers(count)] = True
        times = rng.integers(0, 3, (3, count))
        times[:, positive.argmax()] = 1
        found = average_precision(scores, positive, times.astype(float))
        for row, value in zip(times, found, strict=True):
            each_score, each_positive = np.repeat(scores, row), np.repeat(positive, row)
            expected = [each_positive[each_score >= score].mean() for score in each_score[each_positive]]
            assert value == pytest.approx(np.mean(expected))
    assert np.isnan(average_precision(np.ones(3), np.zeros(3)))


def test_every_resample_has_as_many_members_as_there_are() -> None:
    members = np.stack([np.ones(5), np.arange(5.0)], axis=1)
    totals = np.concatenate([weights @ members for weights in resampled_counts(5, 10_000)])
    assert (totals[:, 0] == 5).all()
    assert totals[:, 1].mean() == pytest.approx(10, abs=0.1)
    assert totals[:, 1].std() == pytest.approx(math.sqrt(5 * 2), abs=0.1)  # of five draws from 0 … 4, variance 2 each
