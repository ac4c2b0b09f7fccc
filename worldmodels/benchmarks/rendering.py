"""Steps of a task, by who draws them."""

import functools
import time
from dataclasses import replace

import numpy as np

from worldmodels.benchmarks.turns import alternately
from worldmodels.config import Config
from worldmodels.envs import make_env
from worldmodels.rollouts.executor import one_thread

STEPS = 200
QUICK_REPEATS = 10
PERSISTENCE = 0.9  # of the random actions that tasks are stepped with


def renderers(config: Config) -> dict[str, float]:
    """Steps per second of one task on one core: drawn by each renderer, and ``physics``, not drawn at all."""
    ways = {
        "gymnasium": functools.partial(stepping, config, "gymnasium", STEPS),
        "exact": functools.partial(stepping, config, "exact", STEPS),
        "fast": functools.partial(stepping, config, "fast", STEPS, QUICK_REPEATS),
        "physics": functools.partial(stepping, config, "physics", STEPS, QUICK_REPEATS),
    }
    with one_thread():
        return alternately(ways)


def stepping(config: Config, renderer: str, steps: int, repeats: int = 1) -> float:
    """Steps per second over the same ``steps`` with sticky random actions, whoever draws; played ``repeats`` times, so
    that a quick way takes long enough. An episode is played in a task of its own; resets do not count.
    """
    env_config = replace(config.env, renderer="fast" if renderer == "physics" else renderer)
    spent = 0.0
    for _ in range(repeats):
        rng = np.random.default_rng(0)
        done, env, action = True, None, None
        for step in range(steps):
            if done or env is None:
                env = make_env(env_config)
                env.begin(seed=step)
                env.look()
            low, high = env.task_spec.action_low, env.task_spec.action_high
            if action is None or rng.random() >= PERSISTENCE:
                action = rng.uniform(low, high).astype(np.float32)
            started = time.perf_counter()
            _, terminated, truncated, _ = env.advance(action)
            if renderer != "physics":
                env.look()
            spent += time.perf_counter() - started
            if done := terminated or truncated:
                env.close()
    return steps * repeats / spent
