"""A random walk over the actions."""

from typing import Annotated

import numpy as np

from worldmodels.envs import TaskSpec
from worldmodels.rollouts.policies.uniform import Uniform
from worldmodels.utils.settings import Setting


class Brownian(Uniform):
    """A random walk of Gaussian steps, clipped at the bounds; ``std`` is a step's share of half the action range. Of
    choices, the one that the walk is nearest to.
    """

    def __init__(
        self,
        spec: TaskSpec,
        rng: np.random.Generator,
        std: Annotated[float, Setting("A step's share of half the action range.", at_least=0)] = 0.3,
    ) -> None:
        super().__init__(spec, rng)
        self._step = std * (spec.action_high - spec.action_low) / 2
        self._position: np.ndarray | None = None

    def act(self) -> np.ndarray:
        low, high = self.spec.action_low, self.spec.action_high
        if self._position is None:
            self._position = self.rng.uniform(low, high).astype(np.float32)
        else:
            walked = self._position + self.rng.normal(size=self.spec.action_size) * self._step
            self._position = np.clip(walked, low, high).astype(np.float32)
        return self.spec.actions.nearest(self._position)
