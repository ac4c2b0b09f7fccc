"""Episodes leave nothing behind: Box2D keeps the bodies of a world that nobody takes out of it."""

import gc
import os
from pathlib import Path

import Box2D
import pytest

from worldmodels.envs import make_env

STATUS = Path("/proc/self/statm")


def resident() -> float:
    """Memory of this process, MB."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize("task", ["car_racing", "lunar_lander", "bipedal_walker"])
def test_an_episode_takes_its_bodies_with_it(compose, task):
    env = make_env(compose(f"env={task}").env)
    env.begin(0)
    world = env.env.unwrapped.world
    assert world.bodies
    env.close()
    assert not world.bodies
    assert not world.joints
    env.close()  # twice does no harm


@pytest.mark.parametrize("task", ["car_racing", "lunar_lander", "bipedal_walker"])
def test_an_environment_that_was_never_reset_can_be_closed(compose, task):
    make_env(compose(f"env={task}").env).close()


@pytest.mark.skipif(not STATUS.exists(), reason="the memory of a process is read from Linux's /proc")
def test_memory_stays_flat_over_many_episodes(compose):
    """Without taking worlds apart, CarRacing leaves 0.15 MB each."""
    config = compose("env=car_racing").env
    used = []
    for seed in range(80):  # environments are reference cycles, and the heap is full-grown after the first
        env = make_env(config)
        env.begin(seed)
        env.close()
        if seed % 10 == 9:
            gc.collect()
            used.append(resident())
    assert used[7] - used[3] < 0.06 * 40


TRIANGLE = [(0, 0), (1, 0), (0, 1)]


@pytest.mark.skipif(not STATUS.exists(), reason="the memory of a process is read from Linux's /proc")
def test_shapes_end_with_their_definitions(compose):
    """The binding leaves 304 bytes of each, 12 MB here."""
    make_env(compose("env=lunar_lander").env).close()
    before = resident()
    for _ in range(40_000):
        Box2D.b2FixtureDef(shape=Box2D.b2PolygonShape(vertices=TRIANGLE))
    assert resident() - before < 3


def test_a_definition_keeps_its_shape_and_a_fixture_has_its_own(compose):
    make_env(compose("env=lunar_lander").env).close()
    definition = Box2D.b2FixtureDef(shape=Box2D.b2PolygonShape(vertices=TRIANGLE))
    gc.collect()
    world = Box2D.b2World()
    body = world.CreateDynamicBody(fixtures=definition)
    of_fixture = body.fixtures[0].shape
    other = Box2D.b2FixtureDef(shape=of_fixture)  # which belongs to the body
    definition.shape = Box2D.b2CircleShape(radius=2)
    del definition, other
    gc.collect()
    assert {tuple(each) for each in body.fixtures[0].shape.vertices} == set(TRIANGLE)
    world.DestroyBody(body)


def test_a_shape_that_is_replaced_lives_as_long_as_somebody_has_it(compose):
    """`CreateFixturesFromShapes` puts other shapes into a definition, and then back what was there."""
    make_env(compose("env=lunar_lander").env).close()
    definition = Box2D.b2FixtureDef(shape=Box2D.b2PolygonShape(vertices=TRIANGLE))
    shape = definition.shape
    assert shape.thisown and shape is definition.shape  # a view of it would be left with freed memory
    world = Box2D.b2World()
    body = world.CreateStaticBody(shapes=Box2D.b2CircleShape(radius=2), shapeFixture=definition)
    assert isinstance(body.fixtures[0].shape, Box2D.b2CircleShape)
    assert definition.shape is shape
    del definition
    gc.collect()
    assert {tuple(vertex) for vertex in shape.vertices} == set(TRIANGLE)
