"""Tables and figures of finished runs: ``python experiments/agent_transfer/analyse.py RUN … [--to FOLDER]``.

What the columns and figures show is in the README. The runs may be any part of the sweeps, all of one scale. With
``--from-csv`` gains, verdicts and figures are made again from the committed curves.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from worldmodels.controller.config import SEARCH
from worldmodels.factory import make_memory
from worldmodels.migrations import migrated
from worldmodels.reports import figures, plotting, studies, tidy
from worldmodels.reports.groups import Group, labels
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.metrics import Curves, compare, compare_values
from worldmodels.utils import parts
from worldmodels.utils.comparing import judge
from worldmodels.utils.statistics import seed_estimate

ENDS = 2  # generations at either end of a search, between which it rises
STRATEGIES = ("scratch", "pretrained_vision", "freeze2", "freeze_encoder")
CONTROLS = {  # compared with
    "random_memory": ("scratch",),
    "z_alone": ("scratch", "random_memory"),
    "small_steps": ("scratch", "z_alone"),
}
SIGMA = 0.1  # the search's first step size, but for small_steps
ORDER = (*STRATEGIES, *CONTROLS)
RISES = {"better": "rises", "worse": "falls"}
FAMILY = ("env", "question", "metric")  # of comparisons that are judged together
POPULATIONS = {  # file: task, strategies
    "car_racing_scratch": ("car_racing", STRATEGIES[:1]),
    "car_racing_frozen": ("car_racing", STRATEGIES[2:]),
    "lunar_lander": ("lunar_lander", STRATEGIES),
    "bipedal_walker": ("bipedal_walker", STRATEGIES),
}


class Agent(NamedTuple):
    """All searches with one strategy and budget on a task: curves by measure, a row for each seed."""

    env: str
    name: str
    label: str
    budget: float
    curves: dict[str, Curves]


def read(patterns: Sequence[str], tables: Path | None = None) -> Sequence[FinishedRun]:
    """The runs. One whose C sees z alone, to which no M matters, or with another step size is a strategy of its own."""
    runs = studies.read(patterns, "controller", tables)
    for run in runs:
        settings = migrated(run.results["config"])["controller"]
        if settings["inputs"] == ["z"]:
            run.results["transfer"] = "z_alone"
        elif parts.complete(SEARCH, settings["search"], "controller.search")["sigma"] != SIGMA:
            run.results["transfer"] = "small_steps"
    return runs


@torch.inference_mode()
def inputs(run: FinishedRun) -> dict[str, Any]:
    """How long the vectors that C reads are: mean of |z|² and |h|² over the rollouts that M trains on."""
    store, sums = RolloutStore(run.artifact("encode").path), np.zeros(3)
    network = None
    for rollout in range(len(store)):
        mu, actions = (torch.from_numpy(np.asarray(store.read(rollout, name))) for name in ("mu", "actions"))
        network = network or make_memory(run.config, actions.shape[1], run.memory.weights).eval()
        hidden, _ = network.unroll(mu[None].float(), actions[None].float())
        sums += (len(mu), float(mu.square().sum()), float(hidden.square().sum()))
    z, h = sums[1:] / sums[0]
    facts = {key: value for key, value in tidy.facts(run).items() if key in ("env", "strategy", "budget", "seed")}
    return {**facts, "z": z, "h": None if run.results["transfer"] == "z_alone" else h}


def agents(groups: Sequence[Group]) -> list[Agent]:
    """The agents of all groups: CarRacing's first, and of a task those from scratch first."""
    result = []
    for group in groups:
        names = labels(group.members)
        for strategy in group.members:
            curves = {measure: group.curves(strategy, measure) for measure in tidy.MEASURES["controller"]}
            recorded = {measure: curve for measure, curve in curves.items() if curve is not None}
            result.append(Agent(group.env, strategy.name, names[strategy], strategy.budget, recorded))
    return sorted(
        result, key=lambda agent: (agent.env != "car_racing", agent.env, ORDER.index(agent.name), -agent.budget)
    )


def together(all_agents: Sequence[Agent], env: str) -> Agent | None:
    """The mean over a task's agents but the controls, for the seeds that all of them have."""
    of_task = [agent.curves for agent in all_agents if agent.env == env and agent.name not in CONTROLS]
    seeds = sorted(set.intersection(*(set(curves["mean"].seeds) for curves in of_task))) if len(of_task) > 1 else []
    if not seeds:
        return None
    curves = {}
    for measure, first in of_task[0].items():
        rows = [agent[measure].values[[agent[measure].seeds.index(seed) for seed in seeds]] for agent in of_task]
        if measure == "best":  # so far, as the highest mean of bests is not the mean of the highest
            rows = np.maximum.accumulate(rows, axis=2)
        curves[measure] = Curves(first.x, np.mean(rows, axis=0), tuple(seeds))
    return Agent(env, "", f"all {len(of_task)}", 0.0, curves)


def rise(curves: Curves) -> np.ndarray:
    """Mean of the last generations less mean of the first: (S,)."""
    ends = max(1, min(ENDS, len(curves.x) // 2))
    return curves.values[:, -ends:].mean(axis=1) - curves.values[:, :ends].mean(axis=1)


def summary(all_agents: Sequence[Agent]) -> Iterator[dict[str, Any]]:
    """A row for each agent; the rises of a task are judged together, those of all its agents by themselves."""
    rises = {}
    for family in dict.fromkeys(_family(agent) for agent in all_agents):
        members = [agent for agent in all_agents if _family(agent) == family]
        judged = judge([rise(agent.curves["mean"]) for agent in members], [None] * len(members))
        rises |= {id(agent): judgement for agent, judgement in zip(members, judged, strict=True)}
    for agent in all_agents:
        mean, seeds = agent.curves["mean"], agent.curves["mean"].seeds
        figures_of = {"first": mean.values[:, 0], "last": mean.values[:, -1], "rise": rise(mean)}
        figures_of["best"] = agent.curves["best"].values.max(axis=1)
        row = {
            "env": agent.env,
            "label": agent.label,
            "budget": agent.budget or None,
            "seeds": " ".join(map(str, seeds)),
        }
        for name, values in figures_of.items():
            figure = seed_estimate(values)
            low, high = figure["interval"] or (None, None)
            row |= {name: figure["value"], f"{name}_low": low, f"{name}_high": high}
            if name == "rise":
                judgement = rises[id(agent)]
                row |= {"p_holm": judgement.p, "verdict": RISES.get(judgement.verdict, "undecided")}
        row["std"] = float(agent.curves["std"].values.mean())
        yield row | {"seconds": float(agent.curves["seconds"].values.sum(axis=1).mean())}


def _family(agent: Agent) -> tuple[str, bool]:
    return agent.env, bool(agent.name)


def pairs(all_agents: Sequence[Agent]) -> Iterator[tuple[str, Agent, Agent]]:
    """A question, an agent, and what it is compared with."""
    for agent, other in ((agent, other) for agent in all_agents for other in all_agents if agent.env == other.env):
        if agent.name in CONTROLS:
            if other.name in CONTROLS[agent.name] and other.budget == agent.budget:
                yield "M", agent, other
        elif other.name == "scratch" != agent.name and agent.budget == other.budget:
            yield "transfer of V", agent, other
        elif other.name == agent.name == "scratch" and agent.budget < other.budget:
            yield "data of V", agent, other


def gains(all_agents: Sequence[Agent]) -> Iterator[dict[str, Any]]:
    """A row for each metric of every pair that has a seed in common; ``per_seed`` and ``std`` are for the figure."""
    for question, agent, other in pairs(all_agents):
        mean, reference = agent.curves["mean"], other.curves["mean"]
        if not set(mean.seeds) & set(reference.seeds):
            continue
        gains_of = compare(mean, reference, higher=True)
        rises = [dict(zip(curves.seeds, rise(curves), strict=True)) for curves in (mean, reference)]
        gains_of["rise"] = compare_values(rises[0], rises[1], higher=True)
        facts = {"question": question, "env": agent.env, "label": agent.label, "reference": other.label}
        facts |= {"budget": agent.budget, "seeds": " ".join(map(str, gains_of["seeds"]))}
        for metric in ("area", "jump_start", "asymptote", "rise"):
            gain = gains_of[metric]
            low, high = gain["interval"] or (None, None)
            figure = {"value": gain["value"], "low": low, "high": high, "negative": gain["negative"]}
            std = float(other.curves["std"].values.mean())
            yield {
                **facts,
                "metric": metric,
                **figure,
                "per_seed": gain["per_seed"],
                "learnt": gains_of["learnt"],
                "std": std,
            }


def population_figure(path: Path, all_agents: Sequence[Agent], env: str, names: Sequence[str]) -> None:
    """Best, mean and worst of the population, a panel a strategy, with the study's budgets: V from scratch has all the
    data, a transferred one half of it.
    """
    panels = []
    for name in names:
        of_strategy = sorted(
            (agent for agent in all_agents if (agent.env, agent.name) == (env, name)), key=lambda agent: agent.budget
        )
        if of_strategy:
            chosen = of_strategy[-1 if name == "scratch" else 0]
            curves = {measure: chosen.curves[measure] for measure in ("best", "mean", "worst")}
            panels.append(figures.Panel(chosen.label, "generation", "return", curves))
    if panels:
        width = 2.7 if len(panels) > 2 else figures.PANEL[0]
        figures.save(figures.learning_curves(panels, share_y=True, width=width), path)


def mean_figure(path: Path, all_agents: Sequence[Agent]) -> None:
    """Population mean, mean ± standard deviation over seeds; strategies beside each other within a generation."""
    full_budget = [agent for agent in all_agents if agent.budget == 1]
    panels = {
        "V on half the data": [agent for agent in all_agents if agent.budget != 1],
        "V on all the data": [agent for agent in full_budget if agent.name not in CONTROLS],
        "controls": [agent for agent in full_budget if agent.name in ("scratch", *CONTROLS)],
    }
    with matplotlib.rc_context(figures.SETTINGS):
        figure = Figure((10.5, 3.6), layout="constrained")
        handles = {}
        for axes, (title, members) in zip(figure.subplots(1, 3, sharey=True), panels.items(), strict=True):
            for position, agent in enumerate(members):
                style, curves = ORDER.index(agent.name), agent.curves["mean"]
                handles[agent.name] = axes.errorbar(
                    curves.x + 0.12 * (position - (len(members) - 1) / 2),
                    curves.values.mean(axis=0),
                    curves.values.std(axis=0, ddof=1) if len(curves.seeds) > 1 else None,
                    color=figures.COLOURS[style],
                    linestyle=figures.LINES[style],
                    marker=figures.MARKERS[style],
                    markersize=4,
                    elinewidth=0.8,
                )
            axes.set(title=title, xlabel="generation")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.axes[0].set_ylabel("population mean, return")
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=6, handlelength=3.5)
    figures.save(figure, path)


def gains_figure(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Gains by area, in standard deviations of the reference's population, so that tasks share an axis."""
    bars = []
    for row in rows:
        if row["metric"] == "area":
            std = row["std"] or 1
            interval = None if row["low"] is None else (row["low"] / std, row["high"] / std)
            seeds = [gain / std for gain in row["per_seed"]]
            label, hollow = f"{row['env']}: {row['label']} against {row['reference']}", row["verdict"] not in RISES
            bars.append(figures.Bar(label, row["value"] / std, interval, seeds, hollow))
    if bars:
        figure = figures.gains("C: population mean, all generations", "", bars)
        figure.set_figwidth(8.5)
        figure.axes[0].set_xlabel("gain, in standard deviations of the population")
        figures.save(figure, path)


def main() -> None:
    arguments = studies.arguments(__doc__ or "", Path(__file__).parent)
    to = arguments.to
    runs = read(arguments.runs, arguments.from_csv)
    groups = [group for group, _ in studies.write_tables(to, runs, "controller")]
    all_agents = agents(groups)
    if not arguments.from_csv:
        tidy.write_csv(to / "inputs.csv", map(inputs, runs))
    joint = [agent for env in dict.fromkeys(agent.env for agent in all_agents) if (agent := together(all_agents, env))]
    tidy.write_csv(to / "summary.csv", summary([*all_agents, *joint]))
    rows = studies.judged(list(gains(all_agents)), FAMILY)
    studies.write_gains(to / "gains.csv", rows)
    gains_figure(to / "gains.svg", rows)
    for name, (env, strategies) in POPULATIONS.items():
        population_figure(to / f"{name}.svg", all_agents, env, strategies)
    driving = [agent for agent in all_agents if agent.env == "car_racing"]
    if driving:
        mean_figure(to / "car_racing_mean.svg", driving)
    for group in groups:
        beside = plotting.published_figure(group, plotting.budgets(group)[0])
        if beside and any(agent.name in STRATEGIES for agent in group.members):
            beside.set_figwidth(9)
            figures.save(beside, to / "car_racing_published.svg")


if __name__ == "__main__":
    main()
