"""A policy with a preferred action, another one in each rollout."""

from typing import Annotated

import numpy as np

from worldmodels.envs import TaskSpec
from worldmodels.rollouts.policies.sticky import Sticky
from worldmodels.utils.settings import Setting

BIAS_NOISE = 0.1


class Biased(Sticky):
    """Prefers one action, which it draws at its beginning, so that rollouts differ: cars that drive, landers that
    hover. A new action is, with probability ``bias``, the preferred one give or take `BIAS_NOISE` of half the action
    range, else uniform; it is kept as by `Sticky`. The preferred action is drawn from twice the range and clipped, so
    that each of its parts is at either bound in a quarter of the rollouts: no brake at all, full gas. Of choices, it is
    one that is preferred.
    """

    def __init__(
        self,
        spec: TaskSpec,
        rng: np.random.Generator,
        persistence: Annotated[
            float, Setting("Probability of keeping the action.", at_least=0, below=1, key="persistence")
        ] = 0.9,
        bias: Annotated[
            float,
            Setting(
                "Probability that a new action is about the one this rollout prefers.",
                at_least=0,
                at_most=1,
                key="bias",
            ),
        ] = 0.7,
    ) -> None:
        super().__init__(spec, rng, persistence)
        self.bias = bias
        centre, half = (spec.action_high + spec.action_low) / 2, (spec.action_high - spec.action_low) / 2
        self._preferred = spec.actions.nearest(rng.uniform(centre - 2 * half, centre + 2 * half))
        self._noise = BIAS_NOISE * half

    def draw(self) -> np.ndarray:
        if self.rng.random() >= self.bias:
            return super().draw()
        action = self._preferred + self.rng.normal(size=self.spec.action_size) * self._noise
        return self.spec.actions.nearest(action).astype(np.float32)
