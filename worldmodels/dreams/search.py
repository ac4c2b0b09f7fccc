"""C searched in dreams: work for an executor, and what a search asks of M."""

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodels.config import Config, config_from_json, config_to_json
from worldmodels.controller.config import PhaseConfig
from worldmodels.controller.inputs import dreams
from worldmodels.dreams.core import DreamModel
from worldmodels.dreams.returns import dream_returns
from worldmodels.memory.interface import Memory, heads_of
from worldmodels.rollouts.engine import Feed
from worldmodels.rollouts.executor import Executor, Results
from worldmodels.utils.checks import require
from worldmodels.utils.progress import Progress


def check_dreams(config: Config, memory: Memory) -> None:
    """Raise `ConfigError` where C is to be searched in dreams that tell no score or no end."""
    if not dreams(config.controller):
        return
    require(
        "state" not in config.controller.inputs,
        f"controller.where=dream: controller.inputs={list(config.controller.inputs)} asks for the true state, which no "
        "dream has: expected [z], [z,h] or [z,h,c]",
    )
    heads = heads_of(memory)
    asked = f"controller.where=dream: {type(memory).__name__}"
    require(
        heads.end is not None,
        f"{asked} predicts no end, so a dream would never fail: expected an end head; set memory.network.end_head=true",
    )
    require(
        heads.reward is not None or config.env.step_reward is not None,
        f"{asked} predicts no reward, so a dream has no score: expected a reward head; set "
        "memory.network.reward_head=gaussian (or env.step_reward, where every step of the task pays the same)",
    )
    require(
        "memory" not in config.transfer.freeze_random,
        f"controller.where=dream: transfer={config.transfer.name} leaves M as it begins, at random, so its dreams tell "
        "nothing of the task: expected an M that is trained; use transfer=scratch, or controller.where=reality",
    )


@dataclass(frozen=True)
class Dreamers:
    """Controllers (P, D) that are to be scored in the dreams of the same seeds, those from ``label`` on of all."""

    label: int
    controllers: np.ndarray
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class DreamEpisodes:
    """Scores `Dreamers`: work for an executor, whose result is (P, S). ``max_steps``: of an agent, in a dream."""

    config: str  # JSON, so that this can be a key
    memory: Path
    encoded: Path
    temperature: float
    max_steps: int
    end_threshold: float | None
    anywhere: bool = False  # in real rollouts, rather than at their first frames, dreams begin
    slots: int = 1

    def __call__(self, feed: Feed) -> Results:
        model = _model(dataclasses.replace(self, temperature=1.0, max_steps=1, end_threshold=None))
        while (item := feed.take(wait=True)) is not None:
            yield (
                item,
                dream_returns(
                    model,
                    item.controllers,
                    item.seeds,
                    temperature=self.temperature,
                    max_steps=self.max_steps,
                    end_threshold=self.end_threshold,
                    every_step=feed.check,
                ),
            )


@functools.lru_cache(maxsize=2)  # the search's, and that of held-out dreams
def _model(work: DreamEpisodes) -> DreamModel:
    """Kept between the calls of one process, for the generations of a search."""
    return DreamModel.blind(config_from_json(work.config), work.memory, work.encoded, work.anywhere)


def dream_episodes(
    config: Config,
    inputs: list[str],
    memory: Path | None,
    encoded: Path | None,
    phase: PhaseConfig,
    anywhere: bool = False,
) -> DreamEpisodes:
    """Work for C's that read these inputs only."""
    assert memory is not None and encoded is not None and phase.temperature is not None
    controller = dataclasses.replace(config.controller, inputs=inputs, phases=[], target=None)
    config = dataclasses.replace(config, controller=controller)
    steps = -(-(phase.max_steps or config.env.max_steps) // config.env.action_repeat)
    end_threshold = config.controller.end_threshold
    return DreamEpisodes(config_to_json(config), memory, encoded, phase.temperature, steps, end_threshold, anywhere)


def returns_in_dreams(
    work: DreamEpisodes, population: np.ndarray, seeds: list[int], executor: Executor, title: str
) -> np.ndarray:
    """Return of each individual in the dream of each seed, (population, rollouts): a batch for each worker."""
    returns = np.empty((len(population), len(seeds)))
    parts = np.array_split(np.arange(len(population)), min(getattr(executor, "workers", 1), len(population)))
    items = [Dreamers(int(part[0]), population[part], tuple(seeds)) for part in parts]
    with Progress(title, returns.size, "dreams") as progress:
        for item, values in executor.map(work, items):
            returns[item.label : item.label + len(values)] = values
            progress.advance(values.size)
    return returns
