"""BipedalWalker. The state is the task's own observation, and the hull's position, which the task keeps to itself."""

from collections.abc import Sequence

import numpy as np

from worldmodels.envs.scenes.bipedal_walker import PIXEL, WIDTH, BipedalWalkerScene, view_left
from worldmodels.envs.task import Task
from worldmodels.envs.window import Window

_LEG = ("hip_angle", "hip_speed", "knee_angle", "knee_speed", "contact")
WINDOW = 256  # pixels of the task's 600×400, 8.5 world units: each of the agent's is the mean of 4×4
MARGIN = 1.0  # beyond the view, in world units, that an edge's soft border may reach


class BipedalWalker(Task):
    name = "bipedal_walker"
    libraries = ("box2d",)
    scene = BipedalWalkerScene
    follows = True
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
    visible_targets = (
        "hull_angle",
        *(f"{leg}_{part}" for leg in ("leg1", "leg2") for part in _LEG if "speed" not in part),
    )
    motions = ("velocity_x", "velocity_y", "hull_angular_velocity")
    acted_on = state_names[:24]  # what the task itself observes

    def begin(self) -> None:
        """Note from where to where each piece of ground reaches."""
        reach = [[x for fixture in piece.fixtures for x, _ in fixture.shape.vertices] for piece in self.world.terrain]
        self._terrain_left, self._terrain_right = (np.array([end(xs) for xs in reach]) for end in (min, max))

    def picture(self, observation: np.ndarray) -> np.ndarray:
        if not self.draws_visible_only:
            return super().picture(observation)
        world, everything = self.world, self.world.drawlist
        start = max(world.scroll, 0)  # the task's picture does not scroll further back
        visible = (self._terrain_right > start - MARGIN) & (self._terrain_left < start + WIDTH + MARGIN)
        ground = [world.terrain[i] for i in np.flatnonzero(visible)]
        world.drawlist = [*ground, *everything[len(world.terrain) :]]
        try:
            return super().picture(observation)
        finally:
            world.drawlist = everything

    def window(self) -> Window:
        """Around the hull, as far as the picture goes. The picture itself keeps the hull 120 pixels from its left edge,
        so the window is its left part as a rule, and moves up and down.
        """
        x, y = self.world.hull.position
        size = BipedalWalkerScene.large_size
        return Window.around(x / PIXEL - view_left(self.world), size[0] - y / PIXEL, WINDOW, size)

    def state(self, observation: np.ndarray) -> np.ndarray:
        return np.append(observation, tuple(self.world.hull.position))

    @classmethod
    def coverage(cls, rollouts: Sequence[np.ndarray]) -> dict[str, float]:
        """Shares of the frames with the hull less than 45° from level, and with a foot on the ground; how far the hull
        gets, the mean of the rollouts, in world units.
        """
        states = np.concatenate(rollouts)
        contacts = cls.column(states, "leg1_contact") + cls.column(states, "leg2_contact")
        return {
            "upright": float((np.abs(cls.column(states, "hull_angle")) < np.pi / 4).mean()),
            "foot_on_ground": float((contacts > 0).mean()),
            "distance": float(np.mean([np.ptp(cls.column(rollout, "hull_x")) for rollout in rollouts])),
        }
