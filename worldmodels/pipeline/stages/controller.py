"""Controller: search C's parameters by the returns of the whole agent in the task."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from worldmodels.config import Config, config_to_json
from worldmodels.controller.agent import (
    AgentEpisodes,
    agent_inputs,
    agent_models,
    agent_parts,
    controller_size,
    input_size,
)
from worldmodels.controller.config import SEARCH
from worldmodels.controller.search import describe, make_search
from worldmodels.envs.registry import task_parts
from worldmodels.pipeline.stage import Stage, Work, strategy
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import Executor
from worldmodels.store.artifacts import WEIGHTS, Length
from worldmodels.store.journal import Journal
from worldmodels.transfer.controllers import warm_start
from worldmodels.utils import parts
from worldmodels.utils.progress import Progress
from worldmodels.utils.seeds import episode_seed
from worldmodels.utils.settings import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """The weights of another search and the number of its C's outputs."""

    weights: Path
    outputs: int


def run(
    config: Config,
    vision: Path,
    memory: Path | None,
    outputs: int,
    source: Source | None,
    executor: Executor,
    folder: Path,
    journal: Journal,
) -> dict[str, Any]:
    """Write ``weights.safetensors`` with the search's ``mean`` and ``best``. A row of the journal is a finished
    generation; its ``fitness`` restores the search. ``source``: whose mean the search starts from.
    """
    start = None
    if source:
        given = load_file(source.weights)["mean"]
        start = warm_start(given, source.outputs, input_size(config), outputs)
        log.info("  starting with %d of %d parameters from the source", np.count_nonzero(start), len(start))
    size = controller_size(config, outputs)
    search = make_search(config.controller, size, config.seed, start)
    log.info("  %s", describe(search, size, config.controller.population))
    journal.rewind(generations=config.controller.generations)
    finished = journal.rows("generations")
    for row in finished:
        search.ask()
        search.tell(row["fitness"])
    if finished:
        log.info("  going on after %d of %d generations", len(finished), config.controller.generations)
    work = AgentEpisodes(
        config_to_json(config),
        vision,
        memory,
        config.controller.max_steps or config.env.max_steps,
        config.executor.slots,
        config.controller.patience,
    )
    for generation in range(len(finished) + 1, config.controller.generations + 1):
        started = time.perf_counter()
        returns = _returns(work, search.ask(), _seeds(config, generation), executor, f"generation {generation}")
        fitness = returns.mean(axis=1)
        search.tell(fitness.tolist())
        row = {
            "generation": generation,
            "best": float(fitness.max()),
            "mean": float(fitness.mean()),
            "worst": float(fitness.min()),
            "std": float(fitness.std(ddof=1)),
            "seconds": round(time.perf_counter() - started, 2),
            "fitness": fitness.tolist(),
        }
        journal.row("generations", "generation", row)
        log.info(
            "  generation %(generation)d: best %(best).1f  mean %(mean).1f  worst %(worst).1f  std %(std).1f  "
            "(%(seconds).1f s)",
            row,
        )
    save_file({"mean": search.mean, "best": search.best}, folder / WEIGHTS)
    return {"parameters": len(search.mean), "generations": journal.rows("generations")}


def check(config: Config, outputs: int) -> None:
    """Raise `ConfigError` where the search cannot be made, before anything is trained for it."""
    make_search(config.controller, controller_size(config, outputs), config.seed)


def _seeds(config: Config, generation: int) -> list[int]:
    """The episodes that every individual of a generation meets."""
    return [episode_seed(config.seed, "controller", 1, generation, i) for i in range(config.controller.rollouts)]


def _returns(
    work: AgentEpisodes, population: np.ndarray, seeds: list[int], executor: Executor, what: str
) -> np.ndarray:
    """Return of each individual in each episode: (population, rollouts)."""
    returns = np.empty((len(population), len(seeds)))
    episodes = [
        Episode((i, j), seed, parameters) for i, parameters in enumerate(population) for j, seed in enumerate(seeds)
    ]
    with Progress(what, len(episodes), "rollouts") as progress:
        for episode, value in executor.map(work, episodes):
            returns[episode.label] = value
            progress.advance(1)
    return returns


def _inputs(config: Config) -> dict[str, Any]:
    search = config.controller
    return {
        "env": counted(config.env, "controller"),
        "controller": {**counted(search), "max_steps": search.max_steps or config.env.max_steps},
        **agent_inputs(config),
    }


def _build(work: Work) -> dict[str, Any]:
    source = Source(work.parents["source"].weights, work.source_outputs or 0) if "source" in work.parents else None
    models = work.path("vision") / WEIGHTS, work.weights("memory")
    return run(work.config, *models, work.spec.outputs, source, work.executor, work.folder, work.journal)


STAGE = Stage(
    name="controller",
    parents=agent_models,
    inputs=_inputs,
    build=_build,
    label=strategy,
    parts=lambda config: [
        *task_parts(config.env),
        *agent_parts(config),
        parts.target(SEARCH, config.controller.search),
    ],
    libraries=("torch", "gymnasium", "box2d"),
    loads="controller",
    length=lambda config: Length(("controller", "generations")),  # a search knows only what it is told
)
