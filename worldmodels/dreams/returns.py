"""Controllers scored in dreams (Ha & Schmidhuber 2018, section 4), a whole population in one batch.

The rollout engine steps tasks one by one and shows players their frames. Dreams step all at once, by M, and have no
frames to encode; so they are played here.
"""

from collections.abc import Callable, Sequence

import numpy as np
from gymnasium.utils import seeding

from worldmodels.controller.agent import controller_input, controller_shape
from worldmodels.controller.inputs import read_inputs
from worldmodels.controller.policy import outputs_of
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
    every_step: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Returns of every controller in the dream of every seed: (P, D) and S seeds -> (P, S).

    C sees what ``controller.inputs`` of the run's config names, z being the dream's sample, and its outputs become
    actions as in the real task. A return is the one that a `DreamEnv` of the same seed gives, whoever else is scored.
    Raises `ConfigError` where a dream has no score: M has no reward head, and the task no ``env.step_reward``.
    """
    config, spec = model.config, model.spec
    inputs, controller = read_inputs(config.controller), controller_shape(config, spec.outputs)
    require(
        model.reward_head is not None or model.step_reward is not None,
        "this M predicts no reward: expected a run whose M has a reward head, or env.step_reward, where every step "
        "of the task pays the same",
    )
    require(
        controllers.ndim == 2 and controllers.shape[1] == controller.size,
        f"controllers are {controllers.shape}: expected (P, {controller.size}), the parameters of one in each row",
    )
    shape = (len(controllers), len(seeds))
    dreams = Dreams(model, len(controllers) * len(seeds), temperature, max_steps, end_threshold)
    dreams.begin(
        range(len(controllers) * len(seeds)), [seeding.np_random(seed)[0] for seed in seeds] * len(controllers)
    )
    returns, active = np.zeros(shape), np.ones(shape, bool)
    while active.any():
        every_step()
        alive = active.any(axis=1)  # the controllers that still dream
        seen = controller_input(inputs, dreams.z, dreams.state).numpy().reshape(*shape, -1)[alive]
        # As `Controllers`, which has a controller for each row: here each has S rows, and its weights are not copied.
        layers = [(weights[:, None], bias[:, None]) for weights, bias in controller.split(controllers[alive])]
        outputs = outputs_of(layers, seen.astype(np.float64))
        rows = np.flatnonzero(active)
        outcome = dreams.step(rows, spec.actions.decide(outputs[active[alive]]))
        returns.flat[rows] += outcome.rewards
        active.flat[rows] = ~(outcome.terminated | outcome.truncated)
    return returns
