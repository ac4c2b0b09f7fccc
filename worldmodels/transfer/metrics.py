"""What transfer is worth, from learning curves of the target task with and without it.

The metrics of Taylor & Stone 2009 (Transfer Learning for Reinforcement Learning Domains: A Survey, JMLR 10:1633–1685),
for returns and for losses. y_s(x) is the curve of seed s with transfer, y⁰_s(x) that without, both at x₁ < … < x_K, and
σ is +1 where higher is better and -1 where lower is. Every metric is a **gain**: above 0, transfer helps.

Seeds that both have are paired: a gain is the mean over them of their differences, with the 95 % interval of
`worldmodels.utils.statistics`. Transfer is *negative* where the whole interval is below 0, one comparison by itself; a
verdict over several is `worldmodels.utils.comparing.judge`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodels.utils.statistics import ratio_estimates, seed_estimate

METRICS = ("jump_start", "asymptote", "area", "time_to_threshold", "transfer_ratio")
LAST = 0.1  # share of a curve's points that is its end
PROGRESS = 0.9  # share of the way from start to end, where no threshold is given
Figures = dict[str, Any]


@dataclass(frozen=True)
class Curves:
    """Learning curves of one setting. x: (K,), increasing, such as epochs, steps or generations; values: (S, K), a row
    for each of ``seeds``. Raises `ValueError` for other shapes, for repeated seeds and for what is not finite.
    """

    x: np.ndarray
    values: np.ndarray
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", np.asarray(self.x, dtype=np.float64))
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))
        size = (len(self.seeds), len(self.x))
        if 0 in size or self.values.shape != size:
            raise ValueError(f"values are {self.values.shape}: expected {size}, a row a seed and a column a point")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds} repeat: expected one curve for each")
        if not np.all(np.diff(self.x) > 0):
            raise ValueError("x does not increase: expected every point once, in order")
        if not (np.isfinite(self.x).all() and np.isfinite(self.values).all()):
            raise ValueError("a curve is not finite: leave out a seed that diverged, and say so")


def start(curves: Curves) -> np.ndarray:
    """y_s(x₁): (S,). The first point that was recorded, so after the first epoch, steps or generation."""
    return curves.values[:, 0]


def end(curves: Curves, last: float = LAST) -> np.ndarray:
    """Mean of y_s over the last ``last`` of the points, one at least: (S,)."""
    return curves.values[:, -max(1, round(last * len(curves.x))) :].mean(axis=1)


def area(curves: Curves) -> np.ndarray:
    """1 / (x_K - x₁) ∫ y_s dx by trapezoids, so in the unit of y: (S,). Of a single point, its value."""
    if len(curves.x) == 1:
        return curves.values[:, 0]
    return np.trapezoid(curves.values, curves.x, axis=1) / (curves.x[-1] - curves.x[0])


def time_to(curves: Curves, threshold: float, higher: bool) -> np.ndarray:
    """The first x at which y_s is as good as ``threshold``, straight between points: (S,).

    inf where that never happens; x₁ where the first point is as good already, which then came at x₁ or sooner.
    """
    sign = 1 if higher else -1
    over = sign * (curves.values - threshold)
    times = np.full(len(curves.seeds), np.inf)
    for seed, row in enumerate(over):
        good = np.flatnonzero(row >= 0)
        if len(good):
            k = good[0]
            beyond = row[k] / (row[k] - row[k - 1]) * (curves.x[k] - curves.x[k - 1]) if k else 0.0
            times[seed] = curves.x[k] - beyond
    return times


def progress_threshold(curves: Curves, higher: bool, progress: float = PROGRESS, last: float = LAST) -> float | None:
    """A threshold from the curves themselves: ``progress`` of the way from their mean `start` to their mean `end`. None
    where the end is no better than the start.
    """
    way = learnt(curves, higher, last)
    return None if way is None else float(start(curves).mean()) + progress * way * (1 if higher else -1)


def learnt(curves: Curves, higher: bool, last: float = LAST) -> float | None:
    """How much better the mean `end` is than the mean `start`: above 0, or None. A share of it is the margin within
    which two settings count as similar.
    """
    way = float(_learnt_by_seed(curves, higher, last).mean())
    return way if way > 0 else None


def _learnt_by_seed(curves: Curves, higher: bool, last: float) -> np.ndarray:
    return (1 if higher else -1) * (end(curves, last) - start(curves))


def describe_curves(curves: Curves, higher: bool, threshold: float | None = None, last: float = LAST) -> Figures:
    """``start``, ``end``, ``area`` and ``time`` of one setting, each ``{"value", "interval"}`` over its seeds.

    ``time`` is the mean of min(T_s, x_K) with T_s of `time_to`: a seed that never reached the threshold counts with all
    the time it had, so that the mean is a lower bound, and ``reached`` says how many did. None without a threshold.
    """
    by_seed = {"start": start(curves), "end": end(curves, last), "area": area(curves)}
    figures: Figures = {
        "seeds": list(curves.seeds),
        **{name: seed_estimate(values) for name, values in by_seed.items()},
    }
    figures |= {"threshold": threshold, "time": None, "reached": None}
    if threshold is not None:
        times = time_to(curves, threshold, higher)
        figures["time"] = seed_estimate(np.minimum(times, curves.x[-1]))
        figures["reached"] = int(np.isfinite(times).sum())
    return figures


def paired(transfer: Curves, reference: Curves) -> tuple[Curves, Curves]:
    """Both curves with the seeds they share, and on the stretch of x they share, straight between points. Raises
    `ValueError` where they share no seed or no stretch.
    """
    seeds = sorted(set(transfer.seeds) & set(reference.seeds))
    if not seeds:
        raise ValueError(f"no seed in common: got {transfer.seeds} and {reference.seeds}; run both with the same seeds")
    low, high = max(transfer.x[0], reference.x[0]), min(transfer.x[-1], reference.x[-1])
    points = np.union1d(transfer.x, reference.x)
    points = points[(points >= low) & (points <= high)]
    if not len(points):
        raise ValueError(f"no x in common: one curve ends at {high:g}, the other begins at {low:g}")

    def part(curves: Curves) -> Curves:
        rows = [curves.values[curves.seeds.index(seed)] for seed in seeds]
        return Curves(points, np.stack([np.interp(points, curves.x, row) for row in rows]), tuple(seeds))

    return part(transfer), part(reference)


def compare_values(transfer: Mapping[int, float], reference: Mapping[int, float], higher: bool) -> Figures:
    """Paired comparison of one figure a seed, such as a score: the gain σ (v_s - v⁰_s), as in `compare`. Raises
    `ValueError` where no seed is in both.
    """
    seeds = sorted(set(transfer) & set(reference))
    if not seeds:
        raise ValueError(f"no seed in common: got {sorted(transfer)} and {sorted(reference)}")
    sign = 1 if higher else -1
    return {"seeds": seeds, **_gain([sign * (transfer[seed] - reference[seed]) for seed in seeds])}


def compare(
    transfer: Curves,
    reference: Curves,
    higher: bool,
    threshold: float | None = None,
    floor: float = 0.0,
    last: float = LAST,
) -> Figures:
    """Gains of ``transfer`` over ``reference``, by seed, on what their curves share. For each of `METRICS` a dict:
    ``value`` and ``interval`` (None with a single seed), ``negative`` (None without an interval) and ``per_seed``; all
    None where there is no such figure.

    * jump-start: σ (y_s(x₁) - y⁰_s(x₁));
    * asymptote: σ (e_s - e⁰_s), e the `end`;
    * area under the curve: σ (A_s - A⁰_s), A the `area`;
    * time to threshold θ: min(T⁰_s, x_K) - min(T_s, x_K), T of `time_to`: the time saved within x_K. A seed that
      never got there is censored, not dropped: it counts with x_K. ``reached`` and ``reached_without`` say how many
      did; where none did on either side, there is no figure. θ is ``threshold``, or the reference's
      `progress_threshold`;
    * transfer ratio: σ Σ_s (A_s - A⁰_s) / Σ_s (A⁰_s - floor). It has a meaning only where A⁰ lies above ``floor`` (of
      returns, say, a random agent's) for every seed; else there is no figure.

    ``learnt`` is the reference's own, from its start to its end, and ``learnt_interval`` its 95 %. Raises
    `ValueError` where there is nothing to pair.
    """
    transfer, reference = paired(transfer, reference)
    sign = 1 if higher else -1
    areas = sign * (area(transfer) - area(reference))
    figures: Figures = {
        "seeds": list(transfer.seeds),
        "x": [float(reference.x[0]), float(reference.x[-1])],
        "learnt": learnt(reference, higher, last),
        "learnt_interval": seed_estimate(_learnt_by_seed(reference, higher, last))["interval"],
        "jump_start": _gain(sign * (start(transfer) - start(reference))),
        "asymptote": _gain(sign * (end(transfer, last) - end(reference, last))),
        "area": _gain(areas),
    }
    threshold = progress_threshold(reference, higher, last=last) if threshold is None else threshold
    figures["threshold"] = threshold
    figures["time_to_threshold"] = _time_saved(transfer, reference, threshold, higher)
    figures["transfer_ratio"] = _ratio(areas, area(reference) - floor)
    return figures


def _time_saved(transfer: Curves, reference: Curves, threshold: float | None, higher: bool) -> Figures:
    if threshold is None:
        return {**_gain(None), "reached": None, "reached_without": None}
    times, without = (time_to(curves, threshold, higher) for curves in (transfer, reference))
    reached = {"reached": int(np.isfinite(times).sum()), "reached_without": int(np.isfinite(without).sum())}
    limit = reference.x[-1]
    saved = np.minimum(without, limit) - np.minimum(times, limit) if any(reached.values()) else None
    return {**_gain(saved), **reached}


def _ratio(gained: np.ndarray, without: np.ndarray) -> Figures:
    if not (without > 0).all():
        return _gain(None)
    (figure,) = ratio_estimates(gained[:, None], without[:, None])
    return _flagged(figure, gained / without)


def _gain(values: Sequence[float] | np.ndarray | None) -> Figures:
    """Mean gain of one value for each seed."""
    if values is None:
        return {"value": None, "interval": None, "negative": None, "per_seed": None}
    return _flagged(seed_estimate(values), values)


def _flagged(figure: Figures, values: Sequence[float] | np.ndarray) -> Figures:
    negative = None if figure["interval"] is None else figure["interval"][1] < 0
    return {**figure, "negative": negative, "per_seed": [float(value) for value in values]}
