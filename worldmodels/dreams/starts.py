"""Real first frames for dreams to start from where a run's own rollouts are not at hand."""

from dataclasses import dataclass

import numpy as np

from worldmodels.config import Config
from worldmodels.envs import PixelEnv, make_env
from worldmodels.training.hardware import rollout_precision
from worldmodels.utils.seeds import episode_seed
from worldmodels.vision.inference import FrameEncoder
from worldmodels.vision.interface import Vision

CHANGES_RESULTS = False  # no artifact is made of them


@dataclass(frozen=True)
class Start:
    """A first frame that no model was trained on, (64, 64, 3) uint8, the seed of its episode, and μ and log σ² (Z,)."""

    frame: np.ndarray
    seed: int
    mu: np.ndarray
    log_var: np.ndarray


def make_task(config: Config) -> PixelEnv:
    """The real task, whose episodes begin as those that M has learnt from."""
    return make_env(config.env, scatter=config.collect.scatter)


def first_frames(config: Config, vision: Vision, count: int) -> tuple[Start, ...]:
    """The first frames of held-out episodes that begin as the training rollouts do."""
    seeds = [episode_seed(0, "heldout", number) for number in range(count)]
    env = make_task(config)
    try:
        frames = [env.reset(seed=seed)[0].copy() for seed in seeds]
    finally:
        env.close()
    mu, log_var = (
        part.numpy() for part in FrameEncoder(vision, rollout_precision(config.trainer), 1)(np.stack(frames))
    )
    return tuple(Start(*facts) for facts in zip(frames, seeds, mu, log_var, strict=True))
