"""A collection policy of one's own."""

import numpy as np


class Zigzag:
    """The first action swings from end to end every ``period`` steps; the others are drawn anew each time.

    ``spec`` (of the task) and ``rng`` (of this episode) are facts that the framework gives, ``period`` is a setting.
    """

    def __init__(self, spec, rng, period: int = 20):
        self.low, self.high, self.rng, self.period = spec.action_low, spec.action_high, rng, period
        self.step = 0

    def act(self):
        """The next action, (A,) float32. A policy sees nothing."""
        action = self.rng.uniform(self.low, self.high)
        action[0] = (self.low if self.step // self.period % 2 else self.high)[0]
        self.step += 1
        return action.astype(np.float32)
