"""Tasks seen from pixels, against stock Gymnasium stepped with the same seed and actions."""

import dataclasses
import math

import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodels.envs import PixelEnv, make_env, task_spec
from worldmodels.utils.errors import ConfigError

TASKS = ("car_racing", "lunar_lander", "bipedal_walker")
STOCK_PIXELS = ("gymnasium", "exact")  # renderers whose pixels are Gymnasium's own
OBSERVED = {"lunar_lander": 8, "bipedal_walker": 24}  # values of the observation that Gymnasium gives instead of pixels


def stock(config, render_mode="rgb_array"):
    return gymnasium.make(config.id, render_mode=render_mode, **config.kwargs)


def scaled(picture):
    return cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)


def random_actions(space, count):
    return np.random.default_rng(1).uniform(space.low, space.high, (count, *space.shape)).astype(np.float32)


@pytest.mark.parametrize("renderer", STOCK_PIXELS)
@pytest.mark.parametrize("name", TASKS)
def test_frames_rewards_and_ends_are_stock_gymnasiums(name, renderer, compose):
    config = compose(f"env={name}", f"env.renderer={renderer}").env
    ours, theirs = make_env(config), stock(config)
    frame, _ = ours.reset(seed=5)
    observation, _ = theirs.reset(seed=5)
    for action in random_actions(theirs.action_space, 25):
        picture = observation if name == "car_racing" else theirs.render()
        np.testing.assert_array_equal(frame, scaled(picture))
        frame, *ours_after, _ = ours.step(action)
        observation, *theirs_after, _ = theirs.step(action)
        assert ours_after == theirs_after  # reward, terminated, truncated


@pytest.mark.parametrize("renderer", ["exact", "fast"])
@pytest.mark.parametrize("name", OBSERVED)
def test_drawing_does_not_change_the_task(name, renderer, compose):
    config = compose(f"env={name}", f"env.renderer={renderer}").env
    ours, theirs = make_env(config), stock(config, render_mode=None)
    ours.reset(seed=2)
    observation, _ = theirs.reset(seed=2)
    done, steps = False, 0
    for action in random_actions(theirs.action_space, 90):
        np.testing.assert_array_equal(ours.state()[: OBSERVED[name]], observation)
        _, *ours_after, _ = ours.step(action)
        observation, *theirs_after, _ = theirs.step(action)
        assert ours_after == theirs_after
        steps += 1
        if done := theirs_after[1] or theirs_after[2]:
            break
    assert done or steps == 90


@pytest.mark.parametrize("renderer", ["gymnasium", "fast"])
@pytest.mark.parametrize("name", TASKS)
def test_an_observation_is_a_picture_and_the_state_is_asked_for(name, renderer, compose):
    env = make_env(compose(f"env={name}", f"env.renderer={renderer}").env)
    names = env.task_spec.state_names
    assert len(set(names)) == len(names)
    for observe in (lambda: env.reset(seed=1), lambda: env.step(np.zeros(env.task_spec.action_size, np.float32))[::4]):
        frame, info = observe()
        assert frame.shape == (64, 64, 3)
        assert frame.dtype == np.uint8
        assert env.observation_space.contains(frame)
        assert frame.std() > 0
        assert "state" not in info
        assert env.state().shape == (len(names),)
        assert env.state().dtype == np.float32
        assert np.isfinite(env.state()).all()


def test_state_of_the_walker_ends_with_the_hulls_position(compose):
    env = make_env(compose("env=bipedal_walker").env)
    env.reset(seed=0)
    assert env.task_spec.state_names[-2:] == ("hull_x", "hull_y")
    np.testing.assert_allclose(env.state()[-2:], env.env.unwrapped.hull.position, rtol=1e-6)


@pytest.mark.parametrize("renderer", STOCK_PIXELS)
@pytest.mark.parametrize(("name", "rows", "kept"), [("car_racing", 96, 84), ("bipedal_walker", 400, 350)])
def test_crop_bottom_cuts_the_lowest_rows(name, rows, kept, renderer, compose):
    config = compose(f"env={name}", "env.crop_bottom=0.125", f"env.renderer={renderer}").env
    theirs = stock(config)
    observation, _ = theirs.reset(seed=3)
    picture = observation if name == "car_racing" else theirs.render()
    assert len(picture) == rows
    frame, _ = make_env(config).reset(seed=3)
    np.testing.assert_array_equal(frame, scaled(picture[:kept]))


@pytest.mark.parametrize("name", TASKS)
def test_bounds_and_frame_rate_are_the_tasks_own(name, compose):
    config = compose(f"env={name}").env
    spec, theirs = task_spec(config), stock(config)
    np.testing.assert_array_equal(spec.action_low, theirs.action_space.low)
    np.testing.assert_array_equal(spec.action_high, theirs.action_space.high)
    assert spec.action_size == {"car_racing": 3, "lunar_lander": 2, "bipedal_walker": 4}[name]
    assert spec.fps == theirs.metadata["render_fps"]


@pytest.mark.parametrize("renderer", STOCK_PIXELS)
@pytest.mark.parametrize("name", TASKS)
def test_people_get_the_large_picture(name, renderer, compose):
    config = compose(f"env={name}", f"env.renderer={renderer}").env
    env, theirs = make_env(config, pictures=True), stock(config)
    frame, _ = env.reset(seed=4)
    theirs.reset(seed=4)
    picture = env.render()
    np.testing.assert_array_equal(picture, theirs.render())
    assert picture.shape == (400, 600, 3)
    assert frame.shape == (64, 64, 3)


@pytest.mark.parametrize("renderer", ["gymnasium", "fast"])
@pytest.mark.parametrize("name", TASKS)
def test_the_large_picture_does_not_change_what_the_agent_sees(name, renderer, compose):
    """Gymnasium's own render() moves the walker's lidar beam and fades the lander's flames."""
    config = compose(f"env={name}", f"env.renderer={renderer}").env
    shown, plain = make_env(config, pictures=True), make_env(config)
    pairs = [(shown.reset(seed=6)[0], plain.reset(seed=6)[0])]
    for action in random_actions(shown.action_space, 12):
        shown.render()
        pairs.append((shown.step(action)[0], plain.step(action)[0]))
    for seen, expected in pairs:
        np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("renderer", ["gymnasium", "exact", "fast"])
@pytest.mark.parametrize("name", TASKS)
def test_a_large_picture_has_to_be_provided_for_and_looked_at(name, renderer, compose):
    config = compose(f"env={name}", f"env.renderer={renderer}").env
    env = make_env(config)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="pictures=True"):
        env.render()
    env = make_env(config, pictures=True)
    for _ in range(2):
        env.begin(seed=0)
        with pytest.raises(RuntimeError, match="look"):
            env.render()
        env.look()
        assert env.render().shape == (400, 600, 3)


def ends(env: PixelEnv, limit: int) -> list[tuple[bool, bool]]:
    """(terminated, truncated) of each step until the episode ends, under zero actions."""
    env.reset(seed=0)
    rows: list[tuple[bool, bool]] = []
    while len(rows) < limit and not any(rows[-1] if rows else ()):
        rows.append(env.step(np.zeros(env.task_spec.action_size, np.float32))[2:4])
    return rows


def test_max_steps_truncates_and_does_not_terminate(compose):
    rows = ends(make_env(compose("env=lunar_lander").env, max_steps=7), limit=50)
    assert rows == [(False, False)] * 6 + [(False, True)]


def test_a_crash_terminates_and_does_not_truncate(compose):
    config = compose("env=lunar_lander").env
    rows = ends(make_env(config), limit=500)
    assert rows[-1] == (True, False)
    assert set(rows[:-1]) == {(False, False)}
    assert ends(make_env(config, max_steps=len(rows)), limit=500) == rows  # crashing in the very last step allowed


@pytest.mark.parametrize("max_steps", [None, 1000])
def test_without_max_steps_the_tasks_own_limit_holds(max_steps, compose):
    config = compose("env=lunar_lander", "+env.kwargs.max_episode_steps=9").env
    assert ends(make_env(config, max_steps=max_steps), limit=50) == [(False, False)] * 8 + [(False, True)]


@pytest.mark.parametrize("name", TASKS)
def test_a_reset_starts_the_count_of_steps_anew(name, compose):
    env = make_env(compose(f"env={name}").env, max_steps=2)
    assert ends(env, limit=5) == ends(env, limit=5) == [(False, False), (False, True)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("renderer", ["exact", "fast"])
@pytest.mark.parametrize("name", TASKS)
def test_gymnasiums_own_check_passes(name, renderer, compose):
    env = make_env(compose(f"env={name}", f"env.renderer={renderer}").env)
    check_env(env, skip_render_check=True)
    assert env.reset(seed=1)[0].shape == (64, 64, 3)  # still usable


@pytest.mark.parametrize("unknown", ["CarRacing-v99", "NoSuchTask-v0"])
def test_an_unknown_id_is_refused(unknown, compose):
    config = dataclasses.replace(compose("env=car_racing").env, id=unknown)
    with pytest.raises(ConfigError, match=rf"env.id={unknown} .*expected") as caught:
        make_env(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", TASKS)
@pytest.mark.parametrize("name", TASKS)
def test_an_id_of_another_task_is_refused(name, other, compose):
    theirs = compose(f"env={other}").env
    config = dataclasses.replace(compose(f"env={name}").env, id=theirs.id, kwargs=theirs.kwargs, squash=[])
    if name == other:
        make_env(config).reset()
    else:
        with pytest.raises(ConfigError, match=rf"env\.name={name} .*env\.id={theirs.id}") as caught:
            make_env(config).reset()
        assert "\n" not in str(caught.value)


def test_an_argument_that_the_task_does_not_take_is_refused(compose):
    with pytest.raises(ConfigError, match="domain_randomise"):
        make_env(compose("env=car_racing", "+env.kwargs.domain_randomise=true").env)


class CarState:
    """CarRacing's state by name, read at a place where the test puts the car."""

    def __init__(self, config, seed=0):
        self.env = make_env(config)
        self.env.reset(seed=seed)
        self.world = self.env.env.unwrapped
        self.points = np.array(self.world.track)[:, 2:]
        self.bodies = [self.world.car.hull, *self.world.car.wheels]

    def tangent(self, i):
        """Where the road leads at its point i, from its neighbours."""
        along = self.points[i + 1] - self.points[i - 1]
        return along / np.linalg.norm(along)

    def step(self, *action):
        self.env.step(np.array(action, np.float32))
        self.read = self.env.state()
        return self

    def put(self, place, angle=None):
        """Move the whole car; ``angle`` turns its hull."""
        shift = np.asarray(place) - self.bodies[0].position
        for body in self.bodies:
            body.position = tuple(np.asarray(body.position) + shift)
        if angle is not None:
            self.bodies[0].angle = angle
        self.read = self.env.state()
        return self

    def __getitem__(self, name):
        return self.read[self.env.task_spec.state_names.index(name)]


@pytest.fixture
def car(compose):
    return CarState(compose("env=car_racing").env)


def test_car_starts_on_the_road_in_its_middle_and_along_it(car):
    car.step(0, 0, 0)
    assert abs(car["centre_offset"]) < 0.2
    assert abs(car["centre_angle"]) < 0.05
    assert car["on_road"] == 1
    assert car["speed"] < 1


def test_car_speed_is_the_length_of_its_velocity(car):
    for _ in range(15):
        car.step(0.3, 1, 0)
    assert car["speed"] == pytest.approx(math.hypot(car["velocity_x"], car["velocity_y"]))
    assert car["speed"] > 3
    assert car["wheel_speed_mean"] > 3
    np.testing.assert_allclose((car["x"], car["y"]), car.bodies[0].position, rtol=1e-6)


def test_car_steering_right_turns_clockwise(car):
    before = car.step(0, 1, 0)["angle"]
    for _ in range(20):
        car.step(1, 0.5, 0)
    assert car["steering"] < -0.1
    assert car["angular_velocity"] < -0.1
    assert car["angle"] < before - 0.1


@pytest.mark.parametrize("aside", [-3.0, 0.0, 3.0])
def test_car_offset_is_positive_to_the_right_of_the_road(car, aside):
    for i in (10, 80, 150):
        ahead = car.tangent(i)
        right = np.array([ahead[1], -ahead[0]])
        car.put(car.points[i] + aside * right)
        assert car["centre_offset"] == pytest.approx(aside, abs=0.3)


@pytest.mark.parametrize("turn", [-0.5, 0.0, 0.5])
def test_car_angle_is_positive_left_of_the_roads_direction(car, turn):
    for i in (10, 80, 150):
        ahead = car.tangent(i)
        heading = math.atan2(-ahead[0], ahead[1])  # a hull at angle φ looks along (-sin φ, cos φ)
        car.put(car.points[i], heading + turn + 2 * math.pi)
        assert car["centre_angle"] == pytest.approx(turn, abs=0.1)


def test_car_curvature_is_the_roads_turn_to_the_left(car):
    seen = []
    for i in range(5, len(car.points) - 10, 20):
        here, there = car.tangent(i), car.tangent(i + 5)
        turn = math.atan2(here[0] * there[1] - here[1] * there[0], here @ there)
        seen.append(car.put(car.points[i])["curvature_ahead"])
        assert seen[-1] == pytest.approx(turn, abs=0.15)
    assert max(seen) - min(seen) > 0.3  # the road does bend


def test_car_beside_the_road_is_not_on_it(car):
    middle = np.zeros(2)
    assert np.linalg.norm(car.points - middle, axis=1).min() > 20
    car.put(middle)
    car.step(0, 0, 0)
    assert car["on_road"] == 0


def test_car_counts_the_tiles_it_has_visited(car):
    first = car.step(0, 1, 0)["tiles_visited"]
    for _ in range(30):
        car.step(0, 1, 0)
    assert car["tiles_visited"] == sum(tile.road_visited for tile in car.world.road)
    assert car["tiles_visited"] > first
