"""Evaluate: score the agent on held-out episodes of the unmodified task, beside a random agent on the same episodes."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from worldmodels import media
from worldmodels.config import Config, config_from_json, config_to_json
from worldmodels.controller.agent import Agent, AgentEpisode
from worldmodels.envs import make_env
from worldmodels.journal import Journal
from worldmodels.progress import Progress
from worldmodels.rollouts.episode import score
from worldmodels.rollouts.executor import Executor, one_thread
from worldmodels.rollouts.policies import Uniform
from worldmodels.seeds import episode_seed, generator
from worldmodels.statistics import describe
from worldmodels.vision.pixels import to_pixels

log = logging.getLogger(__name__)
FILM_FPS = 25  # pictures cost as much as the task itself
GIF_FRAMES = 150


@dataclass(frozen=True)
class HeldOutEpisode:
    """Scores a controller, or the uniform random policy where there are no parameters, in one episode."""

    agent: AgentEpisode

    def __call__(self, item: tuple[tuple[str, int], np.ndarray | None, int]) -> float:
        """item: contestant and number of the episode, C's parameters or None, the episode's seed -> return."""
        label, parameters, seed = item
        if parameters is not None:
            return self.agent((label, parameters, seed))
        config = config_from_json(self.agent.config)
        env = make_env(config.env, max_steps=self.agent.max_steps)
        try:
            return score(env, Uniform(env.task_spec, generator(config.seed, "evaluate", 1, label[1])), seed)
        finally:
            env.close()


def run(
    config: Config, vision: Path, memory: Path, controller: Path, executor: Executor, journal: Journal
) -> dict[str, Any]:
    """Score ``mean`` (the result), ``best`` and a random agent. Returns the summary.

    A row of the journal is a finished episode; one that is there is not played again.
    """
    cut = config.evaluate.max_steps
    parameters = load_file(controller)
    seeds = [_seed(config, number) for number in range(config.evaluate.episodes)]
    contestants = {"mean": parameters["mean"], "best": parameters["best"], "random": None}
    journal.rewind(episodes=len(seeds))
    returns = {
        (name, row["episode"] - 1): row[f"return_{name}"]
        for row in journal.rows("episodes")
        for name in contestants
        if f"return_{name}" in row
    }
    items = [((name, i), weights, seed) for name, weights in contestants.items() for i, seed in enumerate(seeds)]
    missing = [item for item in items if item[0] not in returns]
    episode = HeldOutEpisode(AgentEpisode(config_to_json(config), vision, memory, cut))
    with Progress("evaluate", len(missing), "episodes") as progress:
        for ((name, number), *_), value in executor.map(episode, missing):
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


def _seed(config: Config, number: int) -> int:
    return episode_seed(config.seed, "evaluate", 0, number)


def film(config: Config, vision: Path, memory: Path, controller: Path, journal: Journal) -> None:
    """Record the first held-out episode as mp4 and GIF: the task, the frame the agent sees, V's reconstruction of
    it.
    """
    with one_thread():  # as it was scored, bit for bit
        _film(config, vision, memory, load_file(controller)["mean"], journal)


def _film(config: Config, vision: Path, memory: Path, parameters: np.ndarray, journal: Journal) -> None:
    env = make_env(config.env, max_steps=config.evaluate.max_steps, pictures=True)
    try:
        agent = Agent(config, env.task_spec, vision, memory)
        agent.controller.parameters = parameters
        frame, _ = env.reset(seed=_seed(config, 0))
        pictures, step, done = [], 0, False
        skip = max(1, round(env.task_spec.fps / FILM_FPS))
        while not done:
            action = agent.act(frame)
            if step % skip == 0:
                seen = to_pixels(agent.vision.decode(agent.z).detach())[0].numpy()
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
