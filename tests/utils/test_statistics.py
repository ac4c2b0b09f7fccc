"""The bootstrap interval against the normal approximation."""

import math

import numpy as np
import pytest

from worldmodels.utils.statistics import (
    average_precision,
    describe,
    estimate,
    ratio_estimates,
    resampled_ratios,
    resampled_sums,
)


def skewed(count: int) -> np.ndarray:
    return np.random.default_rng(0).exponential(10.0, count) - 50


def interval(values: list[float] | np.ndarray, level: float = 0.95) -> list[float]:
    """Of the mean."""
    values = np.asarray(values)
    resampled = resampled_ratios(values[:, None], np.ones((len(values), 1)))
    return estimate(values.mean(), resampled, len(values), level)["interval"]


@pytest.mark.parametrize(("level", "quantile"), [(0.95, 1.959964), (0.8, 1.281552)])
def test_interval_is_the_normal_one_on_a_large_sample(level: float, quantile: float) -> None:
    values = skewed(2_000)
    low, high = interval(values, level)
    half = quantile * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.06 * half)


@pytest.mark.parametrize("count", [2, 30])
def test_constant_values_have_an_interval_of_no_width(count: int) -> None:
    assert interval([-3.5] * count) == pytest.approx([-3.5, -3.5])


def test_interval_lies_within_the_values_and_repeats() -> None:
    values = [1.0, 2.0, 4.0, 100.0]
    low, high = interval(values)
    assert 1.0 <= low < np.mean(values) < high <= 100.0
    assert interval(values) == [low, high]
    narrower = interval(values, level=0.5)
    assert low < narrower[0] and narrower[1] < high


def test_interval_of_two_values_is_both() -> None:
    """Of four equally likely resamples one is the lower value twice and one the higher: 25 % each, more than 2.5 %."""
    assert interval([0.0, 1.0]) == [0.0, 1.0]


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
    assert figures["interval"] == interval(returns)


def test_describe_one_return() -> None:
    """Resampled, a single one is always itself: that says nothing of how certain it is."""
    figures = describe([5.0])
    assert (figures["mean"], figures["std"], figures["interval"]) == (5.0, 0.0, None)


def test_a_figure_of_one_member_has_no_interval() -> None:
    """Of the second column only the last member has something to divide by."""
    numerators, denominators = np.array([[1.0, 0.0], [2.0, 0.0], [6.0, 8.0]]), np.array([[1.0, 0.0], [2, 0], [2, 4]])
    first, second = ratio_estimates(numerators, denominators)
    assert first["interval"] == [1.0, 3.0]
    assert second == {"value": 2.0, "interval": None}


def test_ratios_of_sums_against_every_resample_of_two() -> None:
    """1/2, (1 + 9)/(2 + 3) twice as likely, and 9/3; the second column's members have no denominators."""
    numerators, denominators = np.array([[1.0, 0.0], [9.0, 0.0]]), np.array([[2.0, 0.0], [3.0, 0.0]])
    resampled = resampled_ratios(numerators, denominators)
    shares = [np.isclose(resampled[:, 0], value).mean() for value in (0.5, 2.0, 3.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03) and sum(shares) == pytest.approx(1)
    assert ratio_estimates(numerators, denominators) == [
        {"value": 2.0, "interval": [0.5, 3.0]},
        {"value": None, "interval": None},
    ]


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
    totals = resampled_sums(np.stack([np.ones(5), np.arange(5.0)], axis=1))
    assert (totals[:, 0] == 5).all()
    assert totals[:, 1].mean() == pytest.approx(10, abs=0.1)
    assert totals[:, 1].std() == pytest.approx(math.sqrt(5 * 2), abs=0.1)  # of five draws from 0 … 4, variance 2 each
