"""A search in phases: C's inputs are opened one after the other, and episodes grow, as the search gets somewhere.

The search sees C in coordinates of one scale (`worldmodels.controller.scaling`), and only the columns of the inputs
that are open, in its first layer; the others stay at zero, also where the search starts from a source's C.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldmodels.controller.checked import CheckedSearch
from worldmodels.controller.config import ControllerConfig, PhaseConfig
from worldmodels.controller.individuals import Individuals
from worldmodels.controller.inputs import open_inputs
from worldmodels.controller.policy import Shape, joined
from worldmodels.controller.scaling import Scaling
from worldmodels.controller.search import describe, make_search
from worldmodels.utils.seeds import sequence
from worldmodels.utils.settings import declared

OF_A_SEARCH = ("inputs", "search")  # which a phase opens, and changes in part
# The settings of a search that a phase replaces.
REPLACED = tuple(
    name for name in declared(PhaseConfig) if name in declared(ControllerConfig) and name not in OF_A_SEARCH
)


def phase_at(config: ControllerConfig, generation: int) -> PhaseConfig:
    """What holds in a generation, counted from 1: the settings of the search with every change so far."""
    phase = PhaseConfig(1, list(config.inputs), **{name: getattr(config, name) for name in REPLACED})
    for change in sorted(config.phases, key=lambda phase: phase.generation):
        if change.generation <= generation:
            changed = {name: value for name, value in vars(change).items() if value is not None}
            phase = dataclasses.replace(phase, **changed)
    return dataclasses.replace(phase, inputs=open_inputs(config, generation))


def phase_table(config: ControllerConfig) -> list[dict[str, Any]]:
    """What holds from which generation on, for a key: the search's own settings first, without what changes nothing."""
    table: list[dict[str, Any]] = []
    for generation in sorted({1, *(phase.generation for phase in config.phases)}):
        phase = phase_at(config, generation)
        unused = ("where", "temperature") if phase.where == "reality" else ("patience",)
        row = {name: value for name, value in vars(phase).items() if name not in ("generation", *unused)}
        if generation <= config.generations and (not table or row != table[-1]["settings"]):
            table.append({"generation": generation, "settings": row})
    return table


class PhasedSearch:
    """A `Search` over all of C's parameters, made of one for each set of open inputs. ``sizes``: numbers of each input,
    in C's order. ``start``: C's first parameters, (size,), or None for zeros. ``covariance``: the search's first one,
    of the parameters in the coordinates of one scale, (size, size), or None for its own choice. That of a search on
    another scale is taken as it is: the outputs of C then vary as much as there, though its inputs vary otherwise.
    """

    def __init__(
        self,
        config: ControllerConfig,
        sizes: Mapping[str, int],
        scaling: Scaling,
        seed: int,
        start: np.ndarray | None = None,
        covariance: np.ndarray | None = None,
    ) -> None:
        self._config, self._sizes, self._scaling, self._seed = config, sizes, scaling, seed
        self._all = np.zeros(scaling.shape.size) if start is None else scaling.to_search(start)
        self._covariance = covariance
        self._deviations: np.ndarray | None = None
        self._phases = 0
        self._open: list[str] = []
        self._search: CheckedSearch | None = None
        self._individuals = Individuals(scaling.to_controller(self._all))
        self._measure: tuple[Any, ...] = ()
        self.generation = 0

    @property
    def shape(self) -> Shape:
        """The sizes of C."""
        return self._scaling.shape

    @property
    def mean(self) -> np.ndarray:
        """The search's mean, as C's parameters: (size,)."""
        return self._scaling.to_controller(self._full(self._search.mean) if self._search else self._all)

    @property
    def best(self) -> np.ndarray:
        """The individual with the highest return, as C's parameters: (size,). A phase with other inputs or
        episodes begins anew, because its returns are not comparable with those before.
        """
        return self._individuals.best

    @property
    def inputs(self) -> list[str]:
        """Those of C's inputs that are open."""
        return list(self._open)

    @property
    def covariance(self) -> np.ndarray | None:
        """Of the search over the parameters that are open, in the coordinates of one scale; None where it has none."""
        return getattr(self._search, "covariance", None)

    def narrow(self, parameters: np.ndarray) -> np.ndarray:
        """Of C's parameters, (…, size), those of a C that reads the open inputs only: it acts the same."""
        return parameters[..., self._columns()]

    def begins(self) -> str | None:
        """What the next generation begins, for the log; None where it goes on as before."""
        if phase_at(self._config, self.generation + 1).inputs == self._open:
            return None
        self._begin()
        assert self._search is not None
        return describe(self._search, int(self._columns().sum()), self._config.population)

    def ask(self) -> np.ndarray:
        """The next generation, as C's parameters: (population, size)."""
        if phase_at(self._config, self.generation + 1).inputs != self._open:
            self._begin()
        phase = phase_at(self._config, self.generation + 1)
        measure = (phase.inputs, *(getattr(phase, name) for name in REPLACED))
        if measure != self._measure:
            self._measure, self._individuals = measure, Individuals(self.mean)
        assert self._search is not None
        generation = [self._scaling.to_controller(self._full(individual)) for individual in self._search.ask()]
        return self._individuals.proposed(np.stack(generation))

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the last generation from `ask`, in its order."""
        assert self._search is not None
        self._individuals.evaluated(returns)
        self._search.tell(returns)
        self.generation += 1

    def _begin(self) -> None:
        """A new search over the inputs that are open now, from the mean and with the deviations of the one before."""
        phase = phase_at(self._config, self.generation + 1)
        if self._search is not None:
            self._all = self._full(self._search.mean)
            self._deviations = self._next_deviations(phase)
        self._open = list(phase.inputs or [])
        columns = self._columns()
        self._rescale()
        if not columns.all():  # a source's weights of what is closed
            controller = self._scaling.to_controller(self._all)
            controller[~columns] = 0
            self._all = self._scaling.to_search(controller)
        facts: dict[str, Any] = {"start": self._all[columns]}
        if self._deviations is not None:
            facts["deviations"] = self._deviations[columns]
        elif self._covariance is not None:
            facts["covariance"] = self._covariance[np.ix_(columns, columns)]
        # A stream of its own for each phase: the first one's is that of a search without phases.
        seed = (
            self._seed
            if self._phases == 0
            else int(sequence(self._seed, "controller", 2, self._phases).generate_state(1)[0])
        )
        self._search = make_search(self._config, int(columns.sum()), seed, changes=phase.search, **facts)
        self._phases += 1

    def _rescale(self) -> None:
        """Bring the layers to the scale of the inputs that are open now: C, and what it varies by, stay as they are."""
        before = self._scaling.steps
        opened = sum(size for name, size in self._sizes.items() if name in self._open)
        self._scaling = dataclasses.replace(self._scaling, opened=opened)
        ratio = before / self._scaling.steps
        self._all = self._all * ratio
        if self._deviations is not None:
            self._deviations = self._deviations * ratio
        if self._covariance is not None:
            self._covariance = self._covariance * np.outer(ratio, ratio)

    def _next_deviations(self, phase: PhaseConfig) -> np.ndarray | None:
        """Of every parameter: those of the search so far; for inputs that are opened, ``opening_step`` times theirs."""
        deviations = getattr(self._search, "deviations", None)
        if deviations is None:
            return None
        everything = np.full(len(self._all), phase.opening_step * float(np.median(deviations)))
        everything[self._columns()] = deviations
        return everything

    def _columns(self) -> np.ndarray:
        """Which of C's parameters are open: all but the first layer's weights of closed inputs. (size,) bool."""
        wide = np.concatenate([np.full(size, name in self._open) for name, size in self._sizes.items()])
        (weights, bias), *rest = self._scaling.shape.split(np.ones(self._scaling.shape.size, bool))
        return joined([(weights & wide, bias), *rest])

    def _full(self, part: np.ndarray) -> np.ndarray:
        everything = self._all.copy()
        everything[self._columns()] = part
        return everything


def check_phases(config: ControllerConfig, sizes: Mapping[str, int], outputs: int, seed: int) -> None:
    """Raise `ConfigError` where the search of a phase cannot be made, or asks for what cannot be played."""
    first = PhasedSearch(config, sizes, Scaling.none(Shape(sum(sizes.values()), outputs, config.hidden)), seed)
    for row in phase_table(config):
        generation = row["generation"]
        first.generation = generation - 1
        if first.begins() is not None:  # a search may be asked again only once it was told
            first.ask()
