"""LunarLander. The state vector is the task's own observation."""

from collections.abc import Sequence

import numpy as np
from gymnasium.envs.box2d.lunar_lander import LEG_DOWN, VIEWPORT_H

from worldmodels.envs.scenes.lunar_lander import LunarLanderScene
from worldmodels.envs.task import Task

# The observed y is (height - (pad + legs)) / half, all in pixels of the large picture, where half is half its height,
# the pad lies at a quarter of its height, and the legs are LEG_DOWN. These are its values at the picture's edges.
BOTTOM, TOP = ((height - (VIEWPORT_H / 4 + LEG_DOWN)) / (VIEWPORT_H / 2) for height in (0, VIEWPORT_H))


def purple(frames: np.ndarray) -> np.ndarray:
    """The ship's colour, which nothing else has: blue above the mean of red and green, in 0–1."""
    red, green, blue = np.moveaxis(frames.astype(np.float32) / 255, -1, 0)
    return np.maximum(blue - (red + green) / 2, 0)


class LunarLander(Task):
    name = "lunar_lander"
    libraries = ("box2d",)
    scene = LunarLanderScene
    state_names = ("x", "y", "velocity_x", "velocity_y", "angle", "angular_velocity", "leg_left", "leg_right")
    visible_targets = ("x", "y", "angle_sin", "angle_cos")
    motions = ("velocity_x", "velocity_y", "angular_velocity")
    objects = {"ship": purple}  # noqa: RUF012

    @classmethod
    def target(cls, states: np.ndarray, name: str) -> np.ndarray:
        if name.startswith("angle_"):
            angle = cls.column(states, "angle")
            return np.sin(angle) if name == "angle_sin" else np.cos(angle)
        return cls.column(states, name)

    @classmethod
    def shown(cls, states: np.ndarray, fps: float) -> np.ndarray:
        """Frames with the centre of the ship's hull in the picture: |x| ≤ 1 and `BOTTOM` ≤ y ≤ `TOP`."""
        x, y = cls.column(states, "x"), cls.column(states, "y")
        return (np.abs(x) <= 1) & (y >= BOTTOM) & (y <= TOP)

    @classmethod
    def coverage(cls, rollouts: Sequence[np.ndarray]) -> dict[str, float]:
        """Shares of the frames with the ship in the picture, and with a leg on the ground."""
        states = np.concatenate(rollouts)
        legs = cls.column(states, "leg_left") + cls.column(states, "leg_right")
        return {"in_picture": float(cls.shown(states, 1).mean()), "on_ground": float((legs > 0).mean())}
