"""CarRacing: field, grass, road, car, indicators and score, as Gymnasium's `CarRacing._render` draws them."""

import functools
import math
from typing import Any

import cv2
import numpy as np
import pygame
from gymnasium.envs.box2d import car_dynamics, car_racing

from worldmodels.envs.raster import Canvas, Shape, Shapes, packed, poses_of, rectangle

WIDTH, HEIGHT = car_racing.WINDOW_W, car_racing.WINDOW_H
HULL_COLOUR = (204, 0, 0)
SKID_WIDTH = 2  # pixels of the window
BAR = 1 / 8  # height of the indicator bar, and width of its part that holds the score, as shares of the picture
CELL = 1 / 40  # of the bar's grid
PIXEL = 0.04  # of a cell: a gauge is drawn with its last pixel …
SMALLEST_SHOWN = 1e-4  # … unless its value is not above this
DARKER = 2  # pygame's scaling, which the task's own pictures have been through, rounds down twice
GAUGES = (  # cell in the grid, and colour
    *((5, (255, 255, 255)), (7, (0, 0, 255)), (8, (0, 0, 255)), (9, (51, 0, 255)), (10, (51, 0, 255))),
    *((20, (0, 255, 0)), (30, (255, 0, 0))),
)
NOWHERE = np.zeros((4, 2))  # the vertices of what is not there, or not yet
PICTURE_POSE = np.zeros((1, 3))
PICTURE = np.eye(2, 3)


class CarRacingScene:
    """Poses: 0 the world, 1 to 4 the wheels, 5 the hull."""

    samples = 3
    libraries = ("opencv-python-headless", "pygame-ce")  # that draw the bar
    large_size = (car_racing.VIDEO_H, car_racing.VIDEO_W)

    def __init__(self, world: Any) -> None:
        self.world = world
        self._bar = Shapes.of(
            [Shape(rectangle(0, 1 - BAR, 1, 1), (0, 0, 0)), *(Shape(NOWHERE, colour) for _, colour in GAUGES)]
        )
        self._score = 0.0
        world._render = self._note_score  # instead of drawing, in each step

    def _note_score(self, mode: str) -> None:
        """The picture shows the score before the step's cost is taken off."""
        self._score = self.world.reward

    def reset(self) -> None:
        """A new track and a new car."""
        world, car = self.world, self.world.car
        self._ground = Shapes.of([*_field(world), *(Shape(points, colour) for points, colour in world.road_poly)])
        painted = self._ground.colours[-len(world.road_poly) :]
        tiles = iter(world.road)
        for colour, (_, original) in zip(painted, world.road_poly, strict=True):
            if isinstance(original, np.ndarray):  # a tile's, not a kerb's: the task repaints a touched tile in place
                next(tiles).color = colour
        wheel = car_dynamics.SIZE * rectangle(
            -car_dynamics.WHEEL_W, -car_dynamics.WHEEL_R, car_dynamics.WHEEL_W, car_dynamics.WHEEL_R
        )
        parts = []
        for number in range(1, 5):
            parts += [
                Shape(wheel, car_dynamics.WHEEL_COLOR, number),
                Shape(NOWHERE, car_dynamics.WHEEL_WHITE, number),
            ]
        parts += [Shape(fixture.shape.vertices, HULL_COLOUR, 5) for fixture in car.hull.fixtures]
        self._car = Shapes.of(parts)
        self._whites = self._car.points[:32].reshape(4, 2, 4, 2)[:, 1]

    def update(self) -> None:
        """Take over where everything is now."""
        car = self.world.car
        self._poses = poses_of([*car.wheels, car.hull])
        for white, wheel in zip(self._whites, car.wheels, strict=True):
            white[:] = _white_mark(wheel.phase)
        self._read_gauges()

    def draw(self, canvas: Canvas, large: bool) -> np.ndarray:
        """The picture; ``large`` is the one for people, which has the skid marks too."""
        camera = self._camera()
        canvas.clear()
        canvas.draw(self._ground, self._poses, camera)
        if large and self.world.car.particles:
            canvas.draw(self._skid_marks(), self._poses, camera)
        canvas.draw(self._car, self._poses, camera)
        canvas.draw(self._bar, PICTURE_POSE, PICTURE)
        corner = _score(f"{self._score:04.0f}", round(canvas.rows * BAR), round(canvas.columns * BAR))
        canvas.stamp(corner, round(canvas.rows * (1 - BAR)))
        return np.maximum(canvas.image(), DARKER) - DARKER

    def _camera(self) -> np.ndarray:
        """The car is three quarters down and points up; the first second zooms in."""
        x, y, angle = self._poses[5]
        t = self.world.t
        zoom = car_racing.SCALE * (0.1 * max(1 - t, 0) + car_racing.ZOOM * min(t, 1))
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        right, down = np.array([cos, sin]) / WIDTH, np.array([sin, -cos]) / HEIGHT
        return np.array(
            [
                [right[0], right[1], 0.5 - right[0] * x - right[1] * y],
                [down[0], down[1], 0.75 - down[0] * x - down[1] * y],
            ]
        )

    def _read_gauges(self) -> None:
        car = self.world.car
        upright = [math.hypot(*car.hull.linearVelocity), *(wheel.omega for wheel in car.wheels)]
        level = [car.wheels[0].joint.angle, car.hull.angularVelocity]
        corners = []
        for (cell, _), value, scale in zip(GAUGES[:5], upright, (0.02, 0.01, 0.01, 0.01, 0.01), strict=True):
            height, pixel = scale * value, PIXEL * (abs(value) > SMALLEST_SHOWN)
            corners.append((cell, 39 - max(height, 0), cell + 1 + PIXEL, 39 - min(height, 0) + pixel))
        for (cell, _), value, scale in zip(GAUGES[5:], level, (-10, -0.8), strict=True):
            width, pixel = scale * value, PIXEL * (abs(value) > SMALLEST_SHOWN)
            corners.append((cell + min(width, 0), 36, cell + max(width, 0) + pixel, 38 + PIXEL))
        left, top, right, bottom = np.array(corners).T * CELL
        gauges = self._bar.points[4:].reshape(-1, 4, 2)
        gauges[:, 0, 0] = gauges[:, 3, 0] = left
        gauges[:, 1, 0] = gauges[:, 2, 0] = right
        gauges[:, 0, 1] = gauges[:, 1, 1] = top
        gauges[:, 2, 1] = gauges[:, 3, 1] = bottom

    def _skid_marks(self) -> Shapes:
        width = SKID_WIDTH / (car_racing.ZOOM * car_racing.SCALE)
        return Shapes.of(
            [
                Shape(mark, particle.color, 0, width)
                for particle in self.world.car.particles
                for mark in zip(particle.poly[:-1], particle.poly[1:], strict=True)
            ]
        )


def _field(world: Any) -> list[Shape]:
    """The playing field and its lighter patches."""
    edge = car_racing.PLAYFIELD
    return [
        Shape(rectangle(-edge, -edge, edge, edge), world.bg_color),
        *(Shape(patch, world.grass_color) for patch in grass_patches()),
    ]


def grass_patches() -> np.ndarray:
    """Corners of the lighter patches of grass, as Gymnasium orders them: (400, 4, 2)."""
    side = car_racing.GRASS_DIM
    cells = np.array([(x, y) for x in range(-20, 20, 2) for y in range(-20, 20, 2)])
    return side * cells[:, None] + side * np.array([(1, 0), (0, 0), (0, 1), (1, 1)])


def _white_mark(phase: float) -> np.ndarray:
    """The light stripe that shows a wheel turn, (4, 2) in the wheel's frame."""
    sines, cosines = zip(*((math.sin(a), math.cos(a)) for a in (phase, phase + 1.2)), strict=True)
    if sines[0] > 0 and sines[1] > 0:
        return NOWHERE
    near, far = (math.copysign(1, c) if s > 0 else c for s, c in zip(sines, cosines, strict=True))
    width, radius = car_dynamics.SIZE * car_dynamics.WHEEL_W, car_dynamics.SIZE * car_dynamics.WHEEL_R
    return rectangle(-width, radius * near, width, radius * far)


@functools.lru_cache(maxsize=2000)
def _score(text: str, height: int, width: int) -> np.ndarray:
    """The picture's lower left corner, with ``text`` in the task's own font, `packed`: (height, width)."""
    pygame.font.init()
    corner = pygame.Surface((WIDTH * BAR, HEIGHT * BAR))
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    label = font.render(text, True, (255, 255, 255), (0, 0, 0))
    corner.blit(label, label.get_rect(center=(60, HEIGHT * (BAR - 2.5 * CELL))))
    pixels = pygame.surfarray.array3d(corner).transpose(1, 0, 2)
    return packed(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
