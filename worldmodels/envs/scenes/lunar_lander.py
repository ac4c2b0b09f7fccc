"""LunarLander: sky over hills, exhaust particles, the lander and its legs, flags, as Gymnasium's `LunarLander.render`
draws them.
"""

from typing import Any

import numpy as np
from gymnasium.envs.box2d import lunar_lander

from worldmodels.envs.raster import Canvas, Shape, Shapes, body_shapes, circle, outline, poses_of, rectangle

WIDTH, HEIGHT = lunar_lander.VIEWPORT_W / lunar_lander.SCALE, lunar_lander.VIEWPORT_H / lunar_lander.SCALE
PIXEL = 1 / lunar_lander.SCALE
CAMERA = np.array([[1 / WIDTH, 0, 0], [0, -1 / HEIGHT, 1]])
MAX_PARTICLES = 256  # the newest; some 14 where every frame is drawn, more where actions are repeated
AGEING = 0.15  # of a particle with each picture
WHITE, BLACK, YELLOW = (255, 255, 255), (0, 0, 0), (204, 204, 0)


class LunarLanderScene:
    """Poses: 0 the world, 1 the lander, 2 and 3 its legs."""

    samples = 4
    large_size = (lunar_lander.VIEWPORT_H, lunar_lander.VIEWPORT_W)

    def __init__(self, world: Any) -> None:
        self.world = world
        self._particles = Shapes.of(Shape(circle(2 * PIXEL), BLACK, number) for number in range(MAX_PARTICLES))

    def reset(self) -> None:
        """New hills, a new lander."""
        world = self.world
        ground = [Shape(rectangle(0, 0, WIDTH, HEIGHT), WHITE)]
        for points in world.sky_polys:
            ground += [Shape(points, BLACK), Shape(points[:2], BLACK, width=PIXEL)]
        self._background = Shapes.of(ground)
        self._drawn_background: np.ndarray | None = None
        lander = [shape for number, body in enumerate(world.drawlist, 1) for shape in body_shapes(body, number, PIXEL)]
        flags = [shape for x in (world.helipad_x1, world.helipad_x2) for shape in _flag(x, world.helipad_y)]
        self._foreground = Shapes.of([*lander, *flags])

    def update(self) -> None:
        """Take over where everything is now. As in the task, it is the drawing that ages the particles."""
        world = self.world
        for particle in world.particles:
            particle.ttl -= AGEING
        world._clean_particles(False)
        self._poses = poses_of(world.drawlist)
        self._particle_poses = np.array([(*particle.position, 0) for particle in world.particles[-MAX_PARTICLES:]])
        for number, particle in enumerate(world.particles[-MAX_PARTICLES:]):
            fading = int(max(0.2, 0.5 * particle.ttl) * 255)
            self._particles.colours[number] = int(max(0.2, 0.15 + particle.ttl) * 255), fading, fading

    def draw(self, canvas: Canvas, large: bool) -> np.ndarray:
        """The picture."""
        if large or self._drawn_background is None:
            canvas.draw(self._background, self._poses, CAMERA)
            if not large:
                self._drawn_background = canvas.copy()
        else:
            canvas.paste(self._drawn_background)
        if len(self._particle_poses):
            canvas.draw(self._particles.first(len(self._particle_poses)), self._particle_poses, CAMERA)
        canvas.draw(self._foreground, self._poses, CAMERA)
        return canvas.image()


def _flag(x: float, bottom: float) -> list[Shape]:
    top = bottom + 50 * PIXEL
    cloth = [(x, top), (x, top - 10 * PIXEL), (x + 25 * PIXEL, top - 5 * PIXEL)]
    pole = Shape([(x, bottom), (x, top)], WHITE, width=PIXEL)
    return [pole, Shape(cloth, YELLOW), *outline(cloth, YELLOW, 0, PIXEL)]
