"""Tables and figure of finished runs: ``python experiments/dream_training/analyse.py RUN … [--to FOLDER]``.

``runs.csv`` has a line a search: its agent's score in dreams at the temperature of the search's end and in the task,
mean and standard deviation over episodes. ``generations.csv`` has every generation. ``summary.csv`` has a line for each
temperature: mean and standard deviation over searches. ``temperatures.svg`` has a point for each search.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from worldmodels.controller.phases import phase_at
from worldmodels.controller.policy import agent_parameters
from worldmodels.dreams.core import DreamModel
from worldmodels.dreams.returns import dream_returns
from worldmodels.reports import figures
from worldmodels.reports.tidy import write_csv
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.seeds import episode_seed

STUDY = Path(__file__).parent
DREAMS = 100  # of each agent, none of which its search met
# Ha & Schmidhuber 2018, table 2: temperature -> in the dream, in the game; mean and deviation of 100 episodes.
PAPER = {
    0.1: ((2086, 140), (193, 58)),
    0.5: ((2060, 277), (196, 50)),
    1.0: ((1145, 690), (868, 511)),
    1.15: ((918, 546), (1092, 556)),
    1.3: ((732, 269), (753, 139)),
}


def temperature(run: FinishedRun) -> float:
    """Of the dreams of the search's last generation. Exits where that was in the task."""
    phase = phase_at(run.config.controller, run.results["controller"]["generations"][-1]["generation"])
    if phase.where != "dream" or phase.temperature is None:
        raise SystemExit(
            f"error: {run.folder} was searched in the task at its end: expected a search that ends in dreams"
        )
    return phase.temperature


def dreamt(run: FinishedRun) -> np.ndarray:
    """Returns of the run's agent in dreams of its own M, at the temperature of its search's end: (DREAMS,)."""
    model = DreamModel.of(run)
    seeds = [episode_seed(run.config.seed, "figures", 3, number) for number in range(DREAMS)]
    agent = agent_parameters(load_file(run.controller.weights))[None]
    settings = {"temperature": temperature(run), "end_threshold": run.config.controller.end_threshold}
    return dream_returns(model, agent, seeds, **settings)[0]


def row(run: FinishedRun, dreams: np.ndarray) -> dict[str, Any]:
    """One search in one line."""
    evaluation, search = run.results["evaluation"], run.results["controller"]
    return {
        "env": run.results["env"],
        "temperature": temperature(run),
        "seed": run.config.seed,
        "generations": len(search["generations"]),
        "population": run.config.controller.population,
        "rollouts": run.config.controller.rollouts,
        "inputs": " ".join(run.config.controller.inputs),
        "dream": float(dreams.mean()),
        "dream_std": float(dreams.std(ddof=1)),
        "reality": evaluation["mean"],
        "reality_std": evaluation["std"],
        "episodes": evaluation["episodes"],
        "random": evaluation["random"]["mean"],
        "random_std": evaluation["random"]["std"],
        "search_seconds": run.results["stages"]["controller"]["seconds"],
    }


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each task and temperature: the mean over searches, and its standard deviation where there are two."""
    lines = []
    for env, tau in sorted({(row["env"], row["temperature"]) for row in rows}):
        members = [row for row in rows if (row["env"], row["temperature"]) == (env, tau)]
        line: dict[str, Any] = {"env": env, "temperature": tau, "searches": len(members)}
        for place in ("dream", "reality", "random"):
            values = [member[place] for member in members]
            line[place] = float(np.mean(values))
            line[f"{place}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        if env == "take_cover" and tau in PAPER:
            (line["paper_dream"], _), (line["paper_reality"], _) = PAPER[tau]
        lines.append(line)
    return lines


def figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Score in dreams against score in the task, by temperature: a panel for each task, a point for each search."""
    tasks = sorted({row["env"] for row in rows})
    drawing = Figure(figsize=(4.5 * len(tasks), 3.4), layout="constrained")
    for panel, env in zip(drawing.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        members = sorted((row for row in rows if row["env"] == env), key=lambda row: row["temperature"])
        for place, look in (("dream", "o"), ("reality", "s")):
            points = [(row["temperature"], row[place]) for row in members]
            panel.plot(*zip(*points, strict=True), look, label=f"in {'dreams' if place == 'dream' else 'the task'}")
        if env == "take_cover":
            for index, name in enumerate(("dreams", "the game")):
                means = [scores[index][0] for scores in PAPER.values()]
                panel.plot(list(PAPER), means, ":", color=f"C{index}", label=f"in {name}, the paper")
        random = {row["seed"]: row["random"] for row in members}  # searches of a seed share their random agent
        panel.axhline(float(np.mean(list(random.values()))), color="grey", linewidth=0.8, label="random, in the task")
        panel.set(title=env, xlabel="temperature of the search", ylabel="return")
        panel.legend(fontsize=7)
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that hold results.json")
    parser.add_argument("--to", type=Path, default=STUDY, help="where the tables and the figure go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = [FinishedRun(folder) for folder in arguments.runs]
    rows = sorted(
        (row(run, dreamt(run)) for run in runs), key=lambda row: (row["env"], row["temperature"], row["seed"])
    )
    write_csv(arguments.to / "runs.csv", rows)
    write_csv(arguments.to / "summary.csv", summary(rows))
    curves = [
        {"env": run.results["env"], "temperature": temperature(run), "seed": run.config.seed, **values}
        for run in runs
        for each in run.results["controller"]["generations"]
        for values in [{name: value for name, value in each.items() if name != "fitness"}]
    ]
    write_csv(arguments.to / "generations.csv", curves)
    figures.save(figure(rows), arguments.to / "temperatures.svg")


if __name__ == "__main__":
    main()
