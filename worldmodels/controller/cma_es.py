"""CMA-ES (Hansen 2016) over the parameters of C, through the library `cma`.

Randomness comes from one explicit stream, so a search is determined by its seed and the returns it is told. An
interrupted one is restored by telling a new search the same returns: no pickled state, and the same numbers as without
the interruption.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np

from worldmodels.controller.individuals import Individuals, first_step
from worldmodels.controller.scaling import changed
from worldmodels.utils.checks import require
from worldmodels.utils.seeds import generator
from worldmodels.utils.settings import Setting

with warnings.catch_warnings(action="ignore"):  # it regrets that matplotlib is missing
    import cma
    from cma.sigma_adaptation import CMAAdaptSigmaCSA, CMAAdaptSigmaTPA

LARGEST_FULL = 5000  # parameters: a covariance of 0.2 GB, several times over, and a minute for its eigenvectors
LARGEST_SIGMA = 1000.0
FULL_UP_TO = 300  # parameters: beyond, a full covariance hardly changes within hundreds of generations
TPA_FROM = 300  # parameters; cma's own choice


class TwoPointAdaptation(CMAAdaptSigmaTPA):
    """The library's, without its check of itself, which draws from NumPy's global generator."""

    def check_consistency(self, es: cma.CMAEvolutionStrategy) -> None: ...


STEP_SIZES = {"csa": CMAAdaptSigmaCSA, "tpa": TwoPointAdaptation}


class CMAES(Individuals):
    """Maximises returns. ``mean`` is the distribution's mean, ``best`` the individual with the highest return so far.
    The distribution's first mean is ``start``, or zero; its first covariance is ``covariance``, that of an earlier
    search that this one goes on from, or has the standard deviations ``deviations``, one for each parameter, or
    ``sigma``.
    """

    libraries: ClassVar[tuple[str, ...]] = ("cma",)

    def __init__(
        self,
        size: int,
        population: int,
        seed: int,
        start: np.ndarray | None = None,
        deviations: np.ndarray | None = None,
        covariance: np.ndarray | None = None,
        sigma: Annotated[
            float | None,
            Setting(
                "First step size; null takes 1.5 / √(number of parameters), so that inputs of deviation 1 move C's "
                "outputs by about 1.",
                above=0,
                at_most=LARGEST_SIGMA,
                key="sigma",
            ),
        ] = None,
        diagonal: Annotated[
            bool | None,
            Setting(
                "sep-CMA-ES, which learns a diagonal covariance and learns it sooner; null takes it above "
                f"{FULL_UP_TO} parameters.",
                key="diagonal",
            ),
        ] = None,
        step_size: Annotated[
            str,
            Setting(
                "How the step size adapts: csa (cumulative, Hansen 2016), tpa (two-point, Hansen 2008), or auto, csa "
                f"below {TPA_FROM} parameters and tpa from there on, as the library chooses.",
                options=("auto", "csa", "tpa"),
                key="step_size",
            ),
        ] = "csa",
    ) -> None:
        diagonal = size > FULL_UP_TO if diagonal is None else diagonal
        require(
            diagonal or size <= LARGEST_FULL,
            f"controller.search=cma_es with a full covariance of {size:,} parameters takes {size**2 * 8 / 1e9:.1f} GB "
            f"several times over and minutes a generation: expected {LARGEST_FULL:,} parameters at most; set "
            "controller.search.diagonal=true, or choose smaller controller.inputs",
        )
        start = np.zeros(size) if start is None else start
        sigma = first_step(size) if sigma is None else sigma
        rule = step_size if step_size != "auto" else ("tpa" if size >= TPA_FROM else "csa")
        rng = generator(seed, "controller", 0)
        options = {
            "popsize": population,
            "CMA_diagonal": diagonal,
            "AdaptSigma": STEP_SIZES[rule],
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # leaves NumPy's global generator alone
            "verbose": -9,
        }
        # With a first covariance A Aᵀ the library searches y, from 0 with the identity, and x = start + A y is told.
        self._start, self._basis = start, None
        if covariance is not None:
            sigma = math.sqrt(np.trace(covariance) / size)
            self._basis = np.linalg.cholesky(covariance / sigma**2)
        elif deviations is not None:
            sigma = float(np.median(deviations))
            options["CMA_stds"] = deviations / sigma
        self.description = f"{'sep-' if diagonal else ''}CMA-ES, step size by {rule.upper()}"
        first = start if self._basis is None else np.zeros(size)
        self._strategy, self._asked = cma.CMAEvolutionStrategy(first, sigma, options), []
        super().__init__(start)

    @property
    def mean(self) -> np.ndarray:
        return self._parameters(np.array(self._strategy.gp.pheno(self._strategy.mean)))

    @property
    def deviations(self) -> np.ndarray:
        """Of the distribution, along each parameter: (size,)."""
        as_searched = self._basis is None and self._strategy.gp.isidentity
        return np.array(self._strategy.stds) if as_searched else np.sqrt(np.diag(self.covariance))

    @property
    def covariance(self) -> np.ndarray:
        """Of the distribution: (size, size)."""
        strategy = self._strategy
        shape = strategy.sm.covariance_matrix
        if shape is None:  # sep-CMA-ES
            covariance = np.diag(np.square(strategy.stds))
        else:
            scale = strategy.stds / np.sqrt(np.diag(shape))
            # Above a condition of 1e12 the library searches in other coordinates, `pheno` of which it asks about.
            covariance = changed(shape * np.outer(scale, scale), strategy.gp.pheno)
        return covariance if self._basis is None else self._basis @ covariance @ self._basis.T

    def ask(self) -> np.ndarray:
        """The next generation: (population, size)."""
        self._asked = self._strategy.ask()
        return self.proposed(self._parameters(np.stack(self._asked)))

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the last generation from `ask`, in its order."""
        self.evaluated(returns)
        self._strategy.tell(self._asked, [-value for value in returns])

    def _parameters(self, searched: np.ndarray) -> np.ndarray:
        """Of what the library asks about: (..., size) -> the same."""
        return searched if self._basis is None else self._start + searched @ self._basis.T
