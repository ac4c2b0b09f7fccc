"""Controllers scored in dreams (Ha & Schmidhuber 2018, section 4), a whole population in one batch.

The rollout engine steps tasks one by one and shows players their frames. Dreams step all at once, by M, and have no
frames to encode; so they are played here.
"""

from collections.abc import Sequence

import numpy as np
from gymnasium.utils import seeding

from worldmodels.controller.agent import controller_input, controller_size
from worldmodels.controller.inputs import read_inputs
from worldmodels.controller.policy import LinearControllers
from worldmodels.dreams.core import DreamModel, Dreams
from worldmodels.utils.checks import require


def dream_returns(
    model: DreamModel,
    controllers: np.ndarray,
    seeds: Sequence[int],
    *,
    temperature: float = 1.0,
    max_steps: int | None = None,
    end_threshold: float | None = None,
) -> np.ndarray:
    """Returns of every controller in the dream of every seed: (P, D) and S seeds -> (P, S).

    C sees what ``controller.inputs`` of the run's config names, z being the dream's sample, and its outputs become
    actions as in the real task. A return is the one that a `DreamEnv` of the same seed gives, whoever else is scored.
    Raises `ConfigError` where M has no reward head.
    """
    config, spec = model.config, model.spec
    size = controller_size(config, spec.outputs)
    require(model.reward_head is not None, "this M predicts no reward: expected a run whose M has a reward head")
    require(
        controllers.ndim == 2 and controllers.shape[1] == size,
        f"controllers are {controllers.shape}: expected (P, {size}), the parameters of one in each row",
    )
    count = len(controllers) * len(seeds)
    dreams = Dreams(model, count, temperature, max_steps, end_threshold)
    linear = LinearControllers(count, size // spec.outputs - 1, spec.outputs)
    for slot in range(count):
        linear.set(slot, controllers[slot // len(seeds)])
    dreams.begin(range(count), [seeding.np_random(seed)[0] for _ in controllers for seed in seeds])
    returns, active = np.zeros(count), np.arange(count)
    while active.size:
        x = controller_input(read_inputs(config.controller), dreams.z, dreams.state)[active]
        outcome = dreams.step(active, spec.actions.decide(linear(active.tolist(), x.numpy().astype(np.float64))))
        returns[active] += outcome.rewards
        active = active[~(outcome.terminated | outcome.truncated)]
    return returns.reshape(len(controllers), len(seeds))
