"""CMA-ES (Hansen 2016) over the parameters of C, through the library `cma`.

Randomness comes from one explicit stream, so a search is determined by its seed and the returns it is told. An
interrupted one is restored by telling a new search the same returns: no pickled state, and the same numbers as without
the interruption.
"""

import warnings
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from worldmodels.utils.seeds import generator
from worldmodels.utils.settings import Setting

with warnings.catch_warnings(action="ignore"):  # it regrets that matplotlib is missing
    import cma


class CMAES:
    """Maximises returns. ``mean`` is the distribution's mean, ``best`` the individual with the highest return ever
    told. The distribution's first mean is ``start``, or zero.
    """

    def __init__(
        self,
        size: int,
        population: int,
        seed: int,
        start: np.ndarray | None = None,
        phase: int = 0,
        deviations: np.ndarray | None = None,
        sigma: Annotated[float, Setting("First step size.", above=0, key="sigma")] = 0.1,
        diagonal: Annotated[
            bool, Setting("sep-CMA-ES, which learns a diagonal covariance and learns it sooner.", key="diagonal")
        ] = False,
        step_size: Annotated[
            str,
            Setting(
                "How the step size adapts: csa, cumulative; tpa, two-point; auto, csa below 300 parameters.",
                options=("auto", "csa", "tpa"),
                counts="unless default",
                key="step_size",
            ),
        ] = "auto",
    ) -> None:
        start = np.zeros(size) if start is None else start
        rng = generator(seed, "controller", 0) if phase == 0 else generator(seed, "controller", 2, phase)
        options = {
            "popsize": population,
            "CMA_diagonal": diagonal,
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # leaves NumPy's global generator alone
            "verbose": -9,
        }
        if step_size != "auto":
            rules = {"csa": cma.sigma_adaptation.CMAAdaptSigmaCSA, "tpa": cma.sigma_adaptation.CMAAdaptSigmaTPA}
            options["AdaptSigma"] = rules[step_size]
        if deviations is not None:
            sigma = float(np.median(deviations))
            options["CMA_stds"] = deviations / sigma
        self._strategy = cma.CMAEvolutionStrategy(start, sigma, options)
        self._asked: np.ndarray | None = None
        self.best = start
        self.best_return = -np.inf

    @property
    def mean(self) -> np.ndarray:
        return np.array(self._strategy.mean)

    @property
    def deviations(self) -> np.ndarray:
        """Of the distribution, along each parameter: (size,)."""
        return np.array(self._strategy.stds)

    def ask(self) -> np.ndarray:
        """The next generation: (population, size)."""
        self._asked = np.stack(self._strategy.ask())
        return self._asked.copy()

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the generation last asked for, in its order."""
        assert self._asked is not None
        if not np.isfinite(returns).all():
            raise ValueError(f"returns are {list(returns)}: expected finite numbers")
        self._strategy.tell(list(self._asked), [-value for value in returns])
        winner = int(np.argmax(returns))
        if returns[winner] > self.best_return:
            self.best, self.best_return = self._asked[winner], returns[winner]
        self._asked = None
