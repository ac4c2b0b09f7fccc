"""Steps of a task, by who draws them."""

import functools
import time
from dataclasses import replace

import numpy as np

from worldmodels.benchmarks.turns import alternately
from worldmodels.config import Config
from worldmodels.envs import make_env, task_class
from worldmodels.rollouts.executor import one_thread

STEPS = 200
QUICK_REPEATS = 10
PERSISTENCE = 0.9  # of the random actions that tasks are stepped with


def renderers(config: Config) -> dict[str, float]:
    """Steps per second of one task on one core: drawn by each renderer that it has, and ``physics``, not drawn at
    all.
    """
    repeats = {"gymnasium": 1, "exact": 1, "fast": QUICK_REPEATS, "physics": QUICK_REPEATS}
    if task_class(config.env).scene is None:
        repeats = {name: repeats[name] for name in ("gymnasium", "physics")}
    ways = {name: functools.partial(stepping, config, name, STEPS, repeats[name]) for name in repeats}
    with one_thread():
        return alternately(ways)


def stepping(config: Config, renderer: str, steps: int, repeats: int = 1) -> float:
    """Steps per second over the same ``steps`` with sticky random actions, whoever draws; played ``repeats`` times, so
    that a quick way takes long enough. An episode is played in a task of its own; resets do not count.
    """
    drawn = renderer != "physics"
    env_config = replace(config.env, renderer=renderer) if drawn else config.env
    spent = 0.0
    for _ in range(repeats):
        rng = np.random.default_rng(0)
        done, env, action = True, None, None
        for step in range(steps):
            if done or env is None:
                env = make_env(env_config, drawn=drawn)
                env.begin(seed=step)
                if drawn:
                    env.look()
            if action is None or rng.random() >= PERSISTENCE:
                action = env.task_spec.actions.sample(rng)
            started = time.perf_counter()
            _, terminated, truncated, _ = env.advance(action)
            if drawn:
                env.look()
            spent += time.perf_counter() - started
            if done := terminated or truncated:
                env.close()
    return steps * repeats / spent
