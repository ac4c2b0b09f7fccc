"""A policy that repeats itself."""

from typing import Annotated

import numpy as np

from worldmodels.envs import TaskSpec
from worldmodels.rollouts.policies.uniform import Uniform
from worldmodels.utils.settings import Setting


class Sticky(Uniform):
    """Keeps the last action with probability ``persistence``, else draws a new one."""

    def __init__(
        self,
        spec: TaskSpec,
        rng: np.random.Generator,
        persistence: Annotated[
            float, Setting("Probability of keeping the action.", at_least=0, below=1, key="persistence")
        ] = 0.9,
    ) -> None:
        super().__init__(spec, rng)
        self.persistence = persistence
        self._action: np.ndarray | None = None

    def act(self) -> np.ndarray:
        if self._action is None or self.rng.random() >= self.persistence:
            self._action = self.draw()
        return self._action
