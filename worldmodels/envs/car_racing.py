"""CarRacing. Its observation is its picture; the state is read from the physics and from the track's centre line."""

import math

import numpy as np

from worldmodels.envs.task import Task

LOOK_AHEAD = 5  # points of the track, 3.5 units apart, over which "curvature ahead" is taken


class CarRacing(Task):
    """Lengths in the task's world units, angles in radians, speeds per second."""

    name = "car_racing"
    state_names = (
        "x",
        "y",
        "angle",
        "velocity_x",
        "velocity_y",
        "angular_velocity",
        "speed",
        "steering",
        "wheel_speed_mean",
        "centre_offset",
        "centre_angle",
        "curvature_ahead",
        "on_road",
        "tiles_visited",
    )

    @staticmethod
    def render_mode(pictures: bool) -> str | None:
        return "rgb_array" if pictures else None  # the 96×96 observation is drawn in any mode

    def picture(self, observation: np.ndarray) -> np.ndarray:
        return observation

    def large_picture(self) -> np.ndarray:
        return np.asarray(self.env.render())

    def state(self, observation: np.ndarray) -> np.ndarray:
        car = self.world.car
        hull = car.hull
        x, y = hull.position
        velocity_x, velocity_y = hull.linearVelocity
        track = np.asarray(self.world.track)  # rows (α, β, x, y); the road leads along (-sin β, cos β)
        nearest = int(np.argmin((track[:, 2] - x) ** 2 + (track[:, 3] - y) ** 2))
        heading = track[nearest, 1]
        offset = (x - track[nearest, 2]) * math.cos(heading) + (y - track[nearest, 3]) * math.sin(heading)
        ahead = track[(nearest + LOOK_AHEAD) % len(track), 1]
        return np.array(
            [
                x,
                y,
                hull.angle,
                velocity_x,
                velocity_y,
                hull.angularVelocity,
                math.hypot(velocity_x, velocity_y),
                car.wheels[0].joint.angle,
                np.mean([wheel.omega for wheel in car.wheels]),
                offset,
                _wrap(hull.angle - heading),
                _wrap(ahead - heading),
                float(any(wheel.tiles for wheel in car.wheels)),
                self.world.tile_visited_count,
            ]
        )


def _wrap(angle: float) -> float:
    """``angle`` in [-π, π)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
