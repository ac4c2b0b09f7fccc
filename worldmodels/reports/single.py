"""The figures of one run: its learning curves, and how far M foresees."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

from worldmodels.reports.figures import COLOURS, PANEL, SETTINGS
from worldmodels.store.runs import FinishedRun

BLUE, ORANGE, GREEN, PINK = COLOURS[1:5]
MODELS = {  # of the forecasts: label, colour, line
    "memory": ("M", BLUE, "-"),
    "persistence": ("the last frame held", COLOURS[0], "--"),
    "reservoir": ("a reservoir, nothing learnt in it", GREEN, "-."),
    "mismatched_actions": ("M under other actions", PINK, ":"),
}


def curves(run: FinishedRun) -> dict[str, Figure]:
    """Learning curves by the file's name: V's error and KL, M's NLL, C's returns. Training and validation together."""
    results = run.results
    figures = {}
    epochs = results.get("vision", {}).get("epochs", [])
    if epochs:
        for name, title, unit in (
            ("reconstruction", "V: reconstruction", "squared error a frame"),
            ("kl", "V: KL", "nats a frame"),
        ):
            figures[f"V-{name}"] = _training(title, "epoch", unit, epochs, name)
    if steps := results.get("memory", {}).get("steps", []):
        floor = results["memory"].get("persistence_nll")
        figures["M-nll"] = _training("M: NLL", "step", "nats per dimension", steps, "nll", floor)
    if generations := results.get("controller", {}).get("generations", []):
        figures["C-returns"] = _search(generations, results.get("evaluation"))
    return figures


def _panel(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure((PANEL[0], PANEL[1] + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def _legend(figure: Figure, columns: int) -> None:
    figure.legend(loc="outside lower center", ncols=columns, handlelength=2.5)


def _points(rows: Sequence[Mapping[str, Any]], axis: str, name: str) -> tuple[list[float], list[float]]:
    points = [(row[axis], row[name]) for row in rows if row.get(name) is not None]
    return [x for x, _ in points], [y for _, y in points]


def _training(
    title: str, axis: str, unit: str, rows: Sequence[Mapping[str, Any]], name: str, floor: float | None = None
) -> Figure:
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _panel(title, axis, unit)
        marker = "o" if len(rows) < 15 else ""
        axes.plot(*_points(rows, axis, name), color=ORANGE, linestyle="--", marker=marker, ms=4, label="training")
        axes.plot(*_points(rows, axis, f"val_{name}"), color=BLUE, marker=marker, ms=4, label="validation")
        if floor is not None:
            axes.axhline(floor, color="0.5", linestyle=":", label="the last frame held")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, 3)
    return figure


def _search(generations: Sequence[Mapping[str, Any]], score: Mapping[str, Any] | None) -> Figure:
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _panel("C: returns of the population", "generation", "return")
        x, worst = _points(generations, "generation", "worst")
        _, best = _points(generations, "generation", "best")
        axes.fill_between(x, worst, best, color=BLUE, alpha=0.18, linewidth=0, label="worst to best")
        axes.plot(*_points(generations, "generation", "mean"), color=BLUE, label="mean")
        validated = _points(generations, "generation", "validation")
        if validated[0]:
            axes.plot(*validated, color=ORANGE, marker="o", ms=4, linestyle="--", label="validation of the mean")
        if score:
            axes.axhline(score["random"]["mean"], color="0.5", linestyle=":", label="a random agent")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, 2)
    return figure


def open_loop(measures: Mapping[str, Any]) -> Figure | None:
    """M's error by the number of steps that it foresees alone, beside its baselines; None where nothing was measured.
    Both axes are logarithmic.
    """
    forecasts = measures["open_loop"]
    horizons = forecasts["horizons"]
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _panel("M: error of forecasts", "steps foreseen", "share of the variance of z")
        for name, (label, colour, line) in MODELS.items():
            points = [(x, error) for x, error in zip(horizons, forecasts.get(name, []), strict=False) if error["value"]]
            if not points:
                continue
            steps = [x for x, _ in points]
            axes.plot(steps, [error["value"] for _, error in points], color=colour, linestyle=line, label=label)
            limits = [error["interval"] for _, error in points]
            if name == "memory" and all(pair and pair[0] is not None and pair[0] > 0 for pair in limits):
                lows, highs = zip(*limits, strict=True)
                axes.fill_between(steps, lows, highs, color=colour, alpha=0.18, linewidth=0)
        if not axes.lines:
            return None
        axes.axhline(1.0, color="0.7", linewidth=0.8)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(horizons)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        _legend(figure, 2)
    return figure
