"""What a search for C's parameters is."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from worldmodels.controller.checked import CheckedSearch
from worldmodels.controller.config import SEARCH, ControllerConfig
from worldmodels.controller.individuals import first_step
from worldmodels.utils import parts
from worldmodels.utils.words import number_of


class Search(Protocol):
    """Maximises returns, a generation at a time. Its constructor is given ``size`` (the number of C's parameters),
    ``population`` (individuals of a generation), ``seed`` and ``start`` (the first mean, (size,), or None), and its own
    settings. It refuses what it cannot do by a `ConfigError`: one search is made before any other work.

    A search must depend on these arguments and on the returns it is told alone: an interrupted one is restored by
    telling a new one the same returns. So it draws from a generator of its own, made from ``seed``, and never from
    NumPy's global one. What it gives is checked (`worldmodels.controller.checked`); its mean is there from the first.

    A search that can begin with other standard deviations than its first step size takes ``deviations``, (size,), and
    has its current ones as the attribute of that name; a search in phases then keeps them where inputs of C are opened.
    One that can go on from an earlier search's ``covariance``, (size, size), takes and has that in the same way.

    Two attributes are optional: ``description``, what it does in a few words for the log, and ``libraries``, of the
    class: the packages whose versions count, as `importlib.metadata` names them.
    """

    @property
    def mean(self) -> np.ndarray:
        """The search's estimate of the best parameters, (size,): the agent that is scored."""
        ...

    @property
    def best(self) -> np.ndarray:
        """The individual with the highest return so far, (size,)."""
        ...

    def ask(self) -> np.ndarray:
        """The next generation: (population, size)."""
        ...

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the last generation from `ask`, in its order."""
        ...


def make_search(
    config: ControllerConfig,
    size: int,
    seed: int,
    start: np.ndarray | None = None,
    deviations: np.ndarray | None = None,
    covariance: np.ndarray | None = None,
    changes: Mapping[str, Any] | None = None,
) -> CheckedSearch:
    """The search that ``controller.search`` names, its settings with ``changes``. ``deviations``: the first standard
    deviation along each parameter, (size,), for a search whose constructor takes them; ``covariance``: (size, size),
    used where it does.
    """
    facts: dict[str, Any] = {"size": size, "population": config.population, "seed": seed, "start": start}
    if deviations is not None:
        facts["deviations"] = deviations
    if covariance is not None and goes_on(config):
        facts["covariance"] = covariance
    search = parts.make(SEARCH, {**chosen_search(config), **(changes or {})}, "controller.search", **facts)
    return CheckedSearch(search, f"controller.search={parts.target(SEARCH, config.search)}", size, config.population)


def goes_on(config: ControllerConfig) -> bool:
    """Whether the search can go on from an earlier one's covariance."""
    return "covariance" in inspect.signature(parts.find(SEARCH, config.search, "controller.search")).parameters


def usual_step(config: ControllerConfig, size: int) -> float:
    """The first step size of a search for so many parameters that starts from nothing."""
    begins = [phase.search or {} for phase in config.phases if phase.generation == 1]
    settings = parts.complete(SEARCH, chosen_search(config) | dict(*begins), "controller.search")
    return settings.get("sigma") or first_step(size)


def chosen_search(config: ControllerConfig) -> dict[str, Any]:
    """The class of the search and the settings that are given to it."""
    return dict(config.search) if isinstance(config.search, Mapping) else {parts.TARGET: config.search}


def describe(search: Search, size: int, population: int) -> str:
    """A search in a line of the log."""
    description = getattr(search, "description", type(search).__name__)
    return f"{description}: {number_of(size, 'parameter')}, {number_of(population, 'individual')}"
