"""BipedalWalker: sky, clouds, ground, one beam of the lidar, the walker, the flag at the start, as Gymnasium's
`BipedalWalker.render` draws them.
"""

import math
from typing import Any

import numpy as np
from gymnasium.envs.box2d import bipedal_walker

from worldmodels.envs.raster import Canvas, Shape, Shapes, body_shapes, outline, poses_of, rectangle

WIDTH, HEIGHT = bipedal_walker.VIEWPORT_W / bipedal_walker.SCALE, bipedal_walker.VIEWPORT_H / bipedal_walker.SCALE
PIXEL = 1 / bipedal_walker.SCALE
SKY, CLOUD, BEAM = (215, 215, 255), (255, 255, 255), (255, 0, 0)
BLACK, FLAG = (0, 0, 0), (230, 51, 0)
BEAM_PERIOD = 100  # pictures; a beam is drawn in the first 20 of them


def view_left(world: Any) -> int:
    """Where the task's picture begins, in its own pixels from the world's left: it does not scroll below 0."""
    return max(0, math.floor(world.scroll / PIXEL))


class BipedalWalkerScene:
    """Poses: 0 the world, 1 the sky, 2 the clouds, 3 to 7 the walker."""

    samples = 4
    large_size = (bipedal_walker.VIEWPORT_H, bipedal_walker.VIEWPORT_W)

    def __init__(self, world: Any) -> None:
        self.world = world
        self._poses = np.zeros((8, 3))
        self._sky = Shapes.of([Shape(rectangle(0, 0, WIDTH, HEIGHT), SKY, 1)])
        self._beam = Shapes.of([Shape(np.zeros((2, 2)), BEAM, width=PIXEL)])

    def reset(self) -> None:
        """New ground and clouds, a new walker."""
        world = self.world
        self._clouds = [
            (Shapes.of([Shape(cloud, CLOUD, 2), *outline(cloud, CLOUD, 2, PIXEL)]), left, right)
            for cloud, left, right in world.cloud_poly
        ]
        ground = []
        for piece, colour in world.terrain_poly:
            ground += [Shape(piece, colour), Shape(piece[:2], colour, width=PIXEL)]
        self._ground = Shapes.of(ground)
        edges = [shape for body in world.terrain for shape in body_shapes(body, 0, PIXEL)]
        bodies = enumerate([*world.legs, world.hull], 3)
        walker = [shape for number, body in bodies for shape in body_shapes(body, number, PIXEL)]
        self._foreground = Shapes.of([*edges, *walker, *_flag()])

    def update(self) -> None:
        """Take over where everything is now. As in the task, it is the drawing that moves the lidar's display on."""
        world, poses = self.world, self._poses
        world.lidar_render = (world.lidar_render + 1) % BEAM_PERIOD
        poses[1, 0] = view_left(world) * PIXEL if world.scroll >= 0 else world.scroll
        poses[2, 0] = world.scroll / 2
        poses[3:] = poses_of([*world.legs, world.hull])[1:]

    def draw(self, canvas: Canvas, large: bool) -> np.ndarray:
        """The picture."""
        camera = np.array([[1 / WIDTH, 0, -view_left(self.world) * PIXEL / WIDTH], [0, -1 / HEIGHT, 1]])
        start = self.world.scroll  # where it is below 0, the view stays, and what the task leaves out can be seen
        canvas.clear()
        canvas.draw(self._sky, self._poses, camera)
        for cloud, left, right in self._clouds:
            if right >= start / 2 and left <= start / 2 + WIDTH:
                canvas.draw(cloud, self._poses, camera)
        pieces = math.floor((start + WIDTH) / bipedal_walker.TERRAIN_STEP) + 1
        canvas.draw(self._ground.first(2 * pieces), self._poses, camera)
        number = self.world.lidar_render
        beams = self.world.lidar
        if number < 2 * len(beams):
            beam = beams[number] if number < len(beams) else beams[len(beams) - number - 1]
            self._beam.points[:] = beam.p1, beam.p2
            canvas.draw(self._beam, self._poses, camera)
        canvas.draw(self._foreground, self._poses, camera)
        return canvas.image()


def _flag() -> list[Shape]:
    x, bottom = 3 * bipedal_walker.TERRAIN_STEP, bipedal_walker.TERRAIN_HEIGHT
    top = bottom + 50 * PIXEL
    cloth = [(x, top), (x, top - 10 * PIXEL), (x + 25 * PIXEL, top - 5 * PIXEL)]
    pole = Shape([(x, bottom), (x, top)], BLACK, width=PIXEL)
    return [pole, Shape(cloth, FLAG), *outline(cloth, BLACK, 0, PIXEL)]
