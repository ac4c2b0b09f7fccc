"""Tables and figure of finished runs: ``python experiments/memory_quality/analyse.py RUN … [--to FOLDER]``.

``results.csv`` has a line for every figure of every run; ``summary.csv`` its mean over seeds, least and greatest, and
in how many of them its whole interval is below and above 0 (of a difference to a baseline: on M's side and on the
other); ``open_loop.svg`` shows how far forecasts drift from reality, a thin line for each run and a thick one for the
mean of a task's runs.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from worldmodels.diagnostics.measures import rows
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.reports.tidy import write_csv
from worldmodels.store.runs import FinishedRun
from worldmodels.utils import parts
from worldmodels.vision.config import NETWORK as VISION

STUDY = Path(__file__).parent
MODELS = {  # of the figure: label, line, marker
    "memory": ("M", "-", "o"),
    "mismatched_actions": ("M, mismatched actions", "--", "v"),
    "persistence": ("persistence", "-.", "x"),
    "reservoir": ("untrained reservoir", (0, (1, 3)), "+"),
}
HIGHEST = 4.0  # of the figure; a reservoir's forecasts can explode


def table(runs: Sequence[FinishedRun]) -> list[dict[str, Any]]:
    """Every figure of every run in one line each."""
    lines = []
    for run in runs:
        results, memory = run.results, run.config.memory
        network = parts.complete(MEMORY, memory.network, "memory.network")
        facts = {
            "env": results["env"],
            "seed": results["seed"],
            "scale": results["scale"],
            "vae": parts.target(VISION, run.config.vae.network).rpartition(".")[2],
            "steps": memory.steps,
            "sequence_length": memory.sequence_length,
            "frames": results["collect"]["frames"],
            "max_steps": run.config.collect.max_steps,
            "skip_gain": network["skip_gain"],
            "mean_inputs": memory.mean_inputs,
            "decay": memory.decay,
            "samples": run.config.measure.samples,
            "heads": network["end_head"] or network["reward_head"] != "none",
        }
        lines += [{**facts, **row} for row in rows(results["measures"]["memory"])]
    return lines


def summary(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each figure, over the seeds of runs that differ in nothing else."""
    figures = ("value", "low", "high")
    by_setting: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for line in lines:
        if line["value"] is not None:
            by_setting.setdefault(tuple((key, line[key]) for key in line if key not in ("seed", *figures)), []).append(
                line
            )
    summarised = []
    for setting, members in by_setting.items():
        values = [line["value"] for line in members]
        bounded = [line for line in members if line["low"] is not None]
        decided = {
            "below_0": sum(line["high"] < 0 for line in bounded),
            "above_0": sum(line["low"] > 0 for line in bounded),
        }
        spread = {"value": float(np.mean(values)), "least": min(values), "greatest": max(values)}
        summarised.append({**dict(setting), "seeds": len(members), **spread, **decided})
    return summarised


def figure(path: Path, runs: Sequence[FinishedRun]) -> None:
    """Squared error over the frames ahead, a panel for each task."""
    tasks: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        tasks.setdefault(run.results["env"], []).append(run.results["measures"]["memory"]["open_loop"])
    with plt.rc_context({"svg.hashsalt": "worldmodels", "svg.fonttype": "none", "font.size": 9}):
        drawing, panels = plt.subplots(1, len(tasks), figsize=(3.6 * len(tasks), 3.6), sharey=True, squeeze=False)
        for panel, (env, members) in zip(panels[0], tasks.items(), strict=True):
            for model, (label, line, marker) in MODELS.items():
                curves = [
                    [np.nan if point["value"] is None else point["value"] for point in figures[model]]
                    for figures in members
                ]
                horizons = members[0]["horizons"]
                for curve in curves:
                    panel.plot(horizons, np.minimum(curve, 2 * HIGHEST), color="0.7", linewidth=0.6)
                mean = np.minimum(np.nanmean(curves, axis=0), 2 * HIGHEST)
                panel.plot(horizons, mean, color="black", linestyle=line, marker=marker, markersize=4, label=label)
            panel.axhline(1, color="0.5", linewidth=0.6)
            panel.set(xscale="log", yscale="log", ylim=(0.01, HIGHEST), xlabel="frames ahead", title=env)
            panel.set_xticks(horizons, [str(horizon) for horizon in horizons])
            panel.minorticks_off()
        panels[0][0].set_ylabel("squared error / variance of μ")
        panels[0][0].legend(loc="lower right", frameon=False, fontsize=8)
        drawing.tight_layout()
        drawing.savefig(path, metadata={"Date": None})
        plt.close(drawing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that hold results.json")
    parser.add_argument("--to", type=Path, default=STUDY, help="where the table and the figure go")
    arguments = parser.parse_args()
    runs = sorted(map(FinishedRun, arguments.runs), key=lambda run: (run.results["env"], run.results["seed"]))
    lines = table(runs)
    write_csv(arguments.to / "results.csv", lines)
    write_csv(arguments.to / "summary.csv", summary(lines))
    figure(arguments.to / "open_loop.svg", runs)


if __name__ == "__main__":
    main()
