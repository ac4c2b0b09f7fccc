"""LunarLander. The state vector is the task's own observation."""

from worldmodels.envs.scenes.lunar_lander import LunarLanderScene
from worldmodels.envs.task import Task


class LunarLander(Task):
    name = "lunar_lander"
    scene = LunarLanderScene
    state_names = ("x", "y", "velocity_x", "velocity_y", "angle", "angular_velocity", "leg_left", "leg_right")
