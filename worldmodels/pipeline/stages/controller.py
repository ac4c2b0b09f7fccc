"""Controller: search C's parameters by the returns of the whole agent in the task, or of C in dreams of M."""

import dataclasses
import logging
import math
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
    controller_shape,
    knows,
    remembers,
)
from worldmodels.controller.config import SEARCH, ControllerConfig, PhaseConfig
from worldmodels.controller.coordinates import make_readout, make_scaling, search_space
from worldmodels.controller.incumbent import Incumbent, measure_of, score_of
from worldmodels.controller.inputs import dreams, places, privileged, read_inputs
from worldmodels.controller.phases import REPLACED, PhasedSearch, check_phases, phase_at, phase_table
from worldmodels.controller.policy import Shape, agent_parameters
from worldmodels.controller.warm_start import warm_start
from worldmodels.dreams.search import dream_episodes, returns_in_dreams
from worldmodels.envs.registry import task_parts
from worldmodels.envs.renderers import rollout_libraries
from worldmodels.factory import beside_weights
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.pipeline.filming import film_mean
from worldmodels.pipeline.stage import Stage, Work, strategy
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import Executor
from worldmodels.store.artifacts import WEIGHTS, Length
from worldmodels.store.journal import Journal
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.progress import Progress, duration
from worldmodels.utils.seeds import episode_seed
from worldmodels.utils.settings import counted
from worldmodels.utils.words import number_of

log = logging.getLogger(__name__)
VALIDATION_DREAMS = 128  # that score a mean: one batch of M
# Beside C's parameters: those on what is read out, and the covariance with which the search ended, on one scale.
ON_READOUT, COVARIANCE = "on_readout", "covariance"


@dataclass(frozen=True)
class Source:
    """The weights of another search and the number of its C's outputs."""

    weights: Path
    outputs: int


def run(
    config: Config,
    vision: Path | None,
    memory: Path | None,
    outputs: int,
    source: Source | None,
    executor: Executor,
    folder: Path,
    journal: Journal,
    encoded: Path | None = None,
    dataset: Path | None = None,
) -> dict[str, Any]:
    """Write ``weights.safetensors`` with the search's ``mean``, its ``best`` individual, and the ``agent``: the mean
    that validated best, or the last one. A row of the journal is a finished generation; its ``fitness`` restores the
    search. ``source``: whose agent the search starts from. ``encoded``: rollouts as V sees them, to standardise C's
    inputs, and where dreams begin; ``dataset``: the same with their true states, for a C that knows them or a read-out
    of them.
    """
    settings = config.controller
    search_settings, sizes = search_space(config)
    shape = Shape(sum(sizes.values()), outputs, settings.hidden)  # of what is searched
    start, covariance = _start(config, source, outputs) if source else (None, None)
    looked = source.weights.parent if source and start is not None else None
    readout = make_readout(config, memory, encoded, dataset, folder, looked)
    scaling = make_scaling(config, shape, memory, encoded, dataset, folder, readout)
    seed = _seed(config)
    seed = seed if not settings.after else episode_seed(seed, "controller", 5, settings.after)
    search = PhasedSearch(search_settings, sizes, scaling, seed, start, covariance)

    def controller(searched: np.ndarray) -> np.ndarray:
        return searched if readout is None else readout.to_controller(searched, shape)

    journal.rewind(generations=settings.generations)
    incumbent = Incumbent(search.mean)
    finished = journal.rows("generations")
    for row in finished:
        search.ask()
        search.tell(row["fitness"])
        incumbent.consider(search.mean, score_of(row), measure_of(phase_at(settings, row["generation"])))
    if finished:
        log.info("  going on after %d of %s", len(finished), number_of(settings.generations, "generation"))
    spent = sum(row["seconds"] for row in finished)
    if read_inputs(config.controller) != list(config.controller.inputs):
        names = [name for name in settings.inputs if name not in read_inputs(settings)]
        log.warning(
            "  C reads %s: %s would open after generation %d, the last; set controller.phases=[] or more generations",
            ", ".join(read_inputs(settings)),
            ", ".join(names),
            settings.generations,
        )
    measure = None
    while _end(settings, search.generation, spent, incumbent.of("reality")) is None:
        generation, started = search.generation + 1, time.perf_counter()
        if announcement := search.begins():
            on = " and ".join(search.inputs) if readout is None else f"what is read out ({settings.readout})"
            log.info("  %s, C acts on %s", announcement, on)
        phase = phase_at(settings, generation)
        if measure != (measure := measure_of(phase)) and dreams(settings):
            log.info("  C is scored in %s", "the task" if measure == "reality" else measure)
        max_steps, patience = phase.max_steps or config.env.max_steps, phase.patience or config.env.patience
        inputs = search.inputs if readout is None else list(settings.inputs)
        seeds = _seeds(config, 1, settings.after + generation, count=phase.rollouts or settings.rollouts)
        population, title = controller(search.narrow(search.ask())), f"generation {generation}"
        if phase.where == "dream":
            anywhere = settings.starts == "any"
            dreamt = dream_episodes(config, inputs, memory, encoded, phase, anywhere)
            returns = returns_in_dreams(dreamt, population, seeds, executor, title)
        else:
            work = _episodes(config, inputs, vision, memory, max_steps, patience)
            returns = _returns(work, population, seeds, executor, title)
        fitness = returns.mean(axis=1)
        search.tell(fitness.tolist())
        row = {
            "generation": generation,
            "best": float(fitness.max()),
            "mean": float(fitness.mean()),
            "worst": float(fitness.min()),
            "std": float(fitness.std(ddof=1)),
        }
        if settings.validate_every and generation % settings.validate_every == 0:
            mean = controller(search.narrow(search.mean))
            row |= _validate(config, phase, inputs, mean, vision, memory, encoded, executor)
            incumbent.consider(search.mean, score_of(row), measure)
        seconds = time.perf_counter() - started
        row |= {"seconds": seconds, "fitness": fitness.tolist()}
        spent += seconds
        journal.row("generations", "generation", row)
        validated = "  validation %(validation).1f ± %(validation_std).1f" if "validation" in row else ""
        validated = f"  held-out dreams %(dream).1f ± %(dream_std).1f{validated}" if "dream" in row else validated
        left = _seconds_left(settings, generation, spent, row["seconds"])
        remaining = f", about {duration(left)} left" if generation < settings.generations else ""
        log.info(
            "  generation %(generation)d: best %(best).1f  mean %(mean).1f  worst %(worst).1f  std %(std).1f"
            f"{validated}  (%(seconds).1f s{remaining})",
            row,
        )
        if settings.film and "validation" in row:
            reading = _reading(config, inputs)
            models, seed = (vision, memory if remembers(reading) else None), _seeds(config, 3, count=1)[0]
            film_mean(reading, seed, *models, controller(search.narrow(search.mean)), journal, generation)
    scored = incumbent.of(measure_of(phase_at(settings, search.generation))) is not None
    kept = {
        "mean": search.mean,
        "best": search.best,
        "agent": incumbent.parameters if scored else search.mean,
    }
    weights = {name: controller(parameters) for name, parameters in kept.items()}
    if settings.readout == "salience":  # for a search that goes on from here, on another M
        weights[ON_READOUT] = kept["agent"]
        if (covariance := search.covariance) is not None:
            weights[COVARIANCE] = covariance
    save_file(weights, folder / WEIGHTS)
    ended = _end(settings, search.generation, spent, incumbent.of("reality"))
    return {"parameters": len(search.mean), "ended_by": ended, "generations": journal.rows("generations")}


def _validate(
    config: Config,
    phase: PhaseConfig,
    inputs: list[str],
    mean: np.ndarray,
    vision: Path | None,
    memory: Path | None,
    encoded: Path | None,
    executor: Executor,
) -> dict[str, float]:
    """Scores of the search's mean, for a generation's row: in whole episodes of the task, and where the search is in
    dreams, in held-out ones of those.
    """
    count, scores = config.controller.validation_episodes, {}
    if phase.where == "dream":
        dreamt = dream_episodes(config, inputs, memory, encoded, dataclasses.replace(phase, max_steps=None))
        seeds = _seeds(config, 4, count=VALIDATION_DREAMS)
        scores["dream"] = returns_in_dreams(dreamt, mean[None], seeds, executor, "dreams")
    work = _episodes(config, inputs, vision, memory, config.env.max_steps, None)
    scores["validation"] = _returns(work, mean[None], _seeds(config, 3, count=count), executor, "validation")
    row = {}
    for name, values in scores.items():
        row |= {name: float(values.mean()), f"{name}_std": float(values.std(ddof=1))}
    return row


def _start(config: Config, source: Source, outputs: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """C's first parameters and the search's first covariance, as a source's search leaves them."""
    weights = load_file(source.weights)
    if config.controller.readout is None:
        start = warm_start(agent_parameters(weights), source.outputs, controller_shape(config, outputs))
        log.info("  starting with %d of %d parameters from the source", np.count_nonzero(start), len(start))
        return start, None
    if source.outputs != outputs or ON_READOUT not in weights:
        log.warning("  starting from nothing: the source's C acts on other inputs, or has other actions")
        return None, None
    return weights[ON_READOUT], weights.get(COVARIANCE)


def check(config: Config, outputs: int) -> None:
    """Raise `ConfigError` where the search cannot be made, before anything is trained for it."""
    require(
        privileged(config.controller) is None or "controller" not in config.transfer.load,
        f"transfer={config.transfer.name} starts from a source's C, and {privileged(config.controller)}: expected "
        "another strategy, for example transfer=scratch",
    )
    check_phases(*search_space(config), outputs, _seed(config))


def _end(settings: ControllerConfig, generation: int, spent: float, score: float | None) -> str | None:
    """The setting that ends the search after this generation and ``spent`` seconds; None where it goes on."""
    if generation >= settings.generations:
        return "generations"
    if settings.target is not None and score is not None and score >= settings.target:
        return "target"
    return "max_minutes" if settings.max_minutes is not None and spent >= 60 * settings.max_minutes else None


def _seconds_left(settings: ControllerConfig, generation: int, spent: float, last: float) -> float:
    """Seconds until the search ends by its generations or its minutes, if every generation is as long as the last."""
    limit = math.inf if settings.max_minutes is None else max(0.0, 60 * settings.max_minutes - spent)
    return min(limit, (settings.generations - generation) * last)


def _episodes(
    config: Config, inputs: list[str], vision: Path | None, memory: Path | None, max_steps: int, patience: int | None
) -> AgentEpisodes:
    """Work for C's that read these inputs only: without an open input from M, M does not run."""
    config = _reading(config, inputs)
    memory = memory if remembers(config) else None
    return AgentEpisodes(config_to_json(config), vision, memory, max_steps, config.executor.slots, patience)


def _reading(config: Config, inputs: list[str]) -> Config:
    """The same for C's that read these inputs only."""
    controller = dataclasses.replace(config.controller, inputs=inputs, phases=[], target=None)
    return dataclasses.replace(config, controller=controller)


def _seeds(config: Config, *keys: int, count: int) -> list[int]:
    """The episodes that every individual of a generation meets, or every validated mean."""
    return [episode_seed(_seed(config), "controller", *keys, i) for i in range(count)]


def _seed(config: Config) -> int:
    """Of the search."""
    return config.seed if config.controller.seed is None else config.controller.seed


def _returns(
    work: AgentEpisodes, population: np.ndarray, seeds: list[int], executor: Executor, title: str
) -> np.ndarray:
    """Return of each individual in each episode: (population, rollouts)."""
    returns = np.empty((len(population), len(seeds)))
    episodes = [
        Episode((i, j), seed, parameters) for i, parameters in enumerate(population) for j, seed in enumerate(seeds)
    ]
    at_once = getattr(executor, "workers", 1) * work.slots
    with Progress(title, len(episodes), "rollouts", at_once=at_once) as progress:
        for episode, value in executor.map(work, episodes):
            returns[episode.label] = value
            progress.advance(1)
    return returns


def _inputs(config: Config) -> dict[str, Any]:
    search = config.controller
    table = phase_table(search)
    patience = {"patience": search.patience or config.env.patience} if "reality" in places(search) else {}
    paid = {"step_reward": config.env.step_reward} if dreams(search) and config.env.step_reward is not None else {}
    return {
        "env": {**counted(config.env, "controller"), **paid},
        "controller": {
            **{name: value for name, value in counted(search).items() if name not in ("phases", "patience")},
            "inputs": read_inputs(search),
            **({"phases": table} if _changes(search, table) else {}),
            "max_steps": search.max_steps or config.env.max_steps,
            **patience,
            **_validated(config),
        },
        **agent_inputs(config),
        **_of_dreams(config),
    }


def _of_dreams(config: Config) -> dict[str, Any]:
    """What dreams depend on besides M's weights: M, and in which rollouts, those that it was trained on, they begin."""
    if not dreams(config.controller):
        return {}
    networks = beside_weights(config, *agent_models(config), "memory")
    return {"validation_fraction": config.memory.validation_fraction, **networks}


def _validated(config: Config) -> dict[str, int]:
    """The limit of the episodes that choose the agent, where it is not that of the search."""
    search, limit = config.controller, config.env.max_steps
    cut = search.max_steps is not None and search.max_steps != limit
    return {"validation_max_steps": limit} if search.validate_every is not None and cut else {}


def _changes(search: ControllerConfig, table: list[dict[str, Any]]) -> bool:
    """Whether phases change what a key says of the search without them; its inputs are those of the last one."""
    whole = {**{name: getattr(search, name) for name in REPLACED}, "search": None}
    first = table[0]["settings"]
    return len(table) > 1 or any(first.get(name, value) != value for name, value in whole.items())


def _build(work: Work) -> dict[str, Any]:
    source = Source(work.parents["source"].weights, work.source_outputs or 0) if "source" in work.parents else None
    models = work.weights("vision"), work.weights("memory")
    rollouts = [work.path(role) if role in work.parents else None for role in ("encoded", "dataset")]
    outputs = work.spec.outputs
    return run(work.config, *models, outputs, source, work.executor, work.folder, work.journal, *rollouts)


def _parents(config: Config) -> dict[str, str]:
    search, dreamt = config.controller, dreams(config.controller)
    parents = agent_models(config) | ({"memory": "memory"} if dreamt else {})
    if search.readout or dreamt or (search.standardise and not knows(config)):
        parents |= {"encoded": "encode"}
    if search.readout or (search.standardise and knows(config)):
        parents |= {"dataset": "collect"}
    return parents


STAGE = Stage(
    name="controller",
    parents=_parents,
    inputs=_inputs,
    build=_build,
    label=strategy,
    parts=lambda config: [
        *task_parts(config.env),
        *agent_parts(config),
        *(parts.targets(MEMORY, config.memory.network, "memory.network") if dreams(config.controller) else []),
        parts.target(SEARCH, config.controller.search),
    ],
    libraries=lambda config: ["torch", *rollout_libraries(config.env)],
    loads="controller",
    length=lambda config: Length(("controller", "generations")),  # a search knows only what it is told
)
