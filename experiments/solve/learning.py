"""The committed CarRacing search beside the published ones: ``python experiments/solve/learning.py [--to FOLDER]``.

``car_racing/learning.svg``: scores over episodes played and over core-hours. Our scores are validations of the search's
mean over 16 episodes, which do not count among the episodes played. Ha & Schmidhuber 2018 play 64 × 16 episodes a
generation on 64 cores. Wellmer 2020 gives generations, and neither episodes nor hours.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from worldmodels.controller.phases import phase_at
from worldmodels.reports.published import REFERENCE
from worldmodels.store.runs import FinishedRun

STUDY = Path(__file__).parent
CORES, THEIR_CORES, THEIR_EPISODES = 2, 64, 64 * 16


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ours(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episodes, core-hours and validation of each validated generation: (K,) each."""
    search = FinishedRun(folder).config.controller
    points, episodes, seconds = [], 0, 0.0
    for row in rows(folder / "generations.csv"):
        episodes += search.population * (phase_at(search, int(row["generation"])).rollouts or search.rollouts)
        seconds += float(row["seconds"])
        if row["validation"]:
            points.append((episodes, CORES * seconds / 3600, float(row["validation"])))
    return tuple(np.array(points).T)


def theirs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of Ha & Schmidhuber's evaluations."""
    points = [
        [float(row[name]) for name in ("generation", "wall_seconds", "evaluation_mean")]
        for row in rows(REFERENCE / "carracing_ha2018_evaluations.csv")
    ]
    generations, seconds, scores = np.array(points).T
    return THEIR_EPISODES * generations, THEIR_CORES * seconds / 3600, scores


def draw(folder: Path) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    curves = {"ours, on two cores": (ours(folder), "C0", "o"), "Ha & Schmidhuber 2018": (theirs(), "0.5", "s")}
    for label, ((episodes, hours, scores), colour, marker) in curves.items():
        for axis, x in zip(axes, (episodes, hours), strict=True):
            axis.plot(x, scores, color=colour, marker=marker, markersize=3, linewidth=1.2, label=label)
    for axis, name in zip(axes, ("episodes of the search", "core-hours of the search, at most"), strict=True):
        axis.set(xscale="log", xlabel=name, ylim=(0, 1000))
        axis.axhline(900, color="0.7", linestyle=":", linewidth=1)
        axis.grid(alpha=0.2)
    axes[0].set_ylabel("score")
    axes[0].legend(loc="lower right", frameon=False)
    figure.suptitle("CarRacing: the search for C (dotted: what counts as solved)")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=STUDY / "car_racing", help="where learning.svg goes")
    chosen = parser.parse_args()
    draw(STUDY / "car_racing").savefig(chosen.to / "learning.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
