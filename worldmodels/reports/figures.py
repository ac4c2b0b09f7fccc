"""Figures of runs and studies, readable in black and white. The same data give the same file, byte for byte."""

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from worldmodels.reports.published import Published
from worldmodels.transfer.metrics import Curves
from worldmodels.utils.comparing import FEWEST
from worldmodels.utils.files import write_bytes
from worldmodels.utils.statistics import seed_estimate

matplotlib.use("agg")
COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#56b4e9", "#e69f00")  # Okabe & Ito 2008
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
MARKERS = "os^Dvx*P<>"
STRATEGIES = (  # each with the same colour in every figure
    *("scratch", "pretrained", "pretrained_vision", "pretrained_memory", "freeze2", "freeze_encoder", "freeze_lstm"),
    *("freeze_mdn", "random_encoder", "random_lstm", "random_memory", "from_noise", "from_shuffled", "aligned"),
    *("feature_extraction", "gradual_unfreezing", "fractional", "warm_controller"),
)
BEYOND = 0.25  # of the height of all lines, that a panel shows above and below them
PANEL = (4.2, 3.1)  # inches
SETTINGS: Any = {
    "svg.hashsalt": "worldmodels",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}


class Look(NamedTuple):
    """How a line is drawn."""

    colour: str
    line: Any
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each label, all different. A strategy, the first word of a label, has its own colour, scratch alone
    black; names of which none is a strategy's are told apart by their order.
    """
    strategies = any(name.split()[0] in STRATEGIES for name in names)
    by_name: dict[str, Look] = {}
    styles: set[tuple[int, int]] = set()
    for index, name in enumerate(names):
        word = name.split()[0]
        start = STRATEGIES.index(word) if word in STRATEGIES else len(STRATEGIES) + zlib.crc32(word.encode()) % 97
        start = start if strategies else index
        style = next(s for s in range(start, start + 70) if (s % len(LINES), s % len(MARKERS)) not in styles)
        styles.add((style % len(LINES), style % len(MARKERS)))
        colour = COLOURS[0] if start == 0 else COLOURS[1:][(start - 1) % (len(COLOURS) - 1)]
        by_name[name] = Look(colour, LINES[style % len(LINES)], MARKERS[style % len(MARKERS)])
    return by_name


def colour_of(label: str) -> str | None:
    """The colour of a known strategy other than scratch, which has that of the text; None for scratch and others."""
    word = label.split()[0] if label.split() else ""
    return looks([word])[word].colour if word in STRATEGIES[1:] else None


class Panel(NamedTuple):
    """One diagram of learning curves: a line for each label."""

    title: str
    xlabel: str
    ylabel: str
    curves: Mapping[str, Curves]
    published: Sequence[Published] = ()
    log: bool = False


class Bar(NamedTuple):
    """A gain with its interval, if it has one, and the gains of single seeds."""

    label: str
    value: float
    interval: Sequence[float] | None
    seeds: Sequence[float]
    hollow: bool = False


def save(figure: Figure, path: Path) -> bytes:
    """Write a figure as SVG, or as PNG, by the path's suffix. Returns the file's bytes."""
    data = _encoded(figure, path.suffix.removeprefix("."))
    write_bytes(path, data)
    return data


def svg(figure: Figure) -> bytes:
    """A figure as an SVG file, for a page."""
    return _encoded(figure, "svg")


def _encoded(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format=kind, metadata=nothing, dpi=150)
    return buffer.getvalue()


def separate(panels: Sequence[Panel], share_y: bool = False) -> list[Figure]:
    """The panels of `learning_curves` as a figure each, for narrow pages."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    limits = learning_curves(panels, share_y).axes[0].get_ylim() if share_y else None
    return [learning_curves([panel], names=names, limits=limits) for panel in panels]


def learning_curves(
    panels: Sequence[Panel],
    share_y: bool = False,
    width: float = PANEL[0],
    names: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Panels side by side, ``width`` inches each. A thick line with markers is the mean over seeds, a thin one a seed,
    the band the 95 % interval of the mean at each point, from three seeds on: that of two is as wide as the panel. A
    label looks the same in every panel. Bands end at the panel's edge where they are far wider than the lines.
    ``names``: all labels that the looks are shared among, if there are more; ``limits`` of the height, if they are
    known.
    """
    names = list(names or dict.fromkeys(name for panel in panels for name in panel.curves))
    look_of = looks(names)
    shown = [name for name in names if any(name in panel.curves for panel in panels)]
    entries = [*shown, *(curve.label for panel in panels for curve in panel.published)]
    with matplotlib.rc_context(SETTINGS):
        cell = 0.85 + 0.075 * max(map(len, entries))  # inches of an entry of the legend
        columns = min(4, max(1, int(width * len(panels) / cell)))
        rows = -(-len(entries) // columns)
        figure = Figure((width * len(panels), PANEL[1] + 0.22 * rows), layout="constrained")
        drawn = figure.subplots(1, len(panels), squeeze=False, sharey=share_y)[0]
        for axes, panel in zip(drawn, panels, strict=True):
            for name, curves in panel.curves.items():
                _draw(axes, name, curves, look_of[name], names.index(name))
            for index, published in enumerate(panel.published):
                line = (":", "-", "--")[index % 3]
                axes.plot(published.x, published.y, color="0.6", linestyle=line, linewidth=1, label=published.label)
            axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
            if panel.log:
                axes.set_xscale("log")
            else:
                axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for together in [list(drawn)] if share_y else [[axes] for axes in drawn]:
            _fit(together)
        if limits is not None:
            drawn[0].set_ylim(limits)
        handle_of = {
            label: handle for axes in drawn for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        handles, columns = list(handle_of.values()), min(columns, len(handle_of))
        figure.legend(handles, list(handle_of), loc="outside lower center", ncols=columns, handlelength=3.5)
    return figure


def _fit(panels: Sequence[Axes]) -> None:
    """Let the lines fill panels of one scale: a band of few seeds that is far wider is cut at the edge."""
    heights = np.concatenate([[], *(line.get_ydata() for axes in panels for line in axes.lines)])
    if not len(heights):
        return
    low, high = heights.min(), heights.max()
    if high > low:
        bottom, top = panels[0].get_ylim()
        panels[0].set_ylim(max(bottom, low - BEYOND * (high - low)), min(top, high + BEYOND * (high - low)))


def _draw(axes: Axes, name: str, curves: Curves, look: Look, index: int) -> None:
    colour, line, marker = look
    if len(curves.seeds) >= FEWEST:
        bounds = np.array([seed_estimate(column)["interval"] for column in curves.values.T])
        axes.fill_between(curves.x, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.12, linewidth=0)
        if len(curves.x) == 1:  # has no width to fill
            axes.plot(curves.x.repeat(2), bounds[0], color=colour, linewidth=1)
    if len(curves.seeds) > 1:
        for row in curves.values:
            axes.plot(curves.x, row, color=colour, linestyle=line, linewidth=0.6, alpha=0.6)
    every = max(1, len(curves.x) // 8)
    start = (index * every // 3) % every  # so that markers of near lines do not cover each other
    axes.plot(
        curves.x,
        curves.values.mean(axis=0),
        color=colour,
        linestyle=line,
        marker=marker,
        markersize=4,
        markevery=(start, every),
        label=name,
    )


def gains(title: str, unit: str, bars: Sequence[Bar]) -> Figure:
    """Gains over scratch, one a row: mean, 95 % interval, single seeds as small circles; right of the line, transfer
    helps. Hollow: decides nothing.
    """
    with matplotlib.rc_context(SETTINGS):
        figure = Figure((7.2, 0.9 + 0.34 * len(bars)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="0.5", linewidth=1)
        for row, bar in enumerate(bars):
            colour = colour_of(bar.label) or "black"
            if bar.interval is not None:
                axes.plot(bar.interval, [row, row], color=colour, linewidth=1.5)
            axes.plot(bar.seeds, [row] * len(bar.seeds), "o", color="0.55", markersize=3)
            axes.plot(bar.value, row, "D", color=colour, markerfacecolor="white" if bar.hollow else colour)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set(title=title, xlabel=f"gain over scratch, {unit} (right: transfer helps)")
    return figure
