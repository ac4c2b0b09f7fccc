"""The rasteriser against plain NumPy: what is inside a shape, sample by sample, and what a line covers."""

import itertools
import math

import Box2D
import numpy as np
import pytest

from worldmodels.envs.raster import (
    MAX_SAMPLES,
    MAX_VERTICES,
    Canvas,
    Shape,
    Shapes,
    body_shapes,
    circle,
    outline,
    packed,
    poses_of,
    rectangle,
)

HEIGHT, WIDTH = 40, 56
STILL = np.zeros((1, 3))  # the pose of the world itself
UNIT = np.eye(2, 3)  # the camera that leaves the unit square as it is
WHITE = (255, 255, 255)


def convex(rng):
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, MAX_VERTICES + 1)))
    return np.stack([rng.uniform(0.1, 1) * np.cos(angles), rng.uniform(0.1, 1) * np.sin(angles)], axis=1)


def concave(rng):
    corners = rng.integers(4, MAX_VERTICES + 1)
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    return rng.uniform(0.05, 1, (corners, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def crossing_itself(rng):
    return rng.uniform(-1, 1, (rng.integers(4, MAX_VERTICES + 1), 2))


KINDS = {"convex": convex, "concave": concave, "crossing itself": crossing_itself}


def random_camera(rng):
    """Any scale, turn and shear, with the world's origin anywhere in the picture or a little outside."""
    return np.hstack([rng.normal(0, 0.4, (2, 2)), rng.uniform(-0.2, 1.2, (2, 1))])


def random_poses(rng, count):
    return np.column_stack([rng.normal(0, 0.3, (count, 2)), rng.uniform(-7, 7, count)])


def in_samples(points, pose, camera, rows, columns):
    """Where the points of a body lie, in samples from the upper left corner."""
    x, y, angle = pose
    turned = np.asarray(points) @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    seen = (turned + np.array([x, y])) @ camera[:, :2].T + camera[:, 2]
    return seen * (columns, rows)


def centres(height, width):
    return np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)


def inside(corners, height, width):
    """Which sample centres the even-odd rule puts inside: those in an odd number of the triangles of a fan."""
    x, y = centres(height, width)
    odd = np.zeros((height, width), dtype=bool)
    for here, there in itertools.pairwise(corners[1:]):
        triangle = (corners[0], here, there)
        sides = []
        for (x1, y1), (x2, y2) in zip(triangle, (here, there, corners[0]), strict=True):
            sides.append((x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) > 0)
        odd ^= (sides[0] == sides[1]) & (sides[1] == sides[2])
    return odd


def painted(shapes, poses, camera, height=HEIGHT, width=WIDTH, rows=None):
    """What polygons drawn one after the other leave, a sample a pixel."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    for shape in shapes:
        corners = in_samples(shape.points, poses[shape.body], camera, rows or height, width)
        picture[inside(corners, height, width)] = shape.colour
    return picture


def drawn(shapes, poses=STILL, camera=UNIT, height=HEIGHT, width=WIDTH, samples=1, visible_share=1.0):
    canvas = Canvas(height, width, samples, visible_share)
    canvas.draw(Shapes.of(shapes), poses, camera)
    return canvas.image()


@pytest.mark.parametrize("kind", KINDS)
def test_a_polygon_fills_the_samples_inside_it(kind):
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(40):
        shape = Shape(KINDS[kind](rng), rng.integers(1, 256, 3), 0)
        poses, camera = random_poses(rng, 1), random_camera(rng)
        expected = painted([shape], poses, camera)
        np.testing.assert_array_equal(drawn([shape], poses, camera), expected)
        covered.append(expected.any(axis=-1).mean())
    assert sum(0.02 < share < 0.9 for share in covered) > 10  # not all of them empty or full


def test_later_shapes_cover_earlier_ones_whatever_bodies_they_belong_to():
    rng = np.random.default_rng(1)
    for _ in range(15):
        shapes = [
            Shape(KINDS[kind](rng), rng.integers(0, 256, 3), int(rng.integers(4)))
            for kind in rng.choice(list(KINDS), 12)
        ]
        poses, camera = random_poses(rng, 4), random_camera(rng)
        np.testing.assert_array_equal(drawn(shapes, poses, camera), painted(shapes, poses, camera))


def test_order_matters_only_where_shapes_overlap():
    left, right = rectangle(0, 0, 0.6, 1), rectangle(0.4, 0, 1, 1)
    red, blue = (255, 0, 0), (0, 0, 255)
    one, other = drawn([Shape(left, red), Shape(right, blue)]), drawn([Shape(right, blue), Shape(left, red)])
    assert (one[:, : round(0.4 * WIDTH)] == red).all()
    assert (other[:, : round(0.6 * WIDTH)] == red).all()
    np.testing.assert_array_equal(one[:, round(0.6 * WIDTH) :], other[:, round(0.6 * WIDTH) :])


def test_shapes_partly_and_wholly_outside():
    rng = np.random.default_rng(2)
    empty = 0
    for _ in range(200):
        away = rng.choice([-1.4, -0.6, 0.5, 1.6, 2.4], 2)
        kind = KINDS[rng.choice(list(KINDS))]
        shape = Shape(kind(rng) * rng.choice([0.3, 3]) + away, WHITE)
        expected = painted([shape], STILL, UNIT)
        np.testing.assert_array_equal(drawn([shape]), expected)
        empty += not expected.any()
    assert 20 < empty < 180


def test_a_shape_far_larger_than_the_picture_fills_it():
    assert (drawn([Shape(rectangle(-1e6, -1e6, 1e6, 1e6), WHITE)]) == 255).all()


@pytest.mark.parametrize("far", [-1e6, -1.0, 1.0, 1e6])
def test_a_shape_beside_the_picture_leaves_nothing(far):
    for aside in ((far, 0), (0, far), (far, far)):
        assert not drawn([Shape(rectangle(0, 0, 1, 1) + aside, WHITE)]).any()


def test_a_shape_without_area_leaves_nothing():
    assert not drawn([Shape(np.full((4, 2), 0.5), WHITE), Shape([(0.1, 0.1), (0.9, 0.9), (0.1, 0.1)], WHITE)]).any()


@pytest.mark.parametrize("at", [0.5, 0.501, 0.37, 20.5 / 56, 20 / 56])
def test_neighbours_leave_no_gap_and_do_not_overlap(at):
    """Also where their common side runs through centres of samples."""
    pairs = [(rectangle(0, 0, at, 1), rectangle(at, 0, 1, 1)), (rectangle(0, 0, 1, at), rectangle(0, at, 1, 1))]
    pairs.append(([(0, 0), (at, 0), (1 - at, 1), (0, 1)], [(at, 0), (1, 0), (1, 1), (1 - at, 1)]))
    for height, width in ((HEIGHT, WIDTH), (56, 56)):
        for one, other in pairs:
            first, second = (drawn([Shape(half, WHITE)], height=height, width=width) > 0 for half in (one, other))
            assert (first != second).all()


def test_more_vertices_than_the_rasteriser_has_room_for_are_refused():
    Shapes.of([Shape(circle(1, MAX_VERTICES), WHITE)])
    with pytest.raises(ValueError, match=rf"{MAX_VERTICES + 1} vertices: expected {MAX_VERTICES} at most"):
        Shapes.of([Shape(circle(1, MAX_VERTICES + 1), WHITE)])


def test_more_samples_than_can_be_summed_are_refused():
    with pytest.raises(ValueError, match=rf"{MAX_SAMPLES + 1} samples .*expected {MAX_SAMPLES} at most"):
        Canvas(2, 2, MAX_SAMPLES + 1)


def test_fractions_of_colours_are_cut_off():
    assert (drawn([Shape(rectangle(0, 0, 1, 1), (10.99, 0.5, 254.999))]) == (10, 0, 254)).all()


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5, MAX_SAMPLES])
def test_a_pixel_is_the_rounded_mean_of_its_samples(samples):
    rng = np.random.default_rng(samples)
    values = rng.integers(0, 256, (7 * samples, 9 * samples, 3), dtype=np.uint8)
    values[: 2 * samples] = 255  # the largest sums
    canvas = Canvas(7, 9, samples)
    canvas.paste(packed(values))
    sums = values.astype(int).reshape(7, samples, 9, samples, 3).sum(axis=(1, 3))
    expected = (2 * sums + samples**2) // (2 * samples**2)
    np.testing.assert_array_equal(canvas.image(), expected)


def test_a_halved_pixel_is_grey():
    assert (drawn([Shape(rectangle(0, 0, 0.5, 1), WHITE)], width=1, height=1, samples=4) == 128).all()


def test_finer_samples_come_nearer_to_the_true_area():
    shape = Shape([(0.13, 0.21), (0.92, 0.4), (0.35, 0.88)], WHITE)
    (x1, y1), (x2, y2), (x3, y3) = shape.points
    area = abs((x2 - x1) * (y3 - y1) - (x3 - x1) * (y2 - y1)) / 2
    for samples, tolerance in ((1, 0.02), (4, 0.003)):
        assert drawn([shape], height=64, width=64, samples=samples).mean() / 255 == pytest.approx(area, abs=tolerance)


@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize("visible_share", [0.875, 0.75, 0.5])
def test_a_canvas_that_keeps_a_share_holds_the_upper_part(visible_share, samples):
    rng = np.random.default_rng(3)
    for _ in range(10):
        shapes = [Shape(concave(rng), rng.integers(0, 256, 3)), Shape(rng.uniform(-1, 1, (2, 2)), WHITE, 0, 0.02)]
        poses, camera = random_poses(rng, 1), random_camera(rng)
        whole = drawn(shapes, poses, camera, height=64, width=48, samples=samples)
        upper = drawn(
            shapes,
            poses,
            camera,
            height=round(64 * visible_share),
            width=48,
            samples=samples,
            visible_share=visible_share,
        )
        np.testing.assert_array_equal(upper, whole[: round(64 * visible_share)])


def test_a_canvas_may_show_the_kept_share_larger():
    """As frames do: as many rows as without cropping, each of them lower."""
    rng = np.random.default_rng(4)
    shape = Shape(concave(rng), WHITE)
    camera = random_camera(rng)
    canvas = Canvas(HEIGHT, WIDTH, 1, 0.8)
    canvas.draw(Shapes.of([shape]), STILL, camera)
    assert canvas.rows == pytest.approx(HEIGHT / 0.8)
    np.testing.assert_array_equal(canvas.image(), painted([shape], STILL, camera, rows=canvas.rows))


@pytest.mark.parametrize("part", [(0.25, 0.5, 0.5, 0.25), (0.0, 0.0, 0.5, 0.5), (0.75, 0.125, 0.25, 0.125)])
def test_a_canvas_may_show_a_part(part):
    """The part of a canvas that is as many times larger, lines included."""
    left, top, width, height = part
    rows, columns = round(HEIGHT / height), round(WIDTH / width)
    rng = np.random.default_rng(14)
    for _ in range(15):
        shapes = [Shape(concave(rng), rng.integers(0, 256, 3)), Shape(rng.uniform(-1, 1, (2, 2)), WHITE, 0, 0.1)]
        poses, camera = random_poses(rng, 1), random_camera(rng)
        whole = drawn(shapes, poses, camera, height=rows, width=columns)
        canvas = Canvas(HEIGHT, WIDTH, 1)
        canvas.show(part)
        canvas.draw(Shapes.of(shapes), poses, camera)
        first_row, first_column = round(top * rows), round(left * columns)
        expected = whole[first_row : first_row + HEIGHT, first_column : first_column + WIDTH]
        np.testing.assert_array_equal(canvas.image(), expected)
        canvas.show(None)
        canvas.clear()
        canvas.draw(Shapes.of(shapes), poses, camera)
        np.testing.assert_array_equal(canvas.image(), drawn(shapes, poses, camera))


def test_a_stamp_lies_at_the_left_edge_so_many_rows_down():
    rng = np.random.default_rng(5)
    stamp = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    canvas = Canvas(10, 12, 1)
    canvas.stamp(packed(stamp), 3)
    expected = np.zeros((10, 12, 3), dtype=np.uint8)
    expected[3:7, :6] = stamp
    np.testing.assert_array_equal(canvas.image(), expected)


@pytest.mark.parametrize(("top", "shown"), [(6, 4), (8, 2), (9, 1), (10, 0), (15, 0)])
def test_of_a_stamp_only_what_is_on_the_canvas_is_kept(top, shown):
    stamp = np.random.default_rng(13).integers(1, 256, (4, 6, 3), dtype=np.uint8)
    canvas = Canvas(10, 12, 1)
    canvas.stamp(packed(stamp), top)
    np.testing.assert_array_equal(canvas.image()[10 - shown :, :6], stamp[:shown])
    assert (canvas.image() > 0).sum() == shown * 6 * 3


def test_stamped_samples_are_averaged_like_others():
    stamp = np.zeros((2, 2, 3), dtype=np.uint8)
    stamp[0] = (200, 100, 40)
    canvas = Canvas(3, 3, 2)
    canvas.stamp(packed(stamp), 2)
    assert canvas.image()[1, 0].tolist() == [100, 50, 20]
    assert canvas.image().sum() == 170


def test_packing_keeps_every_colour():
    picture = np.random.default_rng(6).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    canvas = Canvas(HEIGHT, WIDTH, 1)
    canvas.paste(packed(picture))
    np.testing.assert_array_equal(canvas.image(), picture)


def on_a_line(ends, width, height, columns):
    """Sample centres on a line as wide as ``width`` samples along the axis that it crosses more steeply."""
    (x1, y1), (x2, y2) = ends
    x, y = centres(height, columns)
    if abs(y2 - y1) > abs(x2 - x1):
        x, y, x1, y1, x2, y2 = y, x, y1, x1, y2, x2
    middle = y1 + (x - x1) * (y2 - y1) / (x2 - x1)
    return (np.minimum(x1, x2) < x) & (x < np.maximum(x1, x2)) & (np.abs(y - middle) < width / 2)


@pytest.mark.parametrize("width", [1.0, 1.7, 5.0, 12.0])
def test_a_line_is_as_wide_as_asked_for(width):
    rng = np.random.default_rng(7)
    for _ in range(30):
        ends = rng.uniform(-10, 66, (2, 2))
        picture = drawn([Shape(ends / 56, WHITE, 0, width / 56)], height=56, width=56)
        np.testing.assert_array_equal(picture[..., 0] == 255, on_a_line(ends, width, 56, 56))


ENDS = {
    "across": ((10, 50.3), (190, 50.3)),
    "down": ((100.6, 180), (100.6, 20)),
    "rising": ((20, 180), (180, 20)),
    "falling": ((20, 20), (180, 180)),
    "gentle": ((10, 60), (190, 97)),
    "steep": ((60, 190), (97, 10)),
}


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("width", [0.1, 0.5, 0.99, 1.0, 2.5, 7.0])
@pytest.mark.parametrize("ends", ENDS)
def test_a_line_covers_its_longer_extent_times_its_width(ends, width, samples):
    """Which for lines across and down is their area, be they thinner or thicker than a sample; on average over places
    between two samples."""
    covered = []
    for i in range(41):
        shift = (i / 41, 7 * i / 41 % 1)  # spreads evenly across lines of every direction
        line = Shape((np.array(ENDS[ends]) + shift) / 200, WHITE, 0, width / 200)
        picture = drawn([line], height=200 // samples, width=200 // samples, samples=samples)
        covered.append(picture[..., 0].sum() / 255 * samples**2)
    (x1, y1), (x2, y2) = ENDS[ends]
    assert np.mean(covered) == pytest.approx(max(abs(x2 - x1), abs(y2 - y1)) * width, rel=0.06 if width < 0.5 else 0.01)


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("opacity", [0.0, 0.1, 0.5, 0.9])
def test_a_line_thinner_than_a_sample_lets_through_what_is_below(ends, opacity):
    below, colour = np.array((200, 40, 100)), np.array((20, 240, 100))
    line = Shape(np.array(ENDS[ends]) / 200, colour, 0, opacity / 200)
    picture = drawn([Shape(rectangle(0, 0, 1, 1), below), line], height=200, width=200)
    mixed = below + opacity * (colour - below)
    touched = np.abs(picture.astype(int) - below).max(axis=-1) > 1
    if opacity:
        assert np.abs(picture[touched] - mixed).max() <= 1
        length = np.abs(np.diff(ENDS[ends], axis=0)).max()
        assert touched.sum() == pytest.approx(length, abs=1)
    else:
        np.testing.assert_array_equal(picture, np.broadcast_to(below, picture.shape))


def test_the_width_of_a_line_follows_the_camera():
    ends = [(0.1, 0.5), (0.9, 0.5)]
    for zoom in (0.5, 1, 2, 4):
        camera = np.array([[1, 0, 0], [0, zoom, 0.5 - 0.5 * zoom]])  # as long, and ``zoom`` times as wide
        picture = drawn([Shape(ends, WHITE, 0, 0.1)], camera=camera, height=200, width=100)
        assert (picture[..., 0] > 0).sum() == pytest.approx(80 * 20 * zoom, rel=0.02)


def test_the_width_of_a_line_follows_a_turned_camera():
    for angle in (0.0, math.pi / 2, math.pi, -math.pi / 2):
        cos, sin = 2 * math.cos(angle), 2 * math.sin(angle)
        camera = np.array([[cos, -sin, 0.5], [sin, cos, 0.5]])
        picture = drawn([Shape([(-0.1, 0), (0.1, 0)], WHITE, 0, 0.05)], camera=camera, height=100, width=100)
        assert (picture[..., 0] > 0).sum() == pytest.approx(40 * 10, abs=1)


def test_the_width_of_a_line_does_not_depend_on_its_bodys_turn():
    shape = Shape([(-0.2, 0), (0.2, 0)], WHITE, 0, 0.05)
    for angle in (0.0, 0.5 * math.pi, 1.5 * math.pi):
        picture = drawn([shape], np.array([(0.5, 0.5, angle)]), height=100, width=100)
        assert (picture[..., 0] > 0).sum() == pytest.approx(40 * 5, abs=1)


def test_a_line_without_length_leaves_nothing():
    assert not drawn([Shape([(0.5, 0.5), (0.5, 0.5)], WHITE, 0, 0.2)]).any()


@pytest.mark.parametrize("corners", [3, 5, 12, 16])
def test_a_circle_has_the_area_of_one(corners):
    points = circle(0.3, corners)
    x, y = points.T
    assert points.shape == (corners, 2)
    assert abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2 == pytest.approx(math.pi * 0.3**2)
    np.testing.assert_allclose(np.hypot(x, y), np.hypot(x, y)[0])
    share = drawn([Shape(points + 0.5, WHITE)], height=64, width=64, samples=4).mean() / 255
    if corners > 3:  # a triangle reaches beyond the picture
        assert share == pytest.approx(math.pi * 0.3**2, rel=0.01)


def test_the_first_shapes_are_drawn_alone():
    rng = np.random.default_rng(8)
    shapes = [Shape(convex(rng) + 0.5, rng.integers(0, 256, 3)) for _ in range(5)]
    every = Shapes.of(shapes)
    for count in range(6):
        canvas = Canvas(HEIGHT, WIDTH, 1)
        canvas.draw(every.first(count), STILL, UNIT)
        np.testing.assert_array_equal(canvas.image(), painted(shapes[:count], STILL, UNIT))


def test_shapes_can_be_changed_in_place_and_first_shares_them():
    shapes = Shapes.of([Shape(rectangle(0, 0, 0.5, 1), WHITE), Shape(rectangle(0.5, 0, 1, 1), WHITE)])
    canvas, first = Canvas(2, 2, 1), shapes.first(1)
    shapes.colours[0] = (10, 20, 30)
    shapes.points[:4] = rectangle(0, 0, 1, 0.5)
    canvas.draw(first, STILL, UNIT)
    assert (canvas.image()[0] == (10, 20, 30)).all()
    assert not canvas.image()[1].any()


def test_a_pasted_copy_brings_everything_back():
    rng = np.random.default_rng(9)
    canvas = Canvas(HEIGHT, WIDTH, 2)
    canvas.draw(Shapes.of([Shape(convex(rng) + 0.5, (9, 99, 199))]), STILL, UNIT)
    copy, before = canvas.copy(), canvas.image()
    canvas.draw(Shapes.of([Shape(rectangle(0, 0, 1, 0.7), WHITE)]), STILL, UNIT)
    assert (canvas.image() != before).any()
    canvas.paste(copy)
    np.testing.assert_array_equal(canvas.image(), before)
    canvas.clear()  # the copy is not the canvas
    canvas.paste(copy)
    np.testing.assert_array_equal(canvas.image(), before)


def test_a_cleared_canvas_holds_nothing_of_the_last_picture():
    rng = np.random.default_rng(10)
    canvas = Canvas(HEIGHT, WIDTH, 3)
    pictures = []
    for _ in range(6):
        shapes = [Shape(crossing_itself(rng) + 0.5, rng.integers(0, 256, 3)), Shape(rng.random((2, 2)), WHITE, 0, 0.01)]
        canvas.clear()
        canvas.draw(Shapes.of(shapes), STILL, UNIT)
        pictures.append((canvas.image(), drawn(shapes, samples=3)))
    for image, alone in pictures:  # and a picture is not the canvas
        np.testing.assert_array_equal(image, alone)
    canvas.clear()
    assert not canvas.image().any()


def test_drawing_leaves_shapes_poses_and_camera_as_they_are():
    rng = np.random.default_rng(11)
    shapes = Shapes.of([Shape(convex(rng), WHITE, 1), Shape(rng.random((2, 2)), WHITE, 0, 0.1)])
    poses, camera = random_poses(rng, 2), random_camera(rng)
    given = (shapes.points, shapes.starts, shapes.colours, shapes.bodies, shapes.widths, poses, camera)
    copies = [each.copy() for each in given]
    Canvas(HEIGHT, WIDTH, 2).draw(shapes, poses, camera)
    for before, now in zip(copies, given, strict=True):
        np.testing.assert_array_equal(now, before)


def test_an_outline_goes_around_once():
    corners = rectangle(0.25, 0.25, 0.75, 0.75)
    lines = outline(corners, WHITE, 0, 0.02)
    assert {frozenset(map(tuple, line.points)) for line in lines} == {
        frozenset({tuple(corners[i]), tuple(corners[(i + 1) % 4])}) for i in range(4)
    }
    picture = drawn(lines, height=100, width=100)[..., 0] > 0
    assert picture.sum() == pytest.approx(4 * 50 * 2, rel=0.05)
    assert not picture[30:70, 30:70].any()


def test_bodies_are_drawn_where_box2d_has_them():
    world = Box2D.b2World()
    rng = np.random.default_rng(12)
    bodies = []
    for i in range(3):
        body = world.CreateDynamicBody(position=rng.uniform(0.2, 0.8, 2).tolist(), angle=float(rng.uniform(-5, 5)))
        body.CreatePolygonFixture(vertices=[(-0.2, -0.1), (0.2, -0.1), (0.1 + 0.05 * i, 0.15)])
        body.color1 = body.color2 = (50, 100, 60 * i + 60)
        bodies.append(body)
    shapes = [body_shapes(body, number, 0.0)[0] for number, body in enumerate(bodies, 1)]
    placed = [
        Shape([body.GetWorldPoint(vertex) for vertex in body.fixtures[0].shape.vertices], body.color1)
        for body in bodies
    ]
    picture = drawn(shapes, poses_of(bodies))
    assert (picture != painted(placed, STILL, UNIT)).any(axis=-1).sum() <= 2  # Box2D reckons in single precision
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 4


def test_a_body_is_filled_in_its_first_colour_and_lined_in_its_second():
    world = Box2D.b2World()
    body = world.CreateStaticBody()
    body.CreatePolygonFixture(box=(0.3, 0.2, (0.5, 0.5), 0))
    body.CreateEdgeFixture(vertices=[(0.1, 0.1), (0.9, 0.1)])
    body.color1, body.color2 = (10, 20, 30), (200, 210, 220)
    shapes = body_shapes(body, 0, 0.02)
    assert [len(shape.points) for shape in shapes] == [4, 2, 2, 2, 2, 2]
    picture = drawn(shapes, height=100, width=100)
    assert picture[50, 50].tolist() == [10, 20, 30]
    assert picture[30, 50].tolist() == picture[50, 20].tolist() == [200, 210, 220]
    assert picture[10, 50].tolist() == [10, 20, 30]
