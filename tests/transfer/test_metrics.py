"""Transfer metrics on curves whose answers are known in closed form."""

import numpy as np
import pytest

from worldmodels.transfer import metrics
from worldmodels.transfer.metrics import METRICS, Curves, compare, compare_values, describe_curves, time_to
from worldmodels.utils.statistics import seed_estimate

X = np.linspace(1, 11, 41)


def lines(slopes, offsets=None, x=X):
    """y = offset + slope (x - 1), a line a seed."""
    slopes = np.asarray(slopes, dtype=float)
    offsets = np.zeros(len(slopes)) if offsets is None else np.asarray(offsets, dtype=float)
    return Curves(x, offsets[:, None] + slopes[:, None] * (x - 1), tuple(range(len(slopes))))


def test_lines_have_the_start_end_area_and_time_of_geometry():
    curves = lines([2, 4], [1, -2])
    assert metrics.start(curves) == pytest.approx([1, -2])
    assert metrics.end(curves, last=1 / 41) == pytest.approx([21, 38])
    assert metrics.area(curves) == pytest.approx([11, 18])  # of a line, its middle
    assert time_to(curves, 11, higher=True) == pytest.approx([6, 1 + 13 / 4])


def test_the_area_of_an_exponential_is_its_integral():
    x = np.linspace(0, 5, 2001)
    curves = Curves(x, 3 * np.exp(-x / 2)[None], (0,))
    assert metrics.area(curves) == pytest.approx([3 * 2 * (1 - np.exp(-2.5)) / 5], rel=1e-6)
    assert time_to(curves, 1.5, higher=False) == pytest.approx([2 * np.log(2)], rel=1e-5)


def test_an_uneven_grid_counts_by_x():
    curves = Curves(np.array([0, 1, 10]), np.array([[0.0, 10, 10]]), (0,))
    assert metrics.area(curves) == pytest.approx([(5 + 90) / 10])


def test_the_end_is_the_mean_of_the_last_tenth():
    curves = Curves(np.arange(1, 21), np.arange(20.0)[None], (0,))
    assert metrics.end(curves) == pytest.approx([18.5])
    assert metrics.end(Curves(np.arange(1, 4), np.arange(3.0)[None], (0,))) == pytest.approx([2])


@pytest.mark.parametrize("higher", [True, False])
def test_the_gains_of_lines(higher):
    sign = 1 if higher else -1
    transfer, reference = lines([3, 3, 3], [4, 5, 6]), lines([2, 2, 2], [1, 1, 1])
    transfer, reference = (Curves(c.x, sign * c.values, c.seeds) for c in (transfer, reference))
    found = compare(transfer, reference, higher, threshold=sign * 11.0, floor=min(0.0, sign * 100.0), last=1 / 41)
    assert found["jump_start"]["per_seed"] == pytest.approx([3, 4, 5])
    assert found["jump_start"]["value"] == pytest.approx(4)
    assert found["asymptote"]["per_seed"] == pytest.approx([13, 14, 15])
    assert found["area"]["per_seed"] == pytest.approx([8, 9, 10])
    assert found["time_to_threshold"]["per_seed"] == pytest.approx([6 - (1 + (11 - c) / 3) for c in (4, 5, 6)])
    without = 11 if higher else 100 - 11
    assert found["transfer_ratio"]["value"] == pytest.approx(9 / without)
    assert [found[name]["negative"] for name in METRICS] == [False] * 5


@pytest.mark.parametrize("higher", [True, False])
def test_what_is_gained_one_way_is_lost_the_other(higher):
    rng = np.random.default_rng(0)
    one, other = (Curves(X, rng.normal(size=(5, 41)).cumsum(1) + shift, tuple(range(5))) for shift in (100, 50))
    there, back = (compare(a, b, higher, threshold=75.0) for a, b in ((one, other), (other, one)))
    for name in ("jump_start", "asymptote", "area", "time_to_threshold"):
        assert there[name]["value"] == pytest.approx(-back[name]["value"])
        low, high = there[name]["interval"]
        assert back[name]["interval"] == pytest.approx([-high, -low])
    assert there["area"]["negative"] is not higher
    assert back["area"]["negative"] is higher


def test_seeds_are_paired_whatever_their_order():
    """Differences of 1 between pairs that are 1,000 apart: only a paired interval sees them."""
    levels = {7: 0.0, 3: 1000.0, 5: 2000.0}
    reference = Curves(X, np.array([[levels[s]] * 41 for s in (7, 3, 5)]), (7, 3, 5))
    transfer = Curves(X, np.array([[levels[s] - 1] * 41 for s in (5, 7, 3)]), (5, 7, 3))
    found = compare(transfer, reference, higher=True)
    assert found["seeds"] == [3, 5, 7]
    assert found["area"]["interval"] == pytest.approx([-1, -1])
    assert found["area"]["negative"] is True


def test_only_common_seeds_and_a_common_stretch_are_compared():
    half = X[X <= 6]
    transfer = Curves(half, np.stack([2 * half, 3 * half]), (1, 4))
    reference = Curves(np.array([1, 11.0]), np.array([[1, 11.0], [1, 11.0]]), (4, 9))
    found = compare(transfer, reference, higher=True)
    assert (found["seeds"], found["x"]) == ([4], [1, 6])
    assert found["area"]["value"] == pytest.approx(2 * 3.5)


def test_a_seed_that_never_arrives_counts_with_all_its_time():
    """T is 3.5 and never, against 6 and never; x ends at 11."""
    transfer, reference = lines([4, 0.1]), lines([2, 0.2])
    assert time_to(reference, 10, higher=True).tolist() == [6, np.inf]
    found = compare(transfer, reference, higher=True, threshold=10)["time_to_threshold"]
    assert found["per_seed"] == pytest.approx([2.5, 0])
    assert (found["reached"], found["reached_without"]) == (1, 1)
    alone = describe_curves(reference, higher=True, threshold=10)
    assert alone["time"]["value"] == pytest.approx((6 + 11) / 2)
    assert alone["reached"] == 1


def test_where_nobody_arrives_there_is_no_time():
    found = compare(lines([1, 1]), lines([1, 2]), higher=True, threshold=1e6)["time_to_threshold"]
    assert found["value"] is found["interval"] is found["negative"] is found["per_seed"] is None
    assert (found["reached"], found["reached_without"]) == (0, 0)


def test_a_threshold_that_holds_from_the_start_is_reached_at_the_first_point():
    assert time_to(lines([1], [5]), 3, higher=True).tolist() == [1]


def test_without_a_threshold_it_is_nine_tenths_of_the_way_without_transfer():
    found = compare(lines([2, 2]), lines([1, 1]), higher=True, last=1 / 41)
    assert found["threshold"] == pytest.approx(9)
    assert found["time_to_threshold"]["value"] == pytest.approx(10 - 5.5)
    flat = compare(lines([2, 2]), lines([0, 0]), higher=True)
    assert flat["threshold"] is flat["time_to_threshold"]["value"] is None
    assert metrics.progress_threshold(lines([1]), higher=False) is None


def test_what_a_reference_learns_is_above_0_or_nothing():
    assert compare(lines([2, 2]), lines([1, 2]), higher=True, last=1 / 41)["learnt"] == pytest.approx(15)
    assert compare(lines([2, 2]), lines([1, 2]), higher=False)["learnt"] is None


def test_the_ratio_is_that_of_sums_and_wants_areas_above_the_floor():
    transfer, reference = lines([0, 0], [6, 5]), lines([0, 0], [1, 4])
    assert compare(transfer, reference, higher=True)["transfer_ratio"]["value"] == pytest.approx((5 + 1) / 5)
    lowered = compare(transfer, reference, higher=True, floor=-5)["transfer_ratio"]
    assert lowered["value"] == pytest.approx(6 / 15)
    assert compare(transfer, reference, higher=True, floor=1)["transfer_ratio"]["value"] is None


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706205), (3, 4.302653), (5, 2.776445), (9, 2.306004)])
def test_intervals_of_few_seeds_are_students(count, quantile):
    """Quantiles from a printed table."""
    values = np.random.default_rng(count).exponential(size=count)
    half = quantile * values.std(ddof=1) / np.sqrt(count)
    found = seed_estimate(values)
    assert found["value"] == pytest.approx(values.mean())
    assert found["interval"] == pytest.approx([values.mean() - half, values.mean() + half], rel=1e-4)


def test_one_seed_has_no_interval_and_no_flag():
    assert seed_estimate([3.0]) == {"value": 3.0, "interval": None}
    found = compare(lines([1]), lines([2], [1]), higher=True)
    for name in METRICS:
        assert found[name]["value"] < 0
        assert found[name]["interval"] is found[name]["negative"] is None


def test_one_figure_a_seed():
    found = compare_values({0: 1.0, 1: 2.0, 2: 9.0}, {0: 3.0, 1: 5.0, 4: 0.0}, higher=True)
    limits = found.pop("interval")
    assert found == {"seeds": [0, 1], "value": -2.5, "negative": False, "per_seed": [-2, -3]}
    assert limits == pytest.approx([-2.5 - 12.706205 / 2, -2.5 + 12.706205 / 2])
    assert compare_values({0: 1.0, 1: 1.1, 2: 0.9}, dict.fromkeys(range(3), 5.0), higher=True)["negative"] is True
    assert compare_values({0: 1.0}, {0: 3.0}, higher=False)["value"] == 2
    with pytest.raises(ValueError, match="no seed in common"):
        compare_values({0: 1.0}, {1: 3.0}, higher=True)


@pytest.mark.parametrize(
    ("x", "values", "seeds", "message"),
    [
        ([1, 2], [[1, 2, 3]], (0,), "expected"),
        ([1, 2], [[1, 2]], (0, 1), "expected"),
        ([], np.empty((1, 0)), (0,), "expected"),
        ([1, 2], np.empty((0, 2)), (), "expected"),
        ([2, 1], [[1, 2]], (0,), "does not increase"),
        ([1, 1], [[1, 2]], (0,), "does not increase"),
        ([1, 2], [[1, np.nan]], (0,), "not finite"),
        ([1, 2], [[1, 2], [3, 4]], (0, 0), "repeat"),
    ],
)
def test_curves_that_are_none_are_refused(x, values, seeds, message):
    with pytest.raises(ValueError, match=message):
        Curves(np.array(x), np.array(values), seeds)


def test_curves_without_a_common_seed_or_stretch_are_refused():
    with pytest.raises(ValueError, match="no seed in common"):
        compare(Curves(X, np.zeros((1, 41)), (0,)), Curves(X, np.zeros((1, 41)), (1,)), higher=True)
    with pytest.raises(ValueError, match="no x in common"):
        compare(Curves(X, np.zeros((1, 41)), (0,)), Curves(X + 20, np.zeros((1, 41)), (0,)), higher=True)


def test_a_single_point_is_a_curve():
    one, other = (Curves(np.array([5.0]), np.array([[value]]), (0,)) for value in (3.0, 1.0))
    found = compare(one, other, higher=True)
    assert [found[name]["value"] for name in ("jump_start", "asymptote", "area")] == [2, 2, 2]
