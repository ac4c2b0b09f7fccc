"""``env.view=follow``: the window that the agent sees. `test_renderers` compares it with stock Gymnasium's pictures."""

import dataclasses

import cv2
import numpy as np
import pytest

from worldmodels.envs import Task, checked_spec, make_env, task_spec
from worldmodels.envs.window import Window
from worldmodels.utils.errors import ConfigError

RENDERERS = ("fast", "exact", "gymnasium")
HULL = (127, 51, 229)


@pytest.fixture
def walker(compose):
    def made(renderer="fast", view="follow", **values):
        config = compose("env=bipedal_walker", f"env.renderer={renderer}", f"env.view={view}").env
        return make_env(dataclasses.replace(config, **values), pictures=True)

    return made


def actions(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 4)).astype(np.float32)


def place(env, x, y):
    """Move the walker's hull there, and its legs with it."""
    world = env.task.world
    shift = np.array([x, y]) - world.hull.position
    for body in (world.hull, *world.legs):
        body.position = tuple(np.asarray(body.position) + shift)
    world.scroll = x - 4


def hull(frame):
    """Mean row and column of the hull's pixels, and how many there are."""
    rows, columns = np.nonzero(np.abs(frame.astype(int) - HULL).max(axis=-1) < 25)
    return rows.mean(), columns.mean(), len(rows)


@pytest.mark.parametrize("seed", range(4))
def test_a_window_is_the_nearest_to_its_point_that_fits(seed):
    rng = np.random.default_rng(seed)
    pixels = np.arange(9 * 14).reshape(9, 14)
    for column, row in rng.uniform(-5, 20, (40, 2)):
        window = Window.around(column, row, 4, (9, 14))
        places = [(left, top) for left in range(11) for top in range(6)]
        off = [abs(left + 2 - column) + abs(top + 2 - row) for left, top in places]
        assert abs(window.left + 2 - column) + abs(window.top + 2 - row) == pytest.approx(min(off))
        expected = pixels[window.top : window.top + 4][:, window.left : window.left + 4]
        np.testing.assert_array_equal(window.cut(pixels), expected)
        assert window.cut(pixels).shape == (4, 4)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_walker_is_drawn_larger_and_in_the_middle(renderer, walker):
    near, far = walker(renderer), walker(renderer, "whole")
    frames, areas = [env.reset(seed=2)[0] for env in (near, far)], []
    for action in actions(30):
        row, column, area = hull(frames[0])
        areas.append((area, hull(frames[1])[2]))
        assert row == pytest.approx(32, abs=2)  # of its box, not of its point
        assert column == pytest.approx(30, abs=2)  # the picture's left edge is not quite half a window away
        frames = [env.step(action)[0] for env in (near, far)]
    larger, smaller = np.sum(areas, axis=0)
    assert larger / smaller == pytest.approx(600 * 400 / 256**2, rel=0.25)


@pytest.mark.parametrize("renderer", ["fast", "exact"])
@pytest.mark.parametrize(
    ("x", "y", "row", "column"),
    [
        (40, 7, 32, 30),
        (40, 8.5, 32, 30),
        (40, 12, (400 - 360) / 4, 30),  # near the top the window stops, and the hull goes up in it
        (40, 2, 64 - 60 / 4, 30),  # near the bottom too
        (2, 7, 32, 60 / 4),  # left of where the picture scrolls
    ],
)
def test_at_the_pictures_edges_the_window_stops(x, y, row, column, renderer, walker):
    env = walker(renderer)
    env.reset(seed=0)
    place(env, x, y)
    frame = env.look()
    assert hull(frame)[:2] == pytest.approx((row, column), abs=2.5)


def test_people_see_the_whole_picture(walker):
    for renderer in RENDERERS:
        near, far = walker(renderer), walker(renderer, "whole")
        for env in (near, far):
            env.reset(seed=3)
        for action in actions(5):
            np.testing.assert_array_equal(near.render(), far.render())
            assert near.render().shape == (400, 600, 3)
            near.step(action), far.step(action)


def test_the_view_changes_pictures_alone(walker):
    near, far = walker(), walker(view="whole")
    frames = [env.reset(seed=4)[0] for env in (near, far)]
    for action in actions(40):
        assert (frames[0] != frames[1]).any()
        np.testing.assert_array_equal(near.state(), far.state())
        (frames[0], *ours, _), (frames[1], *theirs, _) = near.step(action), far.step(action)
        assert ours == theirs


def test_views_drawn_in_turns_do_not_see_each_other(walker, compose):
    """They share a canvas, with other tasks too."""

    def watch(*envs):
        frames = [[env.reset(seed=5)[0] for env in envs]]
        frames += [[env.step(action[: env.task_spec.action_size])[0] for env in envs] for action in actions(8)]
        return list(zip(*frames, strict=True))

    def cast():
        return walker(), walker(view="whole"), make_env(compose("env=lunar_lander").env)

    alone = [frames for env in cast() for frames in watch(env)]
    np.testing.assert_array_equal(watch(*cast()), alone)


@pytest.mark.parametrize("crop", [0.125, 0.25])
def test_cropping_is_of_what_the_window_shows(crop, walker):
    ours, theirs, uncropped = walker(crop_bottom=crop), walker("exact", crop_bottom=crop), walker("exact")
    frame, expected, _ = (env.reset(seed=6)[0] for env in (ours, theirs, uncropped))
    window = uncropped.task.window().cut(uncropped.render())
    by_hand = cv2.resize(window[: round(256 * (1 - crop))], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(expected, by_hand)
    assert np.abs(frame.astype(int) - expected).mean() < 1.2


@pytest.mark.parametrize("name", ["lunar_lander", "car_racing", "pendulum"])
def test_a_task_without_a_window_is_refused(name, compose):
    config = compose(f"env={name}", "env.view=follow").env
    for check in (checked_spec, task_spec, make_env):
        with pytest.raises(ConfigError, match=rf"^env\.view=follow .*env\.name={name}: expected .*env\.view=whole$"):
            check(config)


class Followed(Task):
    """A task of one's own, which has a window and no scene."""

    follows = True

    def window(self):
        return Window(100, 20, 50, 30)


def test_a_task_of_ones_own_may_have_a_window(compose, monkeypatch):
    monkeypatch.setattr("worldmodels.envs.lunar_lander.LunarLander", Followed)
    near, far = (
        make_env(compose("env=lunar_lander", "env.renderer=gymnasium", f"env.view={view}").env, pictures=True)
        for view in ("follow", "whole")
    )
    frame, _ = near.reset(seed=1)
    far.reset(seed=1)
    expected = cv2.resize(far.render()[20:50, 100:150], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(frame, expected)


def test_the_data_of_one_view_is_not_that_of_another(compose):
    from worldmodels.utils.settings import counted

    configs = [compose("env=bipedal_walker", f"env.view={view}").env for view in ("whole", "follow")]
    for stage in ("collect", "heldout", "controller", "evaluate"):
        whole, followed = (counted(config, stage) for config in configs)
        assert "view" not in whole
        assert followed == {**whole, "view": "follow"}


@pytest.mark.parametrize("renderer", ["fast", "gymnasium"])
@pytest.mark.parametrize("window", [(-1, 0, 9, 9), (592, 0, 9, 9), (0, 392, 9, 9), (10, 10, 0, 9), (10, 10, 9, -1)])
def test_a_window_beyond_the_picture_is_refused(renderer, window, walker, monkeypatch):
    env = walker(renderer)
    monkeypatch.setattr(env.task, "window", lambda: Window(*window))
    with pytest.raises(ConfigError, match=r"on a picture of 600×400: expected a window within it"):
        env.reset(seed=0)
    env.close()
