"""BipedalWalker. The state is the task's own observation, and the hull's position, which the task keeps to itself."""

import numpy as np

from worldmodels.envs.task import Task

_LEG = ("hip_angle", "hip_speed", "knee_angle", "knee_speed", "contact")


class BipedalWalker(Task):
    name = "bipedal_walker"
    state_names = (
        "hull_angle",
        "hull_angular_velocity",
        "velocity_x",
        "velocity_y",
        *(f"{leg}_{part}" for leg in ("leg1", "leg2") for part in _LEG),
        *(f"lidar{beam}" for beam in range(10)),
        "hull_x",
        "hull_y",
    )

    def state(self, observation: np.ndarray) -> np.ndarray:
        return np.append(observation, tuple(self.world.hull.position))
