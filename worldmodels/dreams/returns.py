"""Controllers scored in dreams (Ha & Schmidhuber 2018, section 4), a whole population in one batch.

The rollout engine steps tasks one by one and shows players their frames. Dreams step all at once, by M, and have no
frames to encode; so they are played here.
"""

from collections.abc import Callable, Sequence

import numpy as np
from gymnasium.utils import seeding

from worldmodels.controller.agent import controller_input, controller_size
from worldmodels.controller.inputs import read_inputs
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
    inputs, size = read_inputs(config.controller), controller_size(config, spec.outputs)
    require(
        model.reward_head is not None or model.step_reward is not None,
        "this M predicts no reward: expected a run whose M has a reward head, or env.step_reward, where every step "
        "of the task pays the same",
    )
    require(
        controllers.ndim == 2 and controllers.shape[1] == size,
        f"controllers are {controllers.shape}: expected (P, {size}), the parameters of one in each row",
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
        outputs = linear_outputs(controllers[alive], seen.astype(np.float64), spec.outputs)
        rows = np.flatnonzero(active)
        outcome = dreams.step(rows, spec.actions.decide(outputs[active[alive]]))
        returns.flat[rows] += outcome.rewards
        active.flat[rows] = ~(outcome.terminated | outcome.truncated)
    return returns


def linear_outputs(controllers: np.ndarray, x: np.ndarray, outputs: int) -> np.ndarray:
    """As `LinearControllers`, which has a controller for each row: here each has S rows, and its weights are not
    copied. (P, O (D + 1)) and (P, S, D) -> (P, S, O), a product of its own for each row.
    """
    weights = controllers[:, :-outputs].reshape(len(controllers), 1, outputs, -1)
    return (weights @ x[..., None])[..., 0] + controllers[:, None, -outputs:]
