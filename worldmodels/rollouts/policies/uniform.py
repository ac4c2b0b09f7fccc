"""The source study's policy."""

import numpy as np

from worldmodels.envs import TaskSpec


class Uniform:
    """Every action drawn anew, uniformly within the bounds or among the choices: the source study's policy."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator) -> None:
        self.spec, self.rng = spec, rng

    def draw(self) -> np.ndarray:
        """A new action, (A,) float32."""
        return self.spec.actions.sample(self.rng)

    def act(self) -> np.ndarray:
        return self.draw()
