"""A small rasteriser: polygons and lines, placed by poses and a camera, in painter's order.

Every pixel is the mean of ``samples``² points, which is what scaling a large picture down by area averaging does. A
sample's three colours lie in one 32-bit word, so that filling moves little memory and averaging sums two at a time.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numba import njit

MAX_VERTICES = 16
MAX_SAMPLES = 16  # along a pixel's side: the sum of their squares' colours still fits 16 bits


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compiled by Numba, and cached on disk where a folder can be written."""
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no such folder
        return njit(error_model="numpy")(function)


class Shape(NamedTuple):
    """A filled polygon, (n, 2) vertices in its body's frame with 3 ≤ n ≤ `MAX_VERTICES`, or a straight line, (2, 2)."""

    points: np.ndarray | Sequence[Sequence[float]]
    colour: Sequence[float]
    body: int = 0
    width: float = 0.0  # of a line, in units of the body's frame


@dataclass(frozen=True)
class Shapes:
    """N shapes in painter's order, ready to be drawn; the even-odd rule says what is inside a polygon.

    Points and colours may be changed in place between pictures.
    """

    points: np.ndarray  # (P, 2) float64, of all shapes one after the other
    starts: np.ndarray  # (N + 1,) int64: shape n is points[starts[n] : starts[n + 1]]
    colours: np.ndarray  # (N, 3) float64 in 0–255; fractions are cut off
    bodies: np.ndarray  # (N,) int64: the row of the poses that places it
    widths: np.ndarray  # (N,) float64

    @classmethod
    def of(cls, shapes: Iterable[Shape]) -> "Shapes":
        """Lay out ``shapes`` in arrays."""
        points, colours, bodies, widths = zip(*shapes, strict=True)
        polygons = [np.asarray(vertices, dtype=np.float64).reshape(-1, 2) for vertices in points]
        sizes = [len(vertices) for vertices in polygons]
        if max(sizes) > MAX_VERTICES:
            raise ValueError(f"a polygon has {max(sizes)} vertices: expected {MAX_VERTICES} at most")
        return cls(
            np.concatenate(polygons),
            np.cumsum([0, *sizes], dtype=np.int64),
            np.array(colours, dtype=np.float64),
            np.array(bodies, dtype=np.int64),
            np.array(widths, dtype=np.float64),
        )

    def first(self, count: int) -> "Shapes":
        """The first ``count`` shapes, sharing memory with these."""
        return replace(self, starts=self.starts[: count + 1])


class Canvas:
    """Draws pictures of (height, width). A scene's picture is the unit square, (0, 0) its upper left corner; a canvas
    holds the upper ``visible_share`` of it.
    """

    def __init__(self, height: int, width: int, samples: int, visible_share: float = 1.0) -> None:
        if samples > MAX_SAMPLES:
            raise ValueError(f"a canvas has {samples} samples a pixel's side: expected {MAX_SAMPLES} at most")
        self._samples = np.zeros((height * samples, width * samples), dtype=np.uint32)
        self._per_pixel = samples
        self._shape = (height, width, 3)
        self._shown: tuple[np.ndarray, np.ndarray] | None = None  # where in the unit square, and how large
        self.rows, self.columns = (
            height * samples / visible_share,
            float(width * samples),
        )  # of samples, in the unit square

    def show(self, part: tuple[float, float, float, float] | None) -> None:
        """What to `draw` from now on: of the unit square this part (left, top, width, height), or all with None."""
        if part is None:
            self._shown = None
        else:
            left, top, width, height = part
            self._shown = np.array([(0, 0, left), (0, 0, top)]), np.array([(width,), (height,)])

    def clear(self) -> None:
        """Make everything black."""
        self._samples.fill(0)

    def draw(self, shapes: Shapes, poses: np.ndarray, camera: np.ndarray) -> None:
        """poses: (B, 3) rows (x, y, angle) of the bodies; camera: (2, 3), from the world to the unit square."""
        if self._shown is not None:
            corner, size = self._shown
            camera = (camera - corner) / size
        _fill(
            self._samples,
            self.rows,
            self.columns,
            shapes.points,
            shapes.starts,
            shapes.colours,
            shapes.bodies,
            shapes.widths,
            poses,
            camera,
        )

    def stamp(self, stamp: np.ndarray, top: int) -> None:
        """Put a `packed` picture, one sample a pixel, at the left edge, ``top`` rows of samples down."""
        height, width = stamp.shape
        area = self._samples[top : top + height, :width]
        area[:] = stamp[: len(area)]

    def copy(self) -> np.ndarray:
        """What is drawn so far, for `paste`."""
        return self._samples.copy()

    def paste(self, drawn: np.ndarray) -> None:
        """Go back to a `copy` from a canvas of this size."""
        np.copyto(self._samples, drawn)

    def image(self) -> np.ndarray:
        """The picture, (height, width, 3) uint8."""
        picture = np.empty(self._shape, dtype=np.uint8)
        _average(self._samples, self._per_pixel, picture)
        return picture


def packed(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) uint32, as a canvas holds samples."""
    red, green, blue = (picture[..., i].astype(np.uint32) for i in range(3))
    return (red << np.uint32(16)) | (green << np.uint32(8)) | blue


def outline(vertices: Sequence[Sequence[float]], colour: Sequence[float], body: int, width: float) -> list[Shape]:
    """The sides of a polygon as lines."""
    return [Shape([vertices[i - 1], vertices[i]], colour, body, width) for i in range(len(vertices))]


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """(4, 2)"""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def circle(radius: float, corners: int = 12) -> np.ndarray:
    """A regular polygon of a circle's area, (corners, 2)."""
    turn = np.arange(corners) * 2 * np.pi / corners
    reach = radius * math.sqrt(2 * math.pi / (corners * math.sin(2 * math.pi / corners)))
    return reach * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def body_shapes(body: Any, number: int, width: float) -> list[Shape]:
    """A Box2D body as pose ``number``: its polygons in ``body.color1`` with lines around them in ``body.color2``, its
    edges as lines in ``body.color1``."""
    shapes = []
    for fixture in body.fixtures:
        vertices = fixture.shape.vertices
        if len(vertices) > 2:
            shapes += [Shape(vertices, body.color1, number), *outline(vertices, body.color2, number, width)]
        else:
            shapes.append(Shape(vertices, body.color1, number, width))
    return shapes


def poses_of(bodies: Sequence[Any]) -> np.ndarray:
    """Poses of Box2D bodies, (1 + B, 3); the first row is the world's own."""
    rows = [(0.0, 0.0, 0.0)]
    for body in bodies:
        x, y = body.position
        rows.append((x, y, body.angle))
    return np.array(rows)


@_compiled
def _fill(canvas, rows, columns, points, starts, colours, bodies, widths, poses, camera):  # pyright: ignore
    """Write each shape's colour into the samples whose centres it holds.

    A line is as wide along the axis it crosses more steeply. One thinner than a sample is drawn a sample wide, and
    lets through what is below it.
    """
    height, width = canvas.shape
    wide = columns * math.hypot(camera[0, 0], camera[0, 1])  # samples per unit of the world
    high = rows * math.hypot(camera[1, 0], camera[1, 1])
    xs, ys, crossings = np.empty(MAX_VERTICES), np.empty(MAX_VERTICES), np.empty(MAX_VERTICES)
    body, a, b, c, d, e, f = -1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for shape in range(len(starts) - 1):
        if bodies[shape] != body:  # from the body's frame to samples: x = a u + b v + c, y = d u + e v + f
            body = bodies[shape]
            x, y, cos, sin = poses[body, 0], poses[body, 1], math.cos(poses[body, 2]), math.sin(poses[body, 2])
            a = columns * (camera[0, 0] * cos + camera[0, 1] * sin)
            b = columns * (camera[0, 1] * cos - camera[0, 0] * sin)
            c = columns * (camera[0, 0] * x + camera[0, 1] * y + camera[0, 2])
            d = rows * (camera[1, 0] * cos + camera[1, 1] * sin)
            e = rows * (camera[1, 1] * cos - camera[1, 0] * sin)
            f = rows * (camera[1, 0] * x + camera[1, 1] * y + camera[1, 2])
        start = starts[shape]
        corners = starts[shape + 1] - start
        for i in range(corners):
            u, v = points[start + i, 0], points[start + i, 1]
            xs[i] = a * u + b * v + c
            ys[i] = d * u + e * v + f
        opacity = 1.0
        if corners == 2:
            steep = abs(ys[1] - ys[0]) * wide > abs(xs[1] - xs[0]) * high
            thickness = widths[shape] * (wide if steep else high)
            opacity = min(thickness, 1.0)
            across = max(thickness, 1.0) / 2 if steep else 0.0
            along = 0.0 if steep else max(thickness, 1.0) / 2
            xs[2], ys[2], xs[3], ys[3] = xs[1] + across, ys[1] + along, xs[0] + across, ys[0] + along
            xs[0], ys[0], xs[1], ys[1] = xs[0] - across, ys[0] - along, xs[1] - across, ys[1] - along
            corners = 4
        left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
        for i in range(corners):
            left, right = min(left, xs[i]), max(right, xs[i])
            top, bottom = min(top, ys[i]), max(bottom, ys[i])
        if right < 0 or left > width or bottom < 0 or top > height:
            continue
        red, green, blue = int(colours[shape, 0]), int(colours[shape, 1]), int(colours[shape, 2])
        colour = np.uint32((red << 16) | (green << 8) | blue)
        for row in range(max(0, math.ceil(top - 0.5)), min(height, math.ceil(bottom - 0.5))):
            middle = row + 0.5
            count = 0
            for i in range(corners):
                j = i + 1 if i + 1 < corners else 0
                if (ys[i] <= middle) != (ys[j] <= middle):
                    crossing = xs[i] + (middle - ys[i]) * (xs[j] - xs[i]) / (ys[j] - ys[i])
                    position = count
                    while position > 0 and crossings[position - 1] > crossing:
                        crossings[position] = crossings[position - 1]
                        position -= 1
                    crossings[position] = crossing
                    count += 1
            samples = canvas[row]
            for i in range(0, count - 1, 2):
                first = max(0, math.ceil(crossings[i] - 0.5))
                last = min(width, math.ceil(crossings[i + 1] - 0.5))
                if opacity == 1.0:
                    if first < last:  # a slice that ends below 0 would be another one
                        samples[first:last] = colour
                else:
                    for column in range(first, last):
                        below = int(samples[column])
                        mixed_red = (below >> 16) + opacity * (red - (below >> 16))
                        mixed_green = ((below >> 8) & 0xFF) + opacity * (green - ((below >> 8) & 0xFF))
                        mixed_blue = (below & 0xFF) + opacity * (blue - (below & 0xFF))
                        samples[column] = (int(mixed_red) << 16) | (int(mixed_green) << 8) | int(mixed_blue)


@_compiled
def _average(canvas, samples, picture):  # pyright: ignore[reportMissingParameterType]
    """Write the mean of each pixel's samples into ``picture``, rounded."""
    height, width, _ = picture.shape
    share = np.float32(1 / (samples * samples))
    half = np.float32(0.5)
    outer = np.empty(width * samples, dtype=np.uint32)  # sums of red and blue, 16 bits each
    inner = np.empty(width * samples, dtype=np.uint32)  # sums of green
    for row in range(height):
        outer[:] = 0
        inner[:] = 0
        for i in range(samples):
            line_ = canvas[row * samples + i]
            for column in range(width * samples):
                outer[column] += line_[column] & np.uint32(0xFF00FF)
                inner[column] += (line_[column] >> np.uint32(8)) & np.uint32(0xFF)
        for column in range(width):
            red_and_blue, green = np.uint32(0), np.uint32(0)
            for i in range(column * samples, (column + 1) * samples):
                red_and_blue += outer[i]
                green += inner[i]
            picture[row, column, 0] = np.uint8(np.float32(red_and_blue >> np.uint32(16)) * share + half)
            picture[row, column, 1] = np.uint8(np.float32(green) * share + half)
            picture[row, column, 2] = np.uint8(np.float32(red_and_blue & np.uint32(0xFFFF)) * share + half)
