"""The iterative procedure (Ha & Schmidhuber 2018, section 5): data of the agent's own, V, M and the search go on.

Each round is a run like any other, whose settings follow from those of the first one and from the round before: the
agent of that round collects, with noise on its actions, and its rollouts join all earlier ones; V, M and the search
start from what that round left. What is finished is found again, so that the same command goes on.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodels.config import Config, plain
from worldmodels.controller.config import SEARCH, ControllerConfig, PhaseConfig
from worldmodels.controller.coordinates import search_space
from worldmodels.controller.incumbent import Incumbent, measure_of, score_of
from worldmodels.controller.individuals import first_step
from worldmodels.controller.inputs import open_inputs
from worldmodels.controller.phases import REPLACED, phase_at
from worldmodels.controller.policy import Shape
from worldmodels.controller.search import chosen_search
from worldmodels.envs import task_spec
from worldmodels.pipeline.job import run_job
from worldmodels.pipeline.stages.collect import STAGE as COLLECT
from worldmodels.reports.tidy import write_csv
from worldmodels.store.runs import RESULTS, foreign_code
from worldmodels.transfer.config import ITERATED, TransferConfig
from worldmodels.utils import parts
from worldmodels.utils.disk import writing
from worldmodels.utils.files import write_json

CHANGES_RESULTS = False
log = logging.getLogger(__name__)
ROUNDS = "rounds.csv"
SEEDS = 1_000_000  # between the seeds of two rounds' rollouts


def run_rounds(config: Config, source: Config | None, folder: Path) -> float | None:
    """Run one job in ``config.iterations`` rounds, and return its objective. Each round's results are in
    ``folder/round1`` …; the run's own are those of the round that validated best (`best_round`), found again, with what
    all rounds gave as ``rounds``, and ``rounds.csv``.
    """
    if config.iterations == 1:
        return run_job(config, source, folder)
    rows: list[dict[str, Any]] = []
    configs: list[Config] = []
    for number in range(1, config.iterations + 1):
        where = folder / f"round{number}"
        with writing("the run's results", where):
            where.mkdir(parents=True, exist_ok=True)
        log.info("round %d of %d", number, config.iterations)
        configs.append(next_round(config, folder / f"round{number - 1}", number) if configs else config)
        run_job(configs[-1], source if number == 1 else None, where)
        results = json.loads((where / RESULTS).read_text(encoding="utf-8"))
        rows.append({"round": number, **_row(results, configs[-1].controller)})
        with writing("the run's results", folder):
            write_csv(folder / ROUNDS, rows)
    for row in rows:
        log.info("round %d: %s", row["round"], ", ".join(f"{key} {row[key]:.4g}" for key in TOLD if key in row))
    best = best_round(rows)
    number = best or config.iterations
    log.info("the run's agent is that of round %d, %s", number, "which validated best" if best else "the last")
    value = run_job(configs[number - 1], source if number == 1 else None, folder)
    with writing("the run's results", folder):
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        write_json(folder / RESULTS, {**results, "round": number, "rounds": rows})
    return value


def best_round(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """The round, counted from 1, whose agent validated best, the first of equals; all rounds are validated on the same
    episodes of the task. None where these did not choose the last round's agent, as where the task is not to be asked:
    M's dreams differ from round to round, so that scores in them tell no round from another.
    """
    asked = [row for row in rows if "validation" in row and "dream" not in row]
    return max(asked, key=lambda row: row["validation"])["round"] if rows[-1] in asked else None


def agents_row(search: ControllerConfig, generations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The row of the generation whose mean is the agent; None where no score chose it."""
    incumbent, measure = Incumbent[Mapping[str, Any] | None](None), ""
    for row in generations:
        measure = measure_of(phase_at(search, row["generation"]))
        incumbent.consider(row, score_of(row), measure)
    return incumbent.chosen if incumbent.of(measure) is not None else None


def next_round(config: Config, previous: Path, number: int) -> Config:
    """The settings of round ``number``, 2 or later, after the run in ``previous``; ``config``: those of the first."""
    run, iteration = str(previous), config.iteration
    noise = {"noise": iteration.noise, "persistence": iteration.persistence}
    collect = dataclasses.replace(
        config.collect,
        policy={parts.TARGET: "agent", "run": run, **noise},
        mix=run,
        recorded=None,
        recorded_key=None,
        frames=iteration.frames or config.collect.frames,
        seed=COLLECT.seed(config) + SEEDS * (number - 1),
    )
    transfer = TransferConfig(
        name=ITERATED,
        load=["vision", "memory", "controller"],
        freeze=list(dict.fromkeys([*config.transfer.freeze_random, *iteration.freeze])),
        source_run=run,
    )
    controller = _searched_on(config, (number - 1) * config.controller.generations)
    allow = list(dict.fromkeys([*config.allow, *foreign_code(plain(config))]))  # the round before is of the same code
    return dataclasses.replace(config, collect=collect, transfer=transfer, controller=controller, allow=allow)


def _searched_on(config: Config, done: int) -> ControllerConfig:
    """The search's settings after so many generations: phases that have begun hold, and the others come as much sooner.
    Its first step is a share of the usual one, because it starts at what was found.
    """
    search = config.controller
    now, opened = phase_at(search, done + 1), open_inputs(search, done + 1)
    phases = [PhaseConfig(1, opened)] if opened != list(search.inputs) else []
    phases += [
        dataclasses.replace(phase, generation=phase.generation - done)
        for phase in search.phases
        if phase.generation > done + 1
    ]
    chosen = chosen_search(search)
    settings = parts.complete(SEARCH, chosen, "controller.search")
    if "sigma" in settings:
        read = _size(config, opened) if search.readout is None else sum(search_space(config)[1].values())
        shape = Shape(read, task_spec(config.env).outputs, search.hidden)
        chosen["sigma"] = config.iteration.step * (settings["sigma"] or first_step(shape.size))
    held = {name: getattr(now, name) for name in REPLACED}
    return dataclasses.replace(search, search=chosen, phases=phases, after=done, **held)


def _size(config: Config, inputs: list[str]) -> int:
    """Numbers of these inputs of C, which may open after the first round's generations."""
    return sum(config.vae.latent_size if name == "z" else config.memory.hidden_size for name in inputs)


TOLD = ("frames", "return_mean", "heldout_reconstruction", "heldout_nll", "population_mean", "validation", "score")


def _row(results: dict[str, Any], search: ControllerConfig) -> dict[str, Any]:
    """What a round gave: what its data reaches, V and M on the held-out rollouts, the search and the score."""
    data = results["collect"]
    row: dict[str, Any] = {name: data[name] for name in ("rollouts", "frames", "return_mean", "return_std")}
    row |= {f"coverage_{name}": value for name, value in data["coverage"].items()}
    for part in ("vision", "memory"):
        row |= {name: value for name, value in results.get(part, {}).items() if name.startswith("heldout_")}
    generations = results["controller"]["generations"]
    row["population_mean"] = generations[-1]["mean"]
    if (chosen := agents_row(search, generations)) is not None:
        row |= {name: chosen[name] for name in ("dream", "validation") if name in chosen}
    if score := results.get("evaluation"):
        low, high = score["interval"] or (None, None)
        row |= {"score": score["mean"], "score_low": low, "score_high": high, "random": score["random"]["mean"]}
    row["seconds"] = sum(stage["seconds"] for stage in results["stages"].values())
    return {name: value for name, value in row.items() if value is not None}
