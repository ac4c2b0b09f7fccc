"""CarRacing. Its observation is its picture; the state is read from the physics and from the track's centre line."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import MAX_SHAPE_DIM, PLAYFIELD, SCALE, WINDOW_H, WINDOW_W, ZOOM
from pygame import gfxdraw

from worldmodels.envs.config import EnvConfig
from worldmodels.envs.scenes.car_racing import BAR, CarRacingScene, grass_patches
from worldmodels.envs.task import Task

LOOK_AHEAD = 5  # points of the track, 3.5 units apart, over which "curvature ahead" is taken
PER_UNIT = SCALE * ZOOM  # pixels of the window, once the camera has come near
# How far the picture reaches from the car, which is three quarters down; below it, the bar covers the picture's edge.
ASIDE, AHEAD, BEHIND = WINDOW_W / 2 / PER_UNIT, 3 / 4 * WINDOW_H / PER_UNIT, (1 / 4 - BAR) * WINDOW_H / PER_UNIT
CAR_ROWS, CAR_COLUMNS = slice(43, 53), slice(28, 36)  # of 64: the car's place in every picture, with a margin


def red_of_car(frames: np.ndarray) -> np.ndarray:
    """The hull's red where the camera keeps the car: red above the mean of green and blue, in 0–1, elsewhere 0."""
    red, green, blue = np.moveaxis(frames.astype(np.float32) / 255, -1, 0)
    redness = np.zeros_like(red)
    car_area = (slice(None), CAR_ROWS, CAR_COLUMNS)
    redness[car_area] = np.maximum(red - (green + blue) / 2, 0)[car_area]
    return redness


class CarRacing(Task):
    """Lengths in the task's world units, angles in radians, speeds per second."""

    name = "car_racing"
    libraries = ("box2d",)
    scene = CarRacingScene
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
    scatters = True
    visible_targets = ("speed", "centre_offset", "centre_angle", "curvature_ahead")
    motions = ("speed", "angular_velocity")
    acted_on = ("centre_offset", "centre_angle", "curvature_ahead", "speed", "angular_velocity")
    objects = {"car": red_of_car}  # noqa: RUF012

    def __init__(self, config: EnvConfig, pictures: bool, drawn: bool) -> None:
        super().__init__(config, pictures, drawn)
        if drawn and self.draws_visible_only:
            self._draw = self.world._render
            self.world._render = self._draw_later

    def render_mode(self, config: EnvConfig, pictures: bool) -> str | None:
        # The 96×96 observation is drawn in any mode.
        return super().render_mode(config, pictures) if pictures or config.picture == "render" else None

    def undrawn(self) -> None:
        self.world._render = lambda mode: None

    def scatter(self) -> Any:
        """Put the car on a random point of the track: a random driver hardly leaves the straight at the start."""
        world = self.world
        index = world.np_random.integers(len(world.track))
        world.car.destroy()
        world.reward = world.prev_reward = 0.0  # the tiles under the usual start count no more
        world.tile_visited_count = 0
        for tile in world.road:
            tile.road_visited = False
        world.car = Car(world.world, *world.track[index][1:4])
        return world.step(None)[0]  # as the task's own reset does

    def begin(self) -> None:
        self._track = np.array(self.world.track)  # rows (α, β, x, y); the road leads along (-sin β, cos β)
        if self.draws_visible_only:
            self.world._render_road = Ground(self.world)

    def _draw_later(self, mode: str) -> np.ndarray | None:
        """In place of the drawing in each step, whose picture may not be needed."""
        if mode != "state_pixels":
            return self._draw(mode)
        self._score = self.world.reward  # as the picture shows it: before the step's cost is taken off
        return None

    def picture(self, observation: np.ndarray) -> np.ndarray:
        if not self.draws_visible_only:
            return super().picture(observation)
        world, reward = self.world, self.world.reward
        world.reward = self._score
        try:
            return self._draw("state_pixels")
        finally:
            world.reward = reward

    def state(self, observation: np.ndarray) -> np.ndarray:
        car = self.world.car
        hull = car.hull
        x, y = hull.position
        velocity_x, velocity_y = hull.linearVelocity
        track = self._track
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

    @classmethod
    def shown(cls, states: np.ndarray, fps: float) -> np.ndarray:
        """Frames where a picture can tell how the car stands to the road:

        * after the first second, in which the camera comes near;
        * the nearest point of the centre line is in the picture, not under the bar. With d the offset and δ the angle
          to the road, it lies -d cos δ to the car's right and d sin δ ahead of it;
        * |δ| < π/2, because a road looks the same in both directions.
        """
        offset, angle = cls.column(states, "centre_offset"), cls.column(states, "centre_angle")
        ahead = offset * np.sin(angle)
        in_picture = (np.abs(offset * np.cos(angle)) <= ASIDE) & (ahead <= AHEAD) & (ahead >= -BEHIND)
        return (np.arange(len(states)) >= fps) & in_picture & (np.abs(angle) < np.pi / 2)

    @classmethod
    def coverage(cls, rollouts: Sequence[np.ndarray]) -> dict[str, float]:
        """Mean and 95th percentile of the speed, share of the frames with a wheel on the road, and tiles of the track
        visited, the mean of the rollouts.
        """
        states = np.concatenate(rollouts)
        speed = cls.column(states, "speed")
        return {
            "speed_mean": float(speed.mean()),
            "speed_95": float(np.quantile(speed, 0.95)),
            "on_road": float(cls.column(states, "on_road").mean()),
            "tiles": float(np.mean([cls.column(rollout, "tiles_visited")[-1] for rollout in rollouts])),
        }


class Ground:
    """`CarRacing._render_road` for one track: the same calls for what is in the window, none for the rest.

    The arithmetic is that of the original in the original's order, so that every corner falls on the same pixel, and
    corners keep their order, because the pixels of an edge depend on its direction.
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        edge = PLAYFIELD
        self._field = np.array([[(edge, edge), (edge, -edge), (-edge, -edge), (-edge, edge)]])
        self._patches = grass_patches()
        self._road: np.ndarray = np.array([points for points, _ in world.road_poly])

    def __call__(self, zoom: float, translation: tuple[float, float], angle: float) -> None:
        world = self._world
        cos, sin = pygame.math.Vector2(1, 0).rotate_rad(angle)

        def transformed(polygons: np.ndarray) -> np.ndarray:
            x, y = polygons[..., 0], polygons[..., 1]
            return np.stack(
                [(cos * x - sin * y) * zoom + translation[0], (sin * x + cos * y) * zoom + translation[1]], axis=-1
            )

        def draw(polygon: np.ndarray, colour: Any) -> None:
            corners = polygon.tolist()
            gfxdraw.aapolygon(world.surf, corners, colour)
            gfxdraw.filled_polygon(world.surf, corners, colour)

        draw(transformed(self._field)[0], world.bg_color)
        patches = transformed(self._patches)
        for i in _in_window(patches):
            draw(patches[i], world.grass_color)
        road = transformed(self._road)
        for i in _in_window(road):
            draw(road[i], [int(c) for c in world.road_poly[i][1]])


def _in_window(polygons: np.ndarray) -> np.ndarray:
    """Which polygons (N, 4, 2) may touch the window, and have a corner where the original asks for one."""
    size = np.array([WINDOW_W, WINDOW_H])
    low, high = polygons.min(axis=1), polygons.max(axis=1)
    touches = ((high >= -2) & (low <= size + 2)).all(axis=1)
    near = np.any(np.all((polygons >= -MAX_SHAPE_DIM) & (polygons <= size + MAX_SHAPE_DIM), axis=2), axis=1)
    return np.flatnonzero(touches & near)


def _wrap(angle: float) -> float:
    """``angle`` in [-π, π)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
