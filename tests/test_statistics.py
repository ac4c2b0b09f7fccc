"""The bootstrap interval against the normal approximation."""

import math

import numpy as np
import pytest

from worldmodels.statistics import bootstrap_interval, describe


def skewed(count: int) -> np.ndarray:
    return np.random.default_rng(0).exponential(10.0, count) - 50


@pytest.mark.parametrize(("level", "quantile"), [(0.95, 1.959964), (0.8, 1.281552)])
def test_interval_is_the_normal_one_on_a_large_sample(level: float, quantile: float) -> None:
    values = skewed(2_000)
    low, high = bootstrap_interval(values, level)
    half = quantile * values.std() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.06 * half)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_constant_values_have_an_interval_of_no_width(count: int) -> None:
    assert bootstrap_interval([-3.5] * count) == (-3.5, -3.5)


def test_interval_lies_within_the_values_and_repeats() -> None:
    values = [1.0, 2.0, 4.0, 100.0]
    low, high = bootstrap_interval(values)
    assert 1.0 <= low < np.mean(values) < high <= 100.0
    assert bootstrap_interval(values) == (low, high)
    narrower = bootstrap_interval(values, level=0.5)
    assert low < narrower[0] and narrower[1] < high


def test_interval_of_two_values_is_both() -> None:
    """Of four equally likely resamples one is the lower value twice and one the higher: 25 % each, more than 2.5 %."""
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)


def test_interval_moves_and_scales_with_the_values() -> None:
    low, high = bootstrap_interval(skewed(40))
    moved = bootstrap_interval(3 * skewed(40) + 7)
    assert moved == pytest.approx((3 * low + 7, 3 * high + 7))


def test_describe_holds_the_figures_and_every_return() -> None:
    returns = [1.0, 2.0, 4.0, 9.0]
    figures = describe(returns)
    assert figures["returns"] == returns and figures["episodes"] == 4
    assert figures["mean"] == 4.0
    assert figures["std"] == pytest.approx(math.sqrt((9 + 4 + 0 + 25) / 3))
    assert figures["interval"] == list(bootstrap_interval(returns))


def test_describe_one_return() -> None:
    figures = describe([5.0])
    assert (figures["mean"], figures["std"], figures["interval"]) == (5.0, 0.0, [5.0, 5.0])
