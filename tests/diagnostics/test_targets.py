"""What tasks tell probes: targets, the frames that count, objects, coverage; and episodes that begin anywhere."""

import numpy as np
import pytest

from worldmodels.envs import make_env
from worldmodels.envs.bipedal_walker import BipedalWalker as WALKER
from worldmodels.envs.car_racing import CarRacing as CAR
from worldmodels.envs.lunar_lander import TOP
from worldmodels.envs.lunar_lander import LunarLander as LANDER

TASKS = {task.name: task for task in (LANDER, CAR, WALKER)}


def states(task, rows, **values):
    table = np.zeros((rows, len(task.state_names)), np.float32)
    for name, value in values.items():
        table[:, task.state_names.index(name)] = value
    return table


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("rows", [1, 70])
def test_every_target_and_mask_has_a_value_a_frame(task, rows):
    rollout = np.random.default_rng(0).normal(size=(rows, len(task.state_names)))
    for name in (*task.visible_targets, *task.motions):
        assert task.target(rollout, name).shape == (rows,)
    assert (task.shown(rollout, 50).shape, task.shown(rollout, 50).dtype) == ((rows,), bool)
    assert all(np.isfinite(value) for value in task.coverage([rollout, rollout]).values())


def test_the_landers_angle_is_a_sine_and_a_cosine():
    rollout = states(LANDER, 1, angle=7.0)
    found = [LANDER.target(rollout, name)[0] for name in ("angle_sin", "angle_cos")]
    assert found == pytest.approx([np.sin(7), np.cos(7)])


def test_the_mask_of_the_ship_ends_where_half_of_it_is_in_the_picture(compose):
    env = make_env(compose("env=lunar_lander").env)

    def purple(x, y):
        env.begin(seed=3)
        world = env.task.world
        for body in (world.lander, *world.legs):
            body.position, body.angle = ((x + 1) * 10, (y * 200 + 118) / 30), 0
        x_seen, y_seen = env.advance(np.zeros(2)) and env.state()[:2]  # a step falls by less than a pixel
        assert (x_seen, y_seen) == pytest.approx((x, y), abs=0.02)
        return LANDER.objects["ship"](env.look()[None]).sum()

    whole = purple(0, 0.7)
    for x, y in ((-1, 0.7), (1, 0.7), (0.5, TOP)):  # below, the ground is in the way
        assert 0.25 * whole < purple(x, y) < 0.75 * whole
        inner, outer = ([x * scale, 0.7 + (y - 0.7) * scale] for scale in (0.99, 1.01))
        for place, expected in ((inner, True), (outer, False)):
            assert LANDER.shown(states(LANDER, 1, x=place[0], y=place[1]), 50)[0] == expected
    env.close()


def test_a_car_counts_when_the_centre_line_is_in_the_picture():
    def counts(row=60, **values):
        return bool(CAR.shown(states(CAR, 70, **values), 50)[row])

    assert counts()
    assert not counts(row=49)  # the camera comes near
    assert counts(centre_offset=30) and not counts(centre_offset=31.5)  # half the window: 30.9 units
    assert counts(centre_offset=36, centre_angle=1.5) and not counts(centre_offset=38, centre_angle=1.5)  # ahead: 37
    assert counts(centre_offset=6, centre_angle=-1.5) and not counts(centre_offset=6.5, centre_angle=-1.5)  # 6.2 behind
    assert not counts(centre_angle=1.6)


@pytest.mark.parametrize("renderer", ["fast", "exact", "gymnasium"])
def test_episodes_begin_anywhere_on_the_track_and_repeat(renderer, compose):
    config = compose("env=car_racing", f"env.renderer={renderer}").env
    names = ("x", "y", "centre_offset", "centre_angle", "on_road")
    found = []
    for seed in (5, 5, 6):
        env = make_env(config, max_steps=5, scatter=True)
        frame, _ = env.reset(seed=seed)
        start = env.task.world.track[0][2:4]
        state = dict(zip(CAR.state_names, env.state(), strict=True))
        assert abs(state["centre_offset"]) < 0.5
        assert abs(state["centre_angle"]) < 0.1
        assert state["on_road"] == 1
        assert frame.shape == (64, 64, 3)
        assert env.step(np.array([0, 1, 0]))[0].shape == (64, 64, 3)
        found.append([state[name] for name in names[:2]] + list(start))
        env.close()
    assert found[0] == found[1]
    assert max(np.hypot(x - a, y - b) for x, y, a, b in found) > 20
