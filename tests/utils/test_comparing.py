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
    assert found[-1][:4] == ("undecided", None, None, 1.0)
    assert {(each.tests, each.equivalences) for each in found} == {(2, 3)}, "not shown to differ, to be similar"
    assert judge([0.2 * noise], [None])[0].verdict == "undecided"  # without a margin nothing is similar


def test_identical_runs_are_no_comparison() -> None:
    """Nor do they make the others' tests stricter."""
    assert judge([[0.0, 0.0, 0.0]], [50.0]) == [Judgement("identical", None, None, 50.0)]
    rng = np.random.default_rng(0)
    family, margins = [rng.normal(1.5, 1, 6), rng.normal(0, 0.5, 6)], [1.0, 1.0]
    with_identical = judge([*family, np.zeros(6), [0.0]], [*margins, 1.0, None])
    assert with_identical[:2] == judge(family, margins)
    assert [each.verdict for each in with_identical[2:]] == ["identical", "identical"]
    assert judge([[1e-12, 0.0, 0.0]], [50.0])[0].verdict == "similar"


def test_interquartile_mean_against_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=23)
    found = interquartile_mean(values)
    assert found["value"] == pytest.approx(stats.trim_mean(values, 0.25))
    winsorised = np.asarray(stats.mstats.winsorize(values, limits=(0.25, 0.25)))
    squares = ((winsorised - winsorised.mean()) ** 2).sum()  # Yuen 1974: of 23 values 13 are the middle
    half = stats.t.ppf(0.975, 12) * np.sqrt(squares / (13 * 12))
    assert found["interval"] == pytest.approx([found["value"] - half, found["value"] + half])
    assert interquartile_mean(values[:9])["interval"] is None


def test_probability_of_improvement_against_scipy() -> None:
    """Mann & Whitney's without the pairs of one seed; its standard error against the jackknife's over seeds."""
    rng = np.random.default_rng(0)
    seed = rng.normal(size=30)
    one, other = np.round(seed + rng.normal(0.5, 1, 30), 1), np.round(seed + rng.normal(0, 1, 30), 1)

    def without_pairs(kept: np.ndarray) -> float:
        pairs = (one[kept] > other[kept]).sum() + 0.5 * (one[kept] == other[kept]).sum()
        return (stats.mannwhitneyu(one[kept], other[kept]).statistic - pairs) / (len(kept) * (len(kept) - 1))

    everyone = np.arange(30)
    left_out = np.array([without_pairs(np.delete(everyone, seed)) for seed in everyone])
    found = probability_of_improvement(one, other)
    value, (low, high) = found["value"], found["interval"]
    assert value == pytest.approx(without_pairs(everyone))
    error = np.sqrt(29 / 30 * ((left_out - left_out.mean()) ** 2).sum())
    width = np.log(high / (1 - high)) - np.log(low / (1 - low))
    assert width == pytest.approx(2 * stats.t.ppf(0.975, 1.5 * 29) * error / (value * (1 - value)), rel=0.05)
    assert 0 < low < value < high < 1


def test_a_probability_of_improvement_without_an_error_has_no_interval() -> None:
    values = np.random.default_rng(0).normal(size=12)
    assert probability_of_improvement(values + 99, values) == {"value": 1.0, "interval": None}
    assert probability_of_improvement(values - 99, values) == {"value": 0.0, "interval": None}
    assert probability_of_improvement(np.ones(12), np.ones(12)) == {"value": 0.5, "interval": None}
    assert probability_of_improvement(values[:9], values[:9] + 0.1)["interval"] is None
    with pytest.raises(ValueError, match="as many values"):
        probability_of_improvement(values, values[:11])


@pytest.mark.parametrize("truth", [0.5, 0.76, 0.86, 0.92, 0.96])
@pytest.mark.parametrize(("count", "correlation"), [(10, 0.0), (10, 0.7), (20, 0.0), (20, 0.7)])
def test_a_probability_of_improvement_is_held_as_often_as_told(truth: float, count: int, correlation: float) -> None:
    """Of normal values whose seeds move both sides alike, or not at all; Brunner & Munzel's own held 86 % to 95 %."""
    rng = np.random.default_rng(count)
    noise = rng.normal(size=(1500, 2, count))
    other = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
    pairs = zip(noise[:, 0] + np.sqrt(2) * stats.norm.ppf(truth), other, strict=True)
    intervals = [probability_of_improvement(one, two)["interval"] for one, two in pairs]
    inside = np.mean([low <= truth <= high for low, high in filter(None, intervals)])
    assert inside == pytest.approx(0.95, abs=0.03)  # 0.02, and the error of 1,500 draws
