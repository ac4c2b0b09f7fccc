"""sep-CMA-ES (Ros & Hansen 2008) over the parameters of C, through the library `cmaes` (extra ``search``).

Its covariance is diagonal and its step size cumulative at every size, so that memory and time grow with the number of
parameters and no faster.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np

from worldmodels.controller.individuals import Individuals, first_step
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import sequence
from worldmodels.utils.settings import Setting


class SepCMA(Individuals):
    """Maximises returns. ``mean`` is the distribution's mean, ``best`` the individual with the highest return so far.
    The distribution's first mean is ``start``, or zero.
    """

    libraries: ClassVar[tuple[str, ...]] = ("cmaes",)
    description = "sep-CMA-ES of cmaes, step size by CSA"

    def __init__(
        self,
        size: int,
        population: int,
        seed: int,
        start: np.ndarray | None = None,
        sigma: Annotated[
            float | None,
            Setting("First step size; null takes 1.5 / √(number of parameters).", above=0, at_most=1000),
        ] = None,
    ) -> None:
        try:
            import cmaes
        except ImportError as error:
            raise ConfigError(
                f"controller.search=sep_cma needs the package cmaes, which is not there ({error}): expected the extra "
                "search; run pip install 'worldmodels[search]'"
            ) from error
        start = np.zeros(size) if start is None else start
        self._strategy = cmaes.SepCMA(
            mean=start.astype(np.float64).copy(),  # it moves this very array
            sigma=first_step(size) if sigma is None else sigma,
            population_size=population,
            seed=int(sequence(seed, "controller", 0).generate_state(1)[0]),  # of a generator of its own
        )
        super().__init__(start)

    @property
    def mean(self) -> np.ndarray:
        return self._strategy.mean.copy()

    def ask(self) -> np.ndarray:
        """The next generation: (population, size)."""
        generation = [self._strategy.ask() for _ in range(self._strategy.population_size)]
        return self.proposed(np.stack(generation))

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the last generation from `ask`, in its order."""
        generation = self.evaluated(returns)
        self._strategy.tell([(individual, -value) for individual, value in zip(generation, returns, strict=True)])
