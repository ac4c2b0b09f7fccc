"""Tests of differences against scipy's, and verdicts over a family."""

import numpy as np
import pytest
from scipy import stats

from worldmodels.utils.comparing import (
    Judgement,
    equivalence_p_value,
    holm,
    interquartile_mean,
    judge,
    p_value,
    probability_of_improvement,
)
from worldmodels.utils.statistics import seed_estimate


def test_p_values_of_few_are_those_of_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 7)
    assert p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert p_value(values, 0.3) == pytest.approx(stats.ttest_1samp(values, 0.3).pvalue)
    one_sided = [stats.ttest_1samp(values, m, alternative=side).pvalue for m, side in ((-1, "greater"), (1, "less"))]
    assert equivalence_p_value(values, 1) == pytest.approx(max(one_sided))
    assert p_value([1.0]) is equivalence_p_value([1.0], 1) is None


@pytest.mark.parametrize("count", [3, 9, 10, 40])
def test_a_p_value_of_5_percent_is_where_the_interval_ends(count: int) -> None:
    values = np.random.default_rng(count).exponential(size=count)
    for limit in seed_estimate(values)["interval"]:
        assert p_value(values, limit) == pytest.approx(0.05)


def test_what_does_not_vary_is_decided_and_rounding_is_not() -> None:
    assert p_value([2.0, 2.0, 2.0]) == 0
    assert p_value([1e-12, 2e-12, 1e-12]) == 1
    assert equivalence_p_value([0.0, 0.0, 0.0], 1.0) == 0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), None, pytest.approx(0.06)]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_family_without_any_effect_is_decided_in_one_study_of_twenty() -> None:
    """1,000 studies of eight comparisons of five seeds: without Holm one in three has a false verdict."""
    rng = np.random.default_rng(0)
    studies = rng.normal(size=(1000, 8, 5))
    false = np.mean([any(each.verdict != "undecided" for each in judge(list(study), [None] * 8)) for study in studies])
    assert false == pytest.approx(0.05, abs=0.02)


def test_verdicts() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=12)
    family = [5 + noise, noise - 5, 0.2 * noise, noise, 0.05 + 0.001 * noise, noise[:2] + 99, None]
    found = judge(family, [1.0, 1.0, 1.0, 0.1, 1.0, 1.0, 1.0])
    assert [each.verdict for each in found] == [
        *("better", "worse", "similar", "undecided", "better", "undecided", "undecided")
    ]
    assert [each.negligible for each in found] == [False] * 4 + [True] + [False] * 2
    assert found[-1] == Judgement("undecided", None, None, 1.0)
    assert judge([0.2 * noise], [None])[0].verdict == "undecided"  # without a margin nothing is similar


def test_interquartile_mean_against_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=23)
    found = interquartile_mean(values)
    assert found["value"] == pytest.approx(stats.trim_mean(values, 0.25))
    error = stats.mstats.trimmed_stde(values, limits=(0.25, 0.25))
    half = (
        stats.t.ppf(0.975, 23 - 2 * 5 - 1) * error * (23 * 0.5) / (23 - 2 * 5)
    )  # scipy divides by the share, not count
    assert found["interval"] == pytest.approx([found["value"] - half, found["value"] + half], rel=0.02)
    assert interquartile_mean(values[:9])["interval"] is None


def test_probability_of_improvement_against_scipy() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 9, 12) + 2.0, rng.integers(0, 9, 15) + 0.0
    found = probability_of_improvement(one, other)
    assert found["value"] == pytest.approx(stats.mannwhitneyu(one, other).statistic / (12 * 15))
    low, high = found["interval"]
    test = stats.brunnermunzel(one, other)
    assert (low > 0.5) == (test.pvalue < 0.05)
    assert low < found["value"] < high <= 1
    assert probability_of_improvement(one + 99, other) == {"value": 1.0, "interval": None}
