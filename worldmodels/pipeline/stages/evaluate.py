"""Evaluate: score the agent on held-out episodes of the unmodified task, beside a random agent on the same episodes."""

import dataclasses
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from worldmodels.config import Config, config_from_json, config_to_json
from worldmodels.controller.agent import Agent, AgentEpisodes, agent_inputs, agent_models, agent_parts
from worldmodels.envs import make_env, task_spec
from worldmodels.pipeline.stage import Stage, Work, strategy
from worldmodels.rollouts.engine import Episode, Feed, play
from worldmodels.rollouts.executor import Executor, Results, one_thread
from worldmodels.rollouts.policies.base import Policy, RandomPlayers
from worldmodels.rollouts.policies.uniform import Uniform
from worldmodels.store.artifacts import RECORD, WEIGHTS
from worldmodels.store.journal import Journal
from worldmodels.utils import media
from worldmodels.utils.progress import Progress
from worldmodels.utils.seeds import episode_seed, generator
from worldmodels.utils.settings import counted
from worldmodels.utils.statistics import describe
from worldmodels.vision.scaling import to_pixels

log = logging.getLogger(__name__)
FILM_FPS = 25  # pictures cost as much as the task itself
GIF_FRAMES = 150


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
        env = functools.partial(make_env, dataclasses.replace(config.env, renderer="fast"), max_steps=self.max_steps)
        spec = task_spec(config.env)

        def policy(number: int) -> Policy:
            return Uniform(spec, generator(config.seed, "evaluate", 1, number))

        for episode, played in play(feed, env, RandomPlayers(self.slots, policy), self.slots):
            yield episode, played.total


def run(
    config: Config, vision: Path, memory: Path | None, controller: Path, executor: Executor, journal: Journal
) -> dict[str, Any]:
    """Score ``mean`` (the result), ``best`` and a random agent. Returns the summary.

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
    plan = [
        (agents, [episode for episode in missing if episode.label[0] != "random"]),
        (RandomEpisodes(text, cut), [episode for episode in missing if episode.label[0] == "random"]),
    ]
    with Progress("evaluate", len(missing), "episodes") as progress:
        for work, episodes in plan:
            for episode, value in executor.map(work, episodes):
                name, number = episode.label
                returns[name, number] = value
                journal.row("episodes", "episode", {"episode": number + 1, f"return_{name}": value})
                progress.advance(1)
    scores = {name: describe([returns[name, i] for i in range(len(seeds))]) for name in contestants}
    for name, figures in scores.items():
        log.info("  %-6s %8.1f ± %.1f over %d episodes", name, figures["mean"], figures["std"], len(seeds))
    return {
        **scores["mean"],
        "official": cut is None,
        "seeds": seeds,
        "best": scores["best"],
        "random": scores["random"],
    }


def agent_parameters(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """C's parameters in the agent that is scored: of old searches the mean."""
    return weights.get("agent", weights["mean"])


def _official(config: Config) -> Config:
    """The score is that of Gymnasium's own pictures, however the agent was trained."""
    return dataclasses.replace(config, env=dataclasses.replace(config.env, renderer="gymnasium"))


def _seed(config: Config, number: int) -> int:
    return episode_seed(config.seed, "evaluate", 0, number)


def film(config: Config, vision: Path, memory: Path | None, controller: Path, journal: Journal) -> None:
    """Record the first held-out episode as mp4 and GIF: the task, the frame the agent sees, V's reconstruction of
    it.
    """
    with one_thread(), torch.inference_mode():  # as it was scored, bit for bit
        _film(config, vision, memory, agent_parameters(load_file(controller)), journal)


def _film(config: Config, vision: Path, memory: Path | None, parameters: np.ndarray, journal: Journal) -> None:
    config = _official(config)
    env = make_env(config.env, max_steps=config.evaluate.max_steps, pictures=True)
    try:
        agent = Agent(config, env.task_spec, vision, memory)
        agent.begin(0, parameters)
        frame, _ = env.reset(seed=_seed(config, 0))
        pictures, step, done = [], 0, False
        skip = max(1, round(env.task_spec.fps / FILM_FPS))
        while not done:
            action = agent.act([0], frame[None])[0]
            if step % skip == 0:
                seen = to_pixels(agent.vision.decode(agent.z))[0].numpy()
                pictures.append(media.beside([env.render(), frame, seen], height=256))
            frame, _, terminated, truncated, _ = env.step(action)
            step, done = step + 1, terminated or truncated
        fps = round(env.task_spec.fps / skip)
    finally:
        env.close()
    media.write_mp4(journal.folder / "episode.mp4", pictures, fps)
    every = -(-len(pictures) // GIF_FRAMES)
    small = [media.beside([picture], height=128) for picture in pictures[::every]]
    journal.animation("episode", config.evaluate.episodes, small, fps / every)


def _agent(work: Work) -> tuple[Path, Path | None, Path]:
    return work.path("vision") / WEIGHTS, work.weights("memory"), work.path("controller") / WEIGHTS


def _finish(work: Work) -> None:
    if work.config.evaluate.video and not (work.folder / RECORD / "episode.mp4").exists():
        log.info("  filming an episode")
        film(work.config, *_agent(work), work.journal)


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
    parts=agent_parts,
    libraries=("torch", "gymnasium", "box2d"),
    finish=_finish,
)
