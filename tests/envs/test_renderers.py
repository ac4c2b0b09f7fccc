"""The fast renderer and the exact one against stock Gymnasium, stepped side by side with the same seeds and actions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d.bipedal_walker import BipedalWalkerHeuristics
from gymnasium.envs.box2d.car_racing import PLAYFIELD
from gymnasium.envs.box2d.lunar_lander import heuristic
from windows import followed

from worldmodels.envs import PixelEnv, make_env
from worldmodels.envs.config import EnvConfig

IDS = {"car_racing": "CarRacing-v3", "lunar_lander": "LunarLander-v3", "bipedal_walker": "BipedalWalker-v3"}
ACTIONS = {"car_racing": 3, "lunar_lander": 2, "bipedal_walker": 4}
FOLLOWED = "bipedal_walker with env.view=follow"
MEAN_ERROR = {"car_racing": 0.75, "lunar_lander": 0.4, "bipedal_walker": 0.4, FOLLOWED: 0.5}  # of 255, over all frames
LARGEST_ERROR = {"car_racing": 1.5, "lunar_lander": 0.5, "bipedal_walker": 1.2, FOLLOWED: 1.1}  # in any single frame
LARGE_PICTURE_ERROR = {"car_racing": 1.8, "lunar_lander": 0.6, "bipedal_walker": 0.85}
EVERY = 7  # one large picture in so many is compared


def config(task, renderer="fast", **values):
    kwargs = {"continuous": True} if task == "lunar_lander" else {}
    kwargs.update(values.pop("kwargs", {}))
    common = {"max_steps": 1000, "squash": ["clip"] * ACTIONS[task], "default_source": "lunar_lander"}
    return EnvConfig(name=task, id=IDS[task], kwargs=kwargs, renderer=renderer, **common, **values)


def stock(task, kwargs=None):
    return gymnasium.make(IDS[task], render_mode="rgb_array", **config(task, kwargs=kwargs or {}).kwargs)


def scaled(picture):
    return cv2.resize(np.ascontiguousarray(picture), (64, 64), interpolation=cv2.INTER_AREA)


def error(one, other):
    return float(np.abs(np.subtract(one, other, dtype=np.int16)).mean())


def still(env):
    return np.zeros(env.action_space.shape, np.float32)


# How the tasks are driven: each makes a function from (env, time) to an action.


def at_random(seed):
    """Each action is kept for some steps."""
    rng, action = np.random.default_rng(seed), None

    def choose(env, time):
        nonlocal action
        if action is None or rng.random() < 0.1:
            action = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        return action

    return choose


def along_the_road(seed):
    """Look at the true state, and stay on the road."""

    def choose(env, time):
        state = dict(zip(env.task_spec.state_names, env.state(), strict=True))
        steer = 0.8 * state["centre_angle"] - 0.1 * state["centre_offset"] - state["curvature_ahead"]
        return np.array([np.clip(steer, -1, 1), 0.5 if state["speed"] < 45 else 0, 0], np.float32)

    return choose


def full_gas(seed):
    return lambda env, time: np.array([0.1, 1, 0], np.float32)


def towards_the_pad(seed):
    return lambda env, time: np.array(heuristic(env.env, env.state()), np.float32)


def all_engines(seed):
    return lambda env, time: np.array([1, 1 if time // 8 % 2 else -1], np.float32)


def not_at_all(seed):
    return lambda env, time: still(env)


def on_two_legs(seed):
    legs = BipedalWalkerHeuristics()
    legs.a = np.zeros(4)  # which all instances share otherwise
    return lambda env, time: legs.step_heuristic(env.state()).astype(np.float32)


# What happens to the worlds beside the actions, before each step.


def nothing(world, time):
    pass


def move(bodies, x):
    """Move a whole vehicle so that the first of its bodies is at ``x``."""
    shift = x - bodies[0].position[0]
    for body in bodies:
        body.position = (body.position[0] + shift, body.position[1])


def to_the_edge_of_the_field(world, time):
    if time == 3:
        move([world.car.hull, *world.car.wheels], PLAYFIELD - 12)


def pushed_backwards(world, time):
    """From where the view begins to scroll to the very start of the ground."""
    parts = [world.hull, *world.legs]
    if time == 2:
        move(parts, 4.15)
    if time >= 2:
        for part in parts:
            part.linearVelocity = (-2.5, 0)


def carried_to_the_end(world, time):
    """Over the whole ground, in ten leaps and then beyond its end."""
    if time % 6 == 4:
        parts = [world.hull, *world.legs]
        move(parts, 6 + 9.2 * (time // 6))
        for part in parts:
            part.position = (part.position[0], part.position[1] + 0.5)
            part.linearVelocity = (0, 0)


class Trial(NamedTuple):
    task: str
    drive: Callable[[int], Callable[[PixelEnv, int], np.ndarray]]
    seeds: tuple[int, ...]
    steps: int
    kwargs: dict[str, Any] = {}  # noqa: RUF012
    meanwhile: Callable[[Any, int], None] = nothing
    view: str = "whole"

    @property
    def kind(self) -> str:
        return self.task if self.view == "whole" else FOLLOWED


TRIALS = {
    "car at random": Trial("car_racing", at_random, (0, 1), 24),
    "car along the road": Trial("car_racing", along_the_road, (11,), 60),
    "car over the edge": Trial("car_racing", full_gas, (3,), 80, meanwhile=to_the_edge_of_the_field),
    "car in random colours": Trial("car_racing", full_gas, (0, 5), 16, {"domain_randomize": True}),
    "lander at random": Trial("lunar_lander", at_random, (0, 1), 60),
    "lander landing": Trial("lunar_lander", towards_the_pad, (2,), 250),
    "lander with all engines": Trial("lunar_lander", all_engines, (3,), 80, {"enable_wind": True}),
    "walker at random": Trial("bipedal_walker", at_random, (0, 1), 45),
    "walker walking": Trial("bipedal_walker", on_two_legs, (3,), 100),
    "walker backwards": Trial("bipedal_walker", not_at_all, (7,), 80, {}, pushed_backwards),
    "walker all along": Trial("bipedal_walker", at_random, (5,), 70, {}, carried_to_the_end),
    "walker backwards with obstacles": Trial(
        "bipedal_walker", not_at_all, (17,), 80, {"hardcore": True}, pushed_backwards
    ),
    "walker all along with obstacles": Trial(
        "bipedal_walker", at_random, (6,), 70, {"hardcore": True}, carried_to_the_end
    ),
}
TRIALS |= {
    f"{label}, followed": trial._replace(view="follow")
    for label, trial in TRIALS.items()
    if trial.task == "bipedal_walker" and not trial.kwargs
}


class Moment(NamedTuple):
    """One step of stock Gymnasium and of the two renderers."""

    stock: np.ndarray  # its picture as a frame
    fast: np.ndarray
    exact: np.ndarray
    exact_in_full: bool | None  # the large pictures are the same
    large_error: float | None
    outcomes: list[tuple[float, bool, bool]]  # reward, terminated, truncated; of stock, fast and exact
    bodies: list[np.ndarray]
    generators: list[Any]
    states: list[np.ndarray]  # of stock only what it tells of it


def bodies(world):
    """Everything that moves."""
    if hasattr(world, "car"):
        parts = [world.car.hull, *world.car.wheels]
        rows = [(wheel.phase, wheel.omega, wheel.gas, wheel.brake) for wheel in world.car.wheels]
    elif hasattr(world, "lander"):
        parts = [world.lander, *world.legs, *world.particles]
        rows = [(particle.ttl,) for particle in world.particles]
    else:
        parts, rows = [world.hull, *world.legs], [(world.scroll,)]
    for body in parts:
        rows.append((*body.position, body.angle, *body.linearVelocity, body.angularVelocity))
    return np.concatenate(rows)


def told(task, world, observation):
    """What stock Gymnasium tells of the true state."""
    if task == "car_racing":
        hull = world.car.hull
        values = (*hull.position, hull.angle, *hull.linearVelocity, hull.angularVelocity)
        return np.array(values, np.float32)
    return np.append(observation, world.hull.position) if task == "bipedal_walker" else observation


@functools.cache
def recorded(label: str) -> list[list[Moment]]:
    """The episodes of a trial, all in the same three environments."""
    task, drive, seeds, steps, kwargs, meanwhile, view = TRIALS[label]
    theirs = stock(task, kwargs)
    ours = [make_env(config(task, renderer, kwargs=kwargs, view=view), pictures=True) for renderer in ("fast", "exact")]
    worlds = [theirs.unwrapped, *(env.task.world for env in ours)]
    seen = followed if view == "follow" else lambda picture, world: picture
    return [list(_episode(task, seed, drive(seed), steps, meanwhile, seen, theirs, ours, worlds)) for seed in seeds]


def _episode(task, seed, choose, steps, meanwhile, seen, theirs, ours, worlds):
    observation, _ = theirs.reset(seed=seed)
    frames = [env.reset(seed=seed)[0] for env in ours]
    outcomes = []
    fast, exact = ours
    for time in range(steps + 1):
        picture = observation if task == "car_racing" else theirs.render()
        in_full = large_error = None
        if task != "car_racing":
            in_full = np.array_equal(exact.render(), picture)
        if time % EVERY == 0:
            large = theirs.render() if task == "car_racing" else picture
            in_full = np.array_equal(exact.render(), large)
            large_error = error(fast.render(), large)
        yield Moment(
            scaled(seen(picture, worlds[0])),
            *frames,
            in_full,
            large_error,
            outcomes,
            [bodies(world) for world in worlds],
            [world.np_random.bit_generator.state for world in worlds],
            [told(task, worlds[0], observation), *(env.state() for env in ours)],
        )
        if outcomes and any(outcomes[0][1:]):
            break
        for world in worlds:
            meanwhile(world, time)
        action = choose(fast, time)
        observation, *outcome, _ = theirs.step(action)
        stepped = [env.step(action) for env in ours]
        frames = [step[0] for step in stepped]
        outcomes = [tuple(outcome), *(step[1:4] for step in stepped)]


def moments(label):
    return [moment for episode in recorded(label) for moment in episode]


def moments_of(kind):
    return [moment for label, trial in TRIALS.items() if trial.kind == kind for moment in moments(label)]


def test_the_trials_show_what_they_are_meant_to_show():
    on_road = make_env(config("car_racing")).task_spec.state_names.index("on_road")
    assert np.mean([moment.states[1][on_road] for moment in moments("car along the road")]) == 1
    assert all(episode[-1].outcomes[0] == (-100, True, False) for episode in recorded("car over the edge"))
    firing = [len(moment.bodies[0]) for moment in moments("lander with all engines")]
    assert max(firing) > firing[0] + 7 * 8  # at least eight particles
    assert moments("lander landing")[-1].outcomes[0][0] == 100  # at rest on the pad
    hull_x = [moment.states[1][-2] for moment in moments("walker walking")]
    assert hull_x[-1] > hull_x[0] + 0.5
    for label in TRIALS:
        scrolled = [moment.bodies[0][0] for moment in moments(label)]
        if "backwards" in label:
            assert sum(scroll < -1 for scroll in scrolled) > 25
        if "all along" in label:
            assert max(scrolled) > 84
        if "followed" in label:
            assert np.mean([error(moment.stock, whole.stock) for moment, whole in beside_the_whole(label)]) > 10


def beside_the_whole(label):
    return zip(moments(label), moments(label.removesuffix(", followed")), strict=True)


@pytest.mark.parametrize("label", TRIALS)
def test_rewards_and_ends_are_stock_gymnasiums(label):
    for moment in moments(label):
        assert moment.outcomes[1:] == moment.outcomes[:1] * 2 or not moment.outcomes


@pytest.mark.parametrize("label", TRIALS)
def test_bodies_and_random_numbers_are_stock_gymnasiums(label):
    for moment in moments(label):
        for ours in (1, 2):
            np.testing.assert_array_equal(moment.bodies[ours], moment.bodies[0])
            assert moment.generators[ours] == moment.generators[0]


@pytest.mark.parametrize("label", TRIALS)
def test_true_states_are_stock_gymnasiums(label):
    for moment in moments(label):
        theirs, fast, exact = moment.states
        np.testing.assert_array_equal(fast, exact)
        np.testing.assert_array_equal(fast[: len(theirs)], theirs.astype(np.float32))


@pytest.mark.parametrize("label", TRIALS)
def test_exact_pictures_are_stock_gymnasiums(label):
    wrong = [(moment.exact != moment.stock).any() or moment.exact_in_full is False for moment in moments(label)]
    assert np.flatnonzero(wrong).tolist() == []


@pytest.mark.parametrize("label", TRIALS)
def test_no_fast_frame_is_far_from_stock_gymnasiums(label):
    errors = [error(moment.fast, moment.stock) for moment in moments(label)]
    assert max(errors) <= LARGEST_ERROR[TRIALS[label].kind]


@pytest.mark.parametrize("kind", MEAN_ERROR)
def test_fast_frames_are_close_to_stock_gymnasiums(kind):
    assert np.mean([error(moment.fast, moment.stock) for moment in moments_of(kind)]) <= MEAN_ERROR[kind]


@pytest.mark.parametrize("kind", MEAN_ERROR)
def test_fast_frames_are_neither_brighter_nor_darker(kind):
    differences = [moment.fast.astype(int) - moment.stock for moment in moments_of(kind)]
    assert np.abs(np.mean(differences, axis=(0, 1, 2))).max() <= 0.3


@pytest.mark.parametrize("label", TRIALS)
def test_the_large_picture_is_close_to_stock_gymnasiums(label):
    errors = [moment.large_error for moment in moments(label) if moment.large_error is not None]
    assert max(errors) <= LARGE_PICTURE_ERROR[TRIALS[label].task]


class Twins:
    """A task drawn fast beside stock Gymnasium's, for looking at one detail at a time."""

    def __init__(self, task, seed=0, **kwargs):
        self.task = task
        self.env = make_env(config(task, kwargs=kwargs), pictures=True)
        self.theirs = stock(task, kwargs)
        self.worlds = [self.env.task.world, self.theirs.unwrapped]
        self.frame, _ = self.env.reset(seed=seed)
        self._look(self.theirs.reset(seed=seed)[0])

    def _look(self, observation):
        self.picture = observation if self.task == "car_racing" else self.theirs.render()
        self.expected = scaled(self.picture)

    def step(self, *action):
        action = np.array(action or still(self.env), np.float32)
        self.frame, *self.outcome, _ = self.env.step(action)
        observation, *outcome, _ = self.theirs.step(action)
        assert self.outcome == outcome
        self._look(observation)
        return self

    def frames(self, rows=slice(None), columns=slice(None)):
        """Ours and stock Gymnasium's, or a part of them."""
        return self.frame[rows, columns].astype(np.int16), self.expected[rows, columns].astype(np.int16)

    def large(self, rows=slice(None), columns=slice(None)):
        theirs = self.theirs.render() if self.task == "car_racing" else self.picture
        return self.env.render()[rows, columns].astype(np.int16), theirs[rows, columns].astype(np.int16)


def tell_apart(pairs):
    """Each of our pictures is nearest to its own counterpart."""
    errors = np.array([[error(ours, theirs) for _, theirs in pairs] for ours, _ in pairs])
    assert errors.argmin(axis=1).tolist() == list(range(len(pairs))), errors.round(1)
    return errors.diagonal()


def amount(picture, colour):
    """How much of a pure colour (1 and 0 for each channel) there is, in pixels."""
    wanted = np.array(colour, bool)
    return np.clip(picture[..., wanted].min(-1) - picture[..., ~wanted].max(-1), 0, None).sum() / 255


RED, GREEN, BLUE, YELLOW = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)
BAR = slice(56, 64)  # the rows of CarRacing's indicators


def test_the_car_racing_score_can_be_read():
    """It is that of before the step's own cost."""
    twins, corners, large = Twins("car_racing"), [], []
    for score in (-34.6, -0.6, 0, 8.2, 17, 171, 888.88, 905.2):
        for world in twins.worlds:
            world.reward = score
        twins.step()
        corners.append(twins.frames(BAR, slice(0, 8)))
        if score:  # by then stock Gymnasium has taken the cost off, and writes -000
            large.append(twins.large(slice(350, 400), slice(0, 75)))
    assert max(tell_apart(corners)) < 10
    assert max(tell_apart(large)) < 12


@pytest.mark.parametrize("where", ["frame", "large picture"])
def test_the_car_racing_gauges_show_speeds_steering_and_turning(where):
    twins = Twins("car_racing")

    def gauges():
        return twins.frames(BAR, slice(8, 64)) if where == "frame" else twins.large(slice(350, 400), slice(75, 600))

    pairs = []
    for speed, wheels, turning, steering in (
        (0, (0, 0, 0, 0), 0, 0),
        (60, (0, 0, 0, 0), 0, 0),
        (100, (80, 20, 50, 5), 0, 0),
        (30, (-30, 60, 0, 90), 3, 0.3),
        (10, (5, 5, 40, 60), -4, -0.3),
    ):
        for world in twins.worlds:
            car = world.car
            for body in (car.hull, *car.wheels):
                body.linearVelocity = (0, speed)
            car.hull.angularVelocity = turning
            for wheel, omega in zip(car.wheels, wheels, strict=True):
                wheel.omega = omega
            for wheel in car.wheels[:2]:
                wheel.angle = car.hull.angle + steering
        twins.step(-np.sign(steering), 0, 0)
        pairs.append(gauges())
    errors = tell_apart(pairs)
    assert max(errors) < {"frame": 2.5, "large picture": 0.5}[where]
    a_line = {"frame": 1.5, "large picture": 45}[where]
    for ours, theirs in pairs:
        for colour in (RED, GREEN, BLUE):
            shown = amount(theirs, colour)  # nothing of a gauge at rest
            assert amount(ours, colour) == pytest.approx(shown, rel=0.03, abs=a_line if shown else 0.1)
    assert max(amount(theirs, RED) for _, theirs in pairs) > 10 * a_line


def test_beyond_the_field_car_racing_is_black():
    seen = []
    for moment in moments("car over the edge") + moments("car at random"):
        ours, theirs = (np.mean(picture[:56].max(axis=-1) < 30) for picture in (moment.fast, moment.stock))
        assert ours == pytest.approx(theirs, abs=0.01)
        seen.append(theirs)
    assert max(seen) > 0.3
    assert min(seen) < 0.01


def test_car_racing_zooms_in_during_the_first_second():
    twins = Twins("car_racing", seed=3)
    pairs = [twins.frames(slice(0, 56))]
    for _ in range(60):
        twins.step()
        pairs.append(twins.frames(slice(0, 56)))
    tell_apart(pairs[:50:2])
    before, after = error(pairs[0][0], pairs[50][0]), error(pairs[52][0], pairs[60][0])
    assert before > 10 > 1 > after


def test_the_marks_on_car_racing_wheels_turn():
    twins, pairs = Twins("car_racing"), []
    for phase in (0.4, 2.7, 3.3, 3.9, 4.5, 5.1, 5.7):  # at first, the mark is below the wheel
        for world in twins.worlds:
            world.t = 1.0
            for wheel in world.car.wheels:
                wheel.phase, wheel.omega = phase, 0
        twins.step(0, 0, 1)
        pairs.append(twins.large(slice(270, 330), slice(280, 320)))
    assert max(tell_apart(pairs)) < 6


def test_people_see_the_skid_marks_of_car_racing():
    twins = Twins("car_racing", seed=1)
    for time in range(90):
        twins.step(time > 40, 1, 0)
    assert error(*twins.frames()) < LARGEST_ERROR["car_racing"]  # neither of them has marks
    skidded = twins.large()
    assert error(*skidded) < LARGE_PICTURE_ERROR["car_racing"]
    for world in twins.worlds:
        assert len(world.car.particles) > 4
        world.car.particles.clear()
    marks = [
        (np.abs(marked - clean).sum(axis=-1) > 30).astype(np.uint8)
        for marked, clean in zip(skidded, twins.large(), strict=True)
    ]
    ours, theirs = (mark.astype(bool) for mark in marks)
    near_ours, near_theirs = (cv2.dilate(mark, np.ones((3, 3), np.uint8)).astype(bool) for mark in marks)
    assert theirs.sum() > 500
    assert near_ours[theirs].mean() > 0.95
    assert near_theirs[ours].mean() > 0.95
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.25)


def test_car_racing_tiles_are_repainted_when_touched():
    """In the road's colour of now, which the test makes an unmistakable one."""
    twins, on_road = Twins("car_racing", seed=11), along_the_road(0)
    for world in twins.worlds:
        world.road_color[:] = (0, 0, 255)
        world.t = 1.0  # zoomed in
    blue = []
    for time in range(70):
        pictures = twins.step(*on_road(twins.env, time)).frames(slice(0, 56))
        assert error(*pictures) < 2
        blue.append([(picture[..., 2] - picture[..., 0]).clip(-20).sum() / 255 for picture in pictures])
    ours, theirs = np.transpose(blue)
    np.testing.assert_allclose(ours, theirs, rtol=0.08, atol=3)
    repainted = [np.flatnonzero(np.diff(pixels) > 30).tolist() for pixels in (ours, theirs)]
    assert repainted[0] == repainted[1]
    assert len(repainted[1]) > 8


def test_car_racing_colours_can_be_random():
    """Only the edges of things differ, and there by little more than in the usual colours."""
    twins, grounds = Twins("car_racing", seed=4, domain_randomize=True), set()
    for options in ({}, {"randomize": False}, {"randomize": True}):
        twins.frame, _ = twins.env.reset(seed=8, options=options)
        twins._look(twins.theirs.reset(seed=8, options=options)[0])
        for world in twins.worlds:
            world.t = 1.0
        ours, theirs = twins.step().frames(slice(0, 56))
        assert np.median(np.abs(ours - theirs)) <= 1
        assert error(ours, theirs) < 2
        grounds.add(tuple(theirs[2, 2]))
    assert len(grounds) > 1


def test_the_landers_flames_are_as_bright_as_stock_gymnasiums():
    shares = [
        [amount(picture.astype(int), RED) for picture in (moment.fast, moment.stock)]
        for moment in moments("lander with all engines")
    ]
    ours, theirs = np.transpose(shares)
    assert max(theirs) > 0.4 > 0 == min(theirs)
    np.testing.assert_allclose(ours, theirs, atol=0.12)
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.1)


@pytest.mark.parametrize(("repeat", "looks"), [(8, 9), (60, 1)])
def test_the_landers_flames_are_drawn_when_few_pictures_are_asked_for(repeat, looks):
    """There are many of them then, as it is the drawing that lets them burn out."""
    fast, exact = (make_env(config("lunar_lander", renderer, action_repeat=repeat)) for renderer in ("fast", "exact"))
    for env in (fast, exact):
        env.begin(seed=3)
    for look in range(looks):
        for env in (fast, exact):
            env.advance(np.array([0.8, (-1) ** look], np.float32))
        ours, theirs = (env.look().astype(np.int16) for env in (fast, exact))
        assert error(ours, theirs) < LARGEST_ERROR["lunar_lander"]
        assert amount(ours, RED) == pytest.approx(amount(theirs, RED), rel=0.15, abs=0.1)
    assert len(exact.task.world.particles) > 64
    assert amount(theirs, RED) > 0.5


def test_the_landers_flags_and_hills():
    for seed in (0, 1, 2):
        twins = Twins("lunar_lander", seed)
        for ours, theirs in (twins.frames(), twins.large()):
            assert error(ours, theirs) < 0.6
            assert amount(ours, YELLOW) == pytest.approx(amount(theirs, YELLOW), rel=0.1)
            assert amount(theirs, YELLOW) > 0.5
            assert np.mean(ours > 200) == pytest.approx(np.mean(theirs > 200), abs=0.005)


def test_the_walkers_clouds_move_at_half_its_speed():
    twins, pairs = Twins("bipedal_walker", seed=7), []
    for x in (6, 7, 8, 12, 24, 30, 50, 70):
        for world in twins.worlds:
            move([world.hull, *world.legs], x)
        pairs.append(twins.step().frames(slice(0, 24)))
        ours, theirs = (np.mean(picture.min(axis=-1) == 255) for picture in pairs[-1])
        assert ours == pytest.approx(theirs, abs=0.02)
        assert 0.1 < theirs < 0.9
    assert max(tell_apart(pairs)) < 0.6


def test_the_lidars_beam_is_drawn_in_the_pictures_in_which_stock_gymnasium_draws_it():
    twins, times = Twins("bipedal_walker"), []
    for time in [*range(25), *range(95, 125)]:
        if time == 95:
            for world in twins.worlds:
                world.lidar_render = 95  # of the pictures drawn so far; the next ones come sooner so
            twins.step()
        ours, theirs = twins.large()
        beam = (theirs == (255, 0, 0)).all(axis=-1)
        if beam.any():
            times.append(time)
            reddish = (ours[..., 0] - ours[..., 1:].max(axis=-1) > 60).astype(np.uint8)
            near = cv2.dilate(reddish, np.ones((3, 3), np.uint8)) > 0
            assert near[beam].mean() > 0.85, time
        twins.step()
    assert times == [*range(19), *range(99, 119)]


def test_the_sky_reaches_the_edge_of_the_picture_where_scrolling_begins():
    """Whatever was drawn before, here the black sky of another task."""
    other = make_env(config("lunar_lander"), pictures=True)
    other.reset(seed=0)
    twins = Twins("bipedal_walker")
    for place in (3.99, 4.0, 4.01, 4.02, 4.03, 4.04):
        for world in twins.worlds:
            move([world.hull, *world.legs], place)
        twins.step()
        other.render()
        ours, theirs = twins.large(slice(0, 200), slice(0, 2))
        np.testing.assert_allclose(ours, theirs, atol=40)


@pytest.mark.parametrize("task", IDS)
@pytest.mark.parametrize("crop", [0.05, 0.125, 0.3])
def test_cropping_agrees_with_cropping_stock_gymnasiums_picture(task, crop):
    whole, ours, theirs = (
        make_env(config(task, renderer, crop_bottom=share))
        for renderer, share in (("exact", 0.0), ("fast", crop), ("exact", crop))
    )
    choose = at_random(3)
    frames = [tuple(env.reset(seed=12)[0] for env in (whole, ours, theirs))]
    for time in range(12):
        action = choose(ours, time)
        frames.append(tuple(env.step(action)[0] for env in (whole, ours, theirs)))
    errors = [error(fast, exact) for _, fast, exact in frames]
    assert np.mean(errors) < 1.1
    assert max(errors) < 1.4
    assert min(error(uncropped, exact) for uncropped, _, exact in frames) > 4


def play(env, actions, looks=True, repeat=1):
    """Rewards, ends, bodies and frames of an episode, ``repeat`` steps of the task between two looks."""
    env.begin(seed=6)
    rows, frames = [], [env.look()] if looks else []
    for time, action in enumerate(actions, 1):
        rows.append((*env.advance(action)[:3], env.state().tolist()))
        over = any(rows[-1][1:3])
        if looks and (over or time % repeat == 0):
            frames.append(env.look())
        if over:
            break
    return rows, frames


def actions_of(env, count):
    choose = at_random(4)
    return [choose(env, time) for time in range(count)]


@pytest.mark.parametrize("renderer", ["fast", "exact"])
@pytest.mark.parametrize("task", IDS)
@pytest.mark.parametrize("repeat", [2, 3])
def test_repeating_an_action_is_stepping_so_often(task, renderer, repeat):
    repeating, single = make_env(config(task, renderer, action_repeat=repeat)), make_env(config(task, renderer))
    actions = actions_of(single, 14)
    rows, frames = play(repeating, actions)
    each = [action for action in actions for _ in range(repeat)]
    single_rows, single_frames = play(single, each, repeat=repeat)
    chunks = [single_rows[i : i + repeat] for i in range(0, len(single_rows), repeat)]
    assert len(rows) == len(chunks)
    for row, chunk in zip(rows, chunks, strict=True):
        assert row[0] == sum(step[0] for step in chunk)
        assert row[1:] == chunk[-1][1:]
    np.testing.assert_array_equal(frames, single_frames)
    assert repeating.steps == single.steps == len(single_rows)
    assert repeating.task_spec.fps == single.task_spec.fps / repeat


@pytest.mark.parametrize("repeat", [2, 4, 5, 7])
def test_repeating_stops_at_the_end_of_the_episode(repeat):
    single = make_env(config("lunar_lander"))
    nothing_done = [still(single)] * 500
    rows, _ = play(single, nothing_done)
    assert rows[-1][:3] == (-100, True, False)
    repeating = make_env(config("lunar_lander", action_repeat=repeat))
    repeated, frames = play(repeating, nothing_done)
    assert len(repeated) == -(-len(rows) // repeat)
    assert len(frames) == len(repeated) + 1
    assert repeated[-1][1:3] == (True, False)
    last = rows[(len(repeated) - 1) * repeat :]
    assert repeated[-1][0] == sum(row[0] for row in last)
    assert repeating.steps == len(rows)


@pytest.mark.parametrize(("repeat", "steps"), [(1, 7), (2, 7), (3, 7), (7, 7), (10, 7), (3, 6)])
def test_max_steps_counts_the_tasks_own_steps(repeat, steps):
    env = make_env(config("bipedal_walker", action_repeat=repeat), max_steps=steps)
    for _ in range(2):  # a new episode counts anew
        rows, _ = play(env, [still(env)] * 50)
        assert [row[1:3] for row in rows] == [(False, False)] * (-(-steps // repeat) - 1) + [(False, True)]
        assert env.steps == steps


def test_the_tasks_own_limit_ends_a_repeated_action():
    env = make_env(config("lunar_lander", action_repeat=4, kwargs={"max_episode_steps": 10}))
    rows, _ = play(env, [still(env)] * 50)
    assert [row[1:3] for row in rows] == [(False, False), (False, False), (False, True)]
    assert env.steps == 10


@pytest.mark.parametrize("renderer", ["fast", "exact"])
@pytest.mark.parametrize("task", IDS)
def test_not_looking_changes_no_reward(task, renderer):
    looking, blind = (make_env(config(task, renderer)) for _ in range(2))
    actions = actions_of(looking, 50)
    seen, frames = play(looking, actions)
    unseen, _ = play(blind, actions, looks=False)
    assert unseen == seen
    if task == "car_racing":
        np.testing.assert_array_equal(blind.look(), frames[-1])


@pytest.mark.parametrize("task", IDS)
def test_the_large_picture_changes_nothing(task):
    """However often it is asked for."""
    shown, plain = make_env(config(task), pictures=True), make_env(config(task))
    shown.begin(seed=6)
    plain.begin(seed=6)
    for action in actions_of(shown, 25):
        np.testing.assert_array_equal(shown.look(), plain.look())
        picture = shown.render()
        np.testing.assert_array_equal(shown.render(), picture)
        assert shown.advance(action) == plain.advance(action)
        np.testing.assert_array_equal(bodies(shown.task.world), bodies(plain.task.world))


@pytest.mark.parametrize("task", IDS)
def test_environments_drawn_in_turns_do_not_see_each_other(task):
    """They share a canvas: two of this task, and one of each other task."""

    def watch(env, seed, actions):
        pictures = [(env.reset(seed=seed)[0], env.render())]
        yield pictures[-1]
        for action in actions:
            yield env.step(action)[0], env.render()

    others = [other for other in IDS if other != task]
    cast = [(task, 1), (task, 2), *((other, 3) for other in others)]
    envs = [make_env(config(name), pictures=True) for name, _ in cast]
    actions = [actions_of(env, 18) for env in envs]
    alone = [
        list(watch(make_env(config(name), pictures=True), seed, chosen))
        for (name, seed), chosen in zip(cast, actions, strict=True)
    ]
    together = zip(
        *(watch(env, seed, each) for env, (_, seed), each in zip(envs, cast, actions, strict=True)), strict=True
    )
    for time, row in enumerate(together):
        for pictures, expected in zip(row, alone, strict=True):
            for picture, same in zip(pictures, expected[time], strict=True):
                np.testing.assert_array_equal(picture, same)


@pytest.mark.parametrize("renderer", ["gymnasium", "exact", "fast"])
@pytest.mark.parametrize("task", ["car_racing", "lunar_lander"])
def test_an_episode_is_the_same_again(task, renderer):
    """Nothing of the episode before is left, be it shorter or longer. (The walker's world remembers past a reset, in
    stock Gymnasium too.)"""
    env = make_env(config(task, renderer))
    frames = {}
    for seed, steps in ((1, 4), (2, 12), (1, 12), (3, 1), (2, 12)):
        seen = [env.reset(seed=seed)[0], *(env.step(action)[0] for action in actions_of(env, steps))]
        for before, now in zip(frames.get(seed, seen), seen, strict=False):
            np.testing.assert_array_equal(now, before)
        frames[seed] = seen
