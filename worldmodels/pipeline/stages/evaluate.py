"""Evaluate: score the agent on held-out episodes of the unmodified task, beside a random agent on the same episodes."""

import dataclasses
import functools
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from worldmodels.config import Config, conf_dir, config_from_json, config_to_json
from worldmodels.controller.agent import Agent, AgentEpisodes, agent_inputs, agent_models, agent_parts
from worldmodels.controller.inputs import privileged
from worldmodels.controller.policy import agent_parameters
from worldmodels.envs import make_env, task_spec
from worldmodels.envs.registry import task_parts
from worldmodels.envs.renderers import rollout_libraries
from worldmodels.envs.shipped import task_file
from worldmodels.pipeline.stage import Stage, Work, libraries_of, strategy
from worldmodels.rollouts.engine import Episode, Feed, play
from worldmodels.rollouts.executor import Executor, Results, one_thread
from worldmodels.rollouts.policies.base import Policy, RandomPlayers
from worldmodels.rollouts.policies.uniform import Uniform
from worldmodels.store.artifacts import RECORD, WEIGHTS, locked
from worldmodels.store.fingerprint import Code, digest, fingerprint
from worldmodels.store.journal import Journal
from worldmodels.transfer.weights import left_out
from worldmodels.utils import interrupts, media
from worldmodels.utils.disk import writing
from worldmodels.utils.errors import Failure
from worldmodels.utils.progress import Progress
from worldmodels.utils.seeds import episode_seed, generator
from worldmodels.utils.settings import counted, implied_defaults
from worldmodels.utils.statistics import describe
from worldmodels.utils.words import number_of
from worldmodels.vision.scaling import to_pixels

log = logging.getLogger(__name__)
FILM_FPS = 25  # pictures cost as much as the task itself
GIF_FRAMES = 150
FILM = "episode.mp4"


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
    config = _official(config)
    cut = config.evaluate.max_steps
    parameters = load_file(controller)
    seeds = [_seed(config, number) for number in range(config.evaluate.episodes)]
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
        ("evaluate", agents, [episode for episode in missing if episode.label[0] != "random"]),
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
        log.info("  %-6s %8.1f ± %.1f over %s", name, figures["mean"], figures["std"], over)
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


def _official(config: Config) -> Config:
    """The score is that of Gymnasium's own pictures, however the agent was trained."""
    return dataclasses.replace(config, env=dataclasses.replace(config.env, renderer="gymnasium"))


def _seed(config: Config, number: int) -> int:
    return episode_seed(config.seed, "evaluate", 0, number)


def film(config: Config, vision: Path | None, memory: Path | None, controller: Path, journal: Journal) -> None:
    """Record the first held-out episode as mp4 and GIF: the task, the frame the agent sees and, where V has its
    decoder, V's reconstruction of it.
    """
    with one_thread(), torch.inference_mode():  # as it was scored, bit for bit
        _film(config, vision, memory, agent_parameters(load_file(controller)), journal)


def _film(config: Config, vision: Path | None, memory: Path | None, parameters: np.ndarray, journal: Journal) -> None:
    config, decodes = _official(config), vision is not None and not left_out(vision)
    env = make_env(config.env, max_steps=config.evaluate.max_steps, pictures=True)
    try:
        agent = Agent(config, env.task_spec, vision, memory)
        agent.begin(0, parameters)
        frame, _ = env.reset(seed=_seed(config, 0))
        pictures, step, done = [], 0, False
        skip = max(1, round(env.task_spec.fps / FILM_FPS))
        while not done:
            known = [env.known()[None]] if agent.knows else []
            action = agent.act([0], frame[None], *known)[0]
            if step % skip == 0:
                seen = [env.render(), frame]
                if decodes:
                    seen.append(to_pixels(agent.vision.decode(agent.z))[0].numpy())
                pictures.append(media.beside(seen, height=256))
            frame, _, terminated, truncated, _ = env.step(action)
            step, done = step + 1, terminated or truncated
        fps = round(env.task_spec.fps / skip)
    finally:
        env.close()
    every = -(-len(pictures) // GIF_FRAMES)
    small = [media.beside([picture], height=128) for picture in pictures[::every]]
    journal.animation("episode", config.evaluate.episodes, small, fps / every)
    media.write_mp4(journal.folder / FILM, pictures, fps)  # last: where it is, all of it is


def _agent(work: Work) -> tuple[Path | None, Path | None, Path]:
    return work.weights("vision"), work.weights("memory"), work.path("controller") / WEIGHTS


def try_film(
    config: Config,
    vision: Path | None,
    memory: Path | None,
    controller: Path,
    journal: Journal,
    lock: AbstractContextManager,
) -> None:
    """`film` under ``lock``, unless there is a whole one. A film that fails is a warning: the score stands."""
    try:
        with writing(f"the film {FILM}", journal.folder), lock:
            if not media.playable(journal.folder / FILM):
                log.info("  filming an episode")
                film(config, vision, memory, controller, journal)
    except Exception as error:
        interrupts.check()
        if isinstance(error, Failure):
            log.warning("no film, and the score stands: %s", error)
        else:
            log.warning("no film, and the score stands", exc_info=error)


def _finish(work: Work) -> None:
    if work.config.evaluate.video and not media.playable(work.folder / RECORD / FILM):
        try_film(work.config, *_agent(work), work.journal, locked(work.folder))


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
    libraries=lambda config: ["torch", *rollout_libraries(_official(config).env)],
    finish=_finish,
)
