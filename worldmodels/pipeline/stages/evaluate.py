"""Evaluate: score the agent on held-out episodes of the unmodified task, beside a random agent on the same episodes."""

import dataclasses
import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from worldmodels.config import Config, conf_dir, config_from_json, config_to_json
from worldmodels.controller.agent import AgentEpisodes, agent_inputs, agent_models, agent_parts
from worldmodels.controller.inputs import privileged
from worldmodels.controller.policy import agent_parameters
from worldmodels.envs import make_env, task_spec
from worldmodels.envs.registry import task_parts
from worldmodels.envs.renderers import rollout_libraries
from worldmodels.envs.shipped import task_file
from worldmodels.pipeline import filming
from worldmodels.pipeline.stage import Stage, Work, libraries_of, strategy
from worldmodels.rollouts.engine import Episode, Feed, play
from worldmodels.rollouts.executor import Executor, Results
from worldmodels.rollouts.policies.base import Policy, RandomPlayers
from worldmodels.rollouts.policies.uniform import Uniform
from worldmodels.store.artifacts import RECORD, WEIGHTS
from worldmodels.store.building import locked
from worldmodels.store.fingerprint import Code, digest, fingerprint
from worldmodels.store.journal import Journal
from worldmodels.store.wording import deviation
from worldmodels.utils.progress import Progress
from worldmodels.utils.seeds import episode_seed, generator
from worldmodels.utils.settings import counted, implied_defaults
from worldmodels.utils.statistics import describe
from worldmodels.utils.words import number_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RandomEpisodes:
    """Scores the uniform random policy: work for an executor. The player of an `Episode` is the stream of its random
    numbers. Nothing is drawn, as it does not look; that changes no reward.
    """

    config: str
    max_steps: int | None
    slots: int = 1

    def __call__(self, feed: Feed) -> Results:
        config = config_from_json(self.config)
        env = functools.partial(make_env, config.env, max_steps=self.max_steps, drawn=False)
        spec = task_spec(config.env)

        def policy(number: int) -> Policy:
            return Uniform(spec, generator(config.seed, "evaluate", 1, number))

        for episode, played in play(feed, env, RandomPlayers(self.slots, policy), self.slots):
            yield episode, played.total


def run(
    config: Config, vision: Path | None, memory: Path | None, controller: Path, executor: Executor, journal: Journal
) -> dict[str, Any]:
    """Score the agent, called ``mean`` (the result), ``best`` and a random agent. Returns the summary.

    A row of the journal is a finished episode; one that is there is not played again.
    """
    config = official(config)
    cut = config.evaluate.max_steps
    parameters = load_file(controller)
    seeds = [seed_of(config, number) for number in range(config.evaluate.episodes)]
    contestants = {"mean": agent_parameters(parameters), "best": parameters["best"], "random": None}
    journal.rewind(episodes=len(seeds))
    returns = {
        (name, row["episode"] - 1): row[f"return_{name}"]
        for row in journal.rows("episodes")
        for name in contestants
        if f"return_{name}" in row
    }
    missing = [
        Episode((name, i), seed, i if weights is None else weights)
        for name, weights in contestants.items()
        for i, seed in enumerate(seeds)
        if (name, i) not in returns
    ]
    text = config_to_json(config)
    agents = AgentEpisodes(text, vision, memory, cut, config.executor.slots)
    random = RandomEpisodes(text, cut)
    plan = [
        (
            "evaluate the agent and the best individual",
            agents,
            [episode for episode in missing if episode.label[0] != "random"],
        ),
        ("evaluate a random agent", random, [episode for episode in missing if episode.label[0] == "random"]),
    ]
    if returns:
        whole = number_of(len(returns) + len(missing), "episode")
        log.info("  going on after %d of %s", len(returns), whole)
    for title, work, episodes in plan:
        at_once = getattr(executor, "workers", 1) * work.slots
        with Progress(title, len(episodes), "episodes", at_once=at_once) as progress:
            for episode, value in executor.map(work, episodes):
                name, number = episode.label
                returns[name, number] = value
                journal.row("episodes", "episode", {"episode": number + 1, f"return_{name}": value})
                progress.advance(1)
    unofficial = why_unofficial(config)
    scores = {name: describe([returns[name, i] for i in range(len(seeds))]) for name in contestants}
    for name, figures in scores.items():
        over = number_of(len(seeds), "episode")
        log.info("  %-6s %8.1f ± %s over %s", name, figures["mean"], deviation(figures), over)
    return {
        **scores["mean"],
        "official": not unofficial,
        "unofficial": unofficial,
        "seeds": seeds,
        "best": scores["best"],
        "random": scores["random"],
    }


def episodes_of(config: Config) -> dict[str, Any]:
    """What the return of an episode depends on besides the weights and its number, for JSON."""
    settings = {name: value for name, value in STAGE.inputs(config).items() if name != "evaluate"}
    return {**settings, "code": digest(code_of(config))}


def code_of(config: Config) -> Code:
    """The code that scores an agent, as the store keeps it of the stage's artifacts."""
    with implied_defaults() as defaults:
        STAGE.inputs(config)
    modules = [__name__, *(path.rpartition(".")[0] for path in STAGE.parts(config))]
    return {**fingerprint(modules, libraries_of(STAGE, config)), "defaults": defaults}


def why_unofficial(config: Config) -> str | None:
    """What makes the score of these episodes no score of the task as it ships; None where nothing does."""
    reasons = []
    if reason := privileged(config.controller):
        reasons.append(reason)
    if config.evaluate.max_steps is not None:
        reasons.append(f"episodes end after {number_of(config.evaluate.max_steps, 'step')}")
    env = config.env
    shipped = env.shipped or task_file(env.name, [conf_dir()])
    if env.id != shipped.get("id", env.id):
        reasons.append(f"env.id={env.id}")
    kwargs = shipped.get("kwargs", {})
    for name in sorted({*env.kwargs, *kwargs}):
        if name not in env.kwargs:
            reasons.append(f"without env.kwargs.{name}")
        elif name not in kwargs or env.kwargs[name] != kwargs[name]:
            reasons.append(f"env.kwargs.{name}={env.kwargs[name]}")
    return ", ".join(reasons) or None


def official(config: Config) -> Config:
    """The score is that of Gymnasium's own pictures, however the agent was trained."""
    return dataclasses.replace(config, env=dataclasses.replace(config.env, renderer="gymnasium"))


def seed_of(config: Config, number: int) -> int:
    """Of a held-out episode."""
    return episode_seed(config.seed, "evaluate", 0, number)


def _agent(work: Work) -> tuple[Path | None, Path | None, Path]:
    return work.weights("vision"), work.weights("memory"), work.path("controller") / WEIGHTS


def _finish(work: Work) -> None:
    if work.config.evaluate.video and not filming.there(work.folder / RECORD):
        config = official(work.config)
        filming.try_film(config, seed_of(config, 0), *_agent(work), work.journal, locked(work.folder))


STAGE = Stage(
    name="evaluate",
    parents=lambda config: {**agent_models(config), "controller": "controller"},
    inputs=lambda config: {
        "env": {**counted(config.env, "evaluate"), "renderer": "gymnasium"},
        "evaluate": counted(config.evaluate),
        **agent_inputs(config),
    },
    build=lambda work: run(work.config, *_agent(work), work.executor, work.journal),
    label=strategy,
    parts=lambda config: [*task_parts(config.env), *agent_parts(config)],
    libraries=lambda config: ["torch", *rollout_libraries(official(config).env)],
    finish=_finish,
)
