"""The returns of C's in a search: of the whole agent in the task, or of C in dreams of M."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldmodels.config import Config, config_to_json
from worldmodels.controller.agent import AgentEpisodes, remembers
from worldmodels.controller.config import PhaseConfig
from worldmodels.dreams.search import dream_episodes, returns_in_dreams
from worldmodels.pipeline.filming import film_mean
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import Executor
from worldmodels.store.journal import Journal
from worldmodels.utils.progress import Progress
from worldmodels.utils.seeds import episode_seed

VALIDATION_DREAMS = 128  # that score a mean: one batch of M
SEARCHED, VALIDATED, DREAMT = 1, 3, 4  # streams of episodes that never meet


def search_seed(config: Config) -> int:
    """The seed of the search and of its episodes."""
    return config.seed if config.controller.seed is None else config.controller.seed


@dataclass(frozen=True)
class Scorer:
    """Plays C's that read some ``inputs``, those that are open in a ``phase`` of the search. ``vision``, ``memory``:
    weights of what they see with; ``encoded``: rollouts as V sees them, where dreams begin.
    """

    config: Config
    vision: Path | None
    memory: Path | None
    encoded: Path | None
    executor: Executor

    def returns(self, population: np.ndarray, inputs: list[str], phase: PhaseConfig, generation: int) -> np.ndarray:
        """Of every individual of a generation, (P, size), in the same episodes: (P, rollouts)."""
        config, settings, title = self.config, self.config.controller, f"generation {generation}"
        seeds = self._seeds(SEARCHED, settings.after + generation, count=phase.rollouts or settings.rollouts)
        if phase.where == "dream":
            anywhere = settings.starts == "any"
            dreamt = dream_episodes(config, inputs, self.memory, self.encoded, phase, anywhere)
            return returns_in_dreams(dreamt, population, seeds, self.executor, title)
        limits = phase.max_steps or config.env.max_steps, phase.patience or config.env.patience
        return self._returns(self._episodes(inputs, *limits), population, seeds, title)

    def validation(self, mean: np.ndarray, inputs: list[str], phase: PhaseConfig) -> dict[str, float]:
        """Scores of the search's mean, for a generation's row: in whole episodes of the task, and where the search is
        in dreams, in held-out ones of those.
        """
        config, scores = self.config, {}
        if phase.where == "dream":
            whole = dataclasses.replace(phase, max_steps=None)
            dreamt = dream_episodes(config, inputs, self.memory, self.encoded, whole)
            seeds = self._seeds(DREAMT, count=VALIDATION_DREAMS)
            scores["dream"] = returns_in_dreams(dreamt, mean[None], seeds, self.executor, "dreams")
        work = self._episodes(inputs, config.env.max_steps, None)
        seeds = self._seeds(VALIDATED, count=config.controller.validation_episodes)
        scores["validation"] = self._returns(work, mean[None], seeds, "validation")
        row = {}
        for name, values in scores.items():
            row |= {name: float(values.mean()), f"{name}_std": float(values.std(ddof=1))}
        return row

    def film(self, mean: np.ndarray, inputs: list[str], journal: Journal, generation: int) -> None:
        """Record the search's mean in the first episode that it is validated in."""
        reading = self._reading(inputs)
        models = self.vision, self.memory if remembers(reading) else None
        film_mean(reading, self._seeds(VALIDATED, count=1)[0], *models, mean, journal, generation)

    def _episodes(self, inputs: list[str], max_steps: int, patience: int | None) -> AgentEpisodes:
        """Work for C's that read these inputs only: without an open input from M, M does not run."""
        config = self._reading(inputs)
        memory = self.memory if remembers(config) else None
        return AgentEpisodes(config_to_json(config), self.vision, memory, max_steps, config.executor.slots, patience)

    def _reading(self, inputs: list[str]) -> Config:
        """The config of C's that read these inputs only."""
        controller = dataclasses.replace(self.config.controller, inputs=inputs, phases=[], target=None)
        return dataclasses.replace(self.config, controller=controller)

    def _seeds(self, *keys: int, count: int) -> list[int]:
        """The episodes that every individual of a generation meets, or every validated mean."""
        return [episode_seed(search_seed(self.config), "controller", *keys, i) for i in range(count)]

    def _returns(self, work: AgentEpisodes, population: np.ndarray, seeds: list[int], title: str) -> np.ndarray:
        """Return of each individual in each episode: (population, rollouts)."""
        returns = np.empty((len(population), len(seeds)))
        episodes = [
            Episode((i, j), seed, parameters) for i, parameters in enumerate(population) for j, seed in enumerate(seeds)
        ]
        at_once = getattr(self.executor, "workers", 1) * work.slots
        with Progress(title, len(episodes), "rollouts", at_once=at_once) as progress:
            for episode, value in self.executor.map(work, episodes):
                returns[episode.label] = value
                progress.advance(1)
        return returns
