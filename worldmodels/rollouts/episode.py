"""One episode of a policy in a task."""

from dataclasses import dataclass

import numpy as np

from worldmodels.envs import PixelEnv
from worldmodels.rollouts.policies import Policy


@dataclass(frozen=True)
class Rollout:
    """What happened, T steps long. Row t: the frame before action t, the action, and the reward and ends it led to."""

    frames: np.ndarray  # (T, 64, 64, 3) uint8
    states: np.ndarray  # (T, S) float32
    actions: np.ndarray  # (T, A) float32
    rewards: np.ndarray  # (T,) float32
    terminated: np.ndarray  # (T,) bool
    truncated: np.ndarray  # (T,) bool

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(vars(self))


def record(env: PixelEnv, policy: Policy, seed: int) -> Rollout:
    """Run one episode and keep everything."""
    rows = []
    frame, info = env.reset(seed=seed)
    policy.begin()
    done = False
    while not done:
        action = policy.act(frame)
        following, reward, terminated, truncated, following_info = env.step(action)
        rows.append((frame, info["state"], action, np.float32(reward), terminated, truncated))
        frame, info, done = following, following_info, terminated or truncated
    return Rollout(*(np.stack(column) for column in zip(*rows, strict=True)))


def score(env: PixelEnv, policy: Policy, seed: int) -> float:
    """Return (sum of rewards) of one episode."""
    frame, _ = env.reset(seed=seed)
    policy.begin()
    total, done = 0.0, False
    while not done:
        frame, reward, terminated, truncated, _ = env.step(policy.act(frame))
        total += reward
        done = terminated or truncated
    return total
