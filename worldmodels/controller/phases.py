"""A search in phases: C's inputs are opened one after the other, and episodes grow, as the search gets somewhere.

The search sees C in coordinates of one scale (`worldmodels.controller.scaling`), and only the columns of the inputs
that are open; the others stay at zero.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldmodels.controller.config import SEARCH, ControllerConfig, PhaseConfig
from worldmodels.controller.scaling import Scaling
from worldmodels.controller.search import Search
from worldmodels.utils import parts


def phase_at(config: ControllerConfig, generation: int) -> PhaseConfig:
    """What holds in a generation, counted from 1: the settings of the search with every change so far."""
    phase = PhaseConfig(1, list(config.inputs), config.rollouts, config.max_steps, config.patience)
    for change in sorted(config.phases, key=lambda each: each.generation):
        if change.generation <= generation:
            changed = {name: value for name, value in vars(change).items() if value is not None}
            phase = dataclasses.replace(phase, **changed)
    return phase


class PhasedSearch:
    """A `Search` over all of C's parameters, made of one for each set of open inputs. ``sizes``: numbers of each input,
    in C's order.
    """

    def __init__(
        self,
        config: ControllerConfig,
        sizes: Mapping[str, int],
        action_size: int,
        scaling: Scaling,
        seed: int,
        start: np.ndarray | None = None,
    ) -> None:
        self._config, self._sizes, self._actions = config, sizes, action_size
        self._scaling, self._seed = scaling, seed
        size = action_size * (sum(sizes.values()) + 1)
        self._all = np.zeros(size) if start is None else scaling.to_search(start)
        self._deviations: np.ndarray | None = None
        self._phases = 0
        self._open: list[str] = []
        self._search: Search | None = None
        self.generation = 0
        self.best = scaling.to_controller(self._all)

    @property
    def parameters(self) -> int:
        """How many parameters are searched now."""
        return int(self._columns(self._open).sum())

    @property
    def mean(self) -> np.ndarray:
        """The search's mean, as C's parameters: (size,)."""
        return self._scaling.to_controller(self._full(self._search.mean) if self._search else self._all)

    def ask(self) -> np.ndarray:
        """The next generation, as C's parameters: (population, size)."""
        phase = phase_at(self._config, self.generation + 1)
        if phase.inputs != self._open:
            self._begin(phase)
        assert self._search is not None
        return np.stack([self._scaling.to_controller(self._full(each)) for each in self._search.ask()])

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the generation last asked for, in its order."""
        assert self._search is not None
        self._search.tell(returns)
        self.generation += 1
        self.best = self._scaling.to_controller(self._full(self._search.best))

    def _begin(self, phase: PhaseConfig) -> None:
        """A new search over the inputs that are open now, from the mean and with the deviations of the one before."""
        if self._search is not None:
            self._all = self._full(self._search.mean)
            self._deviations = self._kept_deviations(phase)
        self._open = list(phase.inputs or [])
        columns = self._columns(self._open)
        facts: dict[str, Any] = {"size": int(columns.sum()), "population": self._config.population, "seed": self._seed}
        facts |= {"start": self._all[columns], "phase": self._phases}
        if self._deviations is not None:
            facts["deviations"] = self._deviations[columns]
        node = {**_node(self._config.search), **(phase.search or {})}
        self._search = parts.make(SEARCH, node, "controller.search", **facts)
        self._phases += 1

    def _kept_deviations(self, phase: PhaseConfig) -> np.ndarray | None:
        """Of every parameter: those of the search so far; for inputs that are opened, ``opening_step`` times theirs."""
        found = getattr(self._search, "deviations", None)
        if found is None:
            return None
        everything = np.full(len(self._all), phase.opening_step * float(np.median(found)))
        everything[self._columns(self._open)] = found
        return everything

    def _columns(self, inputs: Sequence[str]) -> np.ndarray:
        """Which of C's parameters belong to these inputs, the biases included: (size,) bool."""
        wide = np.concatenate([np.full(size, name in inputs) for name, size in self._sizes.items()])
        return np.concatenate([np.tile(wide, self._actions), np.ones(self._actions, bool)])

    def _full(self, part: np.ndarray) -> np.ndarray:
        everything = self._all.copy()
        everything[self._columns(self._open)] = part
        return everything


def _node(search: Any) -> dict[str, Any]:
    return dict(search) if isinstance(search, Mapping) else {parts.TARGET: search}
