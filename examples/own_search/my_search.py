"""A search of one's own: an evolution strategy with mirrored samples and ranks (Salimans et al. 2017)."""

from typing import Annotated

import numpy as np

from worldmodels.utils.settings import Setting


class MirroredES:
    """Moves its mean along the rank-weighted average of its samples. ``size``, ``population``, ``seed`` and ``start``
    are facts that the framework gives; ``sigma`` and ``rate`` are settings: ``controller.search.sigma=0.2``.
    """

    def __init__(
        self,
        size,
        population,
        seed,
        start=None,
        sigma: Annotated[float, Setting("Deviation of a sample.", above=0)] = 0.1,
        rate: Annotated[float, Setting("Share of a step that the mean goes.", above=0)] = 0.5,
    ):
        self.description = "mirrored evolution strategy"  # for the log
        self.mean = np.zeros(size) if start is None else start.copy()
        self.best, self.best_return = self.mean, -np.inf
        self.sigma, self.rate, self.population = sigma, rate, population
        self.rng = np.random.default_rng([seed, 2017])  # its own: the same returns have to give the same generations

    def ask(self):
        half = self.rng.standard_normal((self.population // 2, len(self.mean)))
        odd = self.rng.standard_normal((self.population % 2, len(self.mean)))
        self.noise = np.concatenate([half, -half, odd])
        self.asked = self.mean + self.sigma * self.noise
        return self.asked

    def tell(self, returns):
        winner = int(np.argmax(returns))
        if returns[winner] > self.best_return:
            self.best, self.best_return = self.asked[winner], returns[winner]
        ranks = np.argsort(np.argsort(returns)) / (len(returns) - 1) - 0.5  # from -0.5 to 0.5
        self.mean = self.mean + self.rate * self.sigma * (ranks @ self.noise)
