"""Actions as vectors, and from C's unbounded outputs to them."""

import dataclasses
import itertools

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text

from worldmodels.envs import action_codec
from worldmodels.envs.config import EnvConfig
from worldmodels.utils.errors import ConfigError

CAR = Box(np.float32([-1, 0, 0]), np.float32([1, 1, 1]))
OUTPUTS = np.linspace(-4, 4, 33)


def config(*squash, **values):
    return EnvConfig(name="car_racing", id="Mine-v0", max_steps=2, squash=list(squash), default_source="", **values)


def decided(space, outputs, *squash, **values):
    return action_codec(space, config(*squash, **values)).decide(outputs)


def one_action(squash, outputs, low=-1.0, high=1.0):
    return decided(Box(low, high, (1,)), outputs[:, None], squash)[:, 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


EXPECTED = {
    "tanh": 2 * sigmoid(2 * OUTPUTS) - 1,
    "tanh01": sigmoid(2 * OUTPUTS),
    "relu_tanh": np.where(OUTPUTS > 0, 2 * sigmoid(2 * OUTPUTS) - 1, 0),
    "clip": np.array([min(max(x, -1), 1) for x in OUTPUTS]),
}


@pytest.mark.parametrize("squash", EXPECTED)
def test_each_squash(squash):
    actions = one_action(squash, OUTPUTS)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, EXPECTED[squash], atol=1e-6)


@pytest.mark.parametrize("squash", EXPECTED)
def test_actions_stay_within_the_tasks_bounds(squash):
    extreme = np.array([-1e9, -3, 0, 3, 1e9])
    assert one_action(squash, extreme, low=0, high=0.5).min() >= 0
    assert one_action(squash, extreme, low=0, high=0.5).max() == 0.5
    assert one_action(squash, extreme, low=-0.25, high=1).min() >= -0.25


def test_each_output_has_its_own_squash_whatever_the_leading_dimensions():
    outputs = np.random.default_rng(0).normal(size=(2, 5, 3))
    mapped = action_codec(CAR, config("tanh", "tanh01", "relu_tanh")).decide
    actions = mapped(outputs)
    assert actions.shape == (2, 5, 3)
    for i, squash in enumerate(("tanh", "tanh01", "relu_tanh")):
        np.testing.assert_array_equal(actions[0, :, i], one_action(squash, outputs[0, :, i]))
    np.testing.assert_array_equal(actions[1, 3], mapped(outputs[1, 3]))


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ((0.3, 0.6, 0.9), (0.3, 0.6, 0.2)),  # a full stop becomes slowing down
        ((0.3, 0.6, 0.5), (0.3, 0.6, 0.2)),  # from the bound on
        ((0.3, 0.6, 0.4), (0.3, 0.6, 0.4)),  # less than a full stop is left alone
        ((0.3, 0.05, 0.05), (0.3, 0.0, 0.0)),  # small pedals are not used
        ((0.05, 0.6, 0.4), (0.05, 0.6, 0.4)),  # steering has no threshold
        ((-0.9, 0.05, 0.9), (-0.9, 0.0, 0.2)),
    ],
)
def test_the_heuristic_changes_pedals_only(wanted, given):
    steer, gas, brake = wanted
    outputs = np.arctanh([steer, 2 * gas - 1, brake + 1e-12])
    with_it = action_codec(CAR, config("tanh", "tanh01", "relu_tanh", heuristic=True)).decide
    without = action_codec(CAR, config("tanh", "tanh01", "relu_tanh", heuristic=False)).decide
    np.testing.assert_allclose(with_it(outputs), given, atol=1e-6)
    np.testing.assert_allclose(without(outputs), wanted, atol=1e-6)


def test_the_heuristics_numbers_are_configurable():
    rules = {"heuristic_full_stop": 0.8, "heuristic_slow_down": 0.3, "heuristic_threshold": 0.25}
    mapped = action_codec(CAR, config("clip", "clip", "clip", heuristic=True, **rules)).decide
    np.testing.assert_allclose(mapped(np.array([0.1, 0.2, 0.7])), [0.1, 0, 0.7], atol=1e-6)
    np.testing.assert_allclose(mapped(np.array([0.1, 0.3, 0.9])), [0.1, 0.3, 0.3], atol=1e-6)
    np.testing.assert_allclose(mapped(np.array([0.1, 0.25, 0.8])), [0.1, 0, 0.3], atol=1e-6)  # the bounds themselves


@pytest.mark.parametrize("squash", [["tanh"], ["tanh"] * 4])
def test_a_squash_for_each_action_is_required(squash):
    with pytest.raises(ConfigError, match=rf"env.squash=.* has {len(squash)} entries: expected 3"):
        action_codec(CAR, config(*squash))


def test_an_unknown_squash_is_refused():
    with pytest.raises(ConfigError, match=r"env\.squash=sin is unknown: .*tanh, tanh01, relu_tanh, clip"):
        action_codec(CAR, config("tanh", "sin", "tanh"))


def test_the_heuristic_belongs_to_car_racing():
    with pytest.raises(ConfigError, match=r"env\.heuristic=true is CarRacing's own"):
        dataclasses.replace(config("tanh", "tanh", heuristic=True), name="lunar_lander")


def test_without_a_squash_tanh_reaches_onto_the_bounds():
    space = Box(np.float32([-2, 0]), np.float32([2, 10]))
    actions = decided(space, np.array([[-1e3, -1e3], [0, 0], [0.5, 0.5], [1e3, 1e3]]))
    np.testing.assert_allclose(actions, [[-2, 0], [0, 5], 2 * np.tanh(0.5) * np.array([1, 2.5]) + [0, 5], [2, 10]])


SPACES = {
    "box": CAR,
    "box of another shape and type": Box(-3.0, 3.0, (2, 2), np.float64),
    "whole numbers": Box(np.uint8([0, 3, 7]), np.uint8([255, 4, 9]), dtype=np.uint8),
    "discrete": Discrete(5),
    "discrete from 3": Discrete(4, start=3),
    "multi discrete": MultiDiscrete([2, 4, 3]),
    "multi discrete in rows": MultiDiscrete([[2, 3], [4, 2]]),
    "multi binary": MultiBinary(4),
    "multi binary in rows": MultiBinary((2, 3)),
}


@pytest.mark.parametrize("kind", SPACES)
def test_an_action_survives_its_vector(kind):
    space = SPACES[kind]
    codec = action_codec(space, config())
    space.seed(0)
    for _ in range(20):
        action = space.sample()
        vector = codec.encode(action)
        assert (vector.shape, vector.dtype) == ((codec.size,), np.float32)
        assert (codec.low <= vector).all() and (vector <= codec.high).all()
        again = codec.decode(vector)
        assert space.contains(again)
        np.testing.assert_allclose(again, action, rtol=1e-6)
        np.testing.assert_array_equal(codec.nearest(vector), vector)


@pytest.mark.parametrize("kind", SPACES)
def test_what_is_drawn_or_decided_is_an_action(kind):
    space = SPACES[kind]
    codec, rng = action_codec(space, config()), np.random.default_rng(0)
    for vector in (codec.sample(rng), *codec.decide(rng.normal(size=(5, codec.outputs)))):
        assert (vector.shape, vector.dtype) == ((codec.size,), np.float32)
        assert space.contains(codec.decode(vector))
        np.testing.assert_array_equal(codec.nearest(vector), vector)


def test_a_plain_continuous_action_is_its_own_vector():
    vector = np.float32([0.5, 0.25, 1])
    assert action_codec(CAR, config()).decode(vector) is vector


def test_c_takes_the_largest_output_of_each_choice():
    assert action_codec(Discrete(3, start=7), config()).encode(8).tolist() == [0, 1, 0]
    outputs = np.array([[0.1, -2, 0.3], [5, 5, 1], [-9, -1, -3]])
    assert decided(Discrete(3), outputs).argmax(axis=1).tolist() == [2, 0, 1]
    codec = action_codec(MultiDiscrete([2, 3]), config())
    assert (codec.size, codec.outputs) == (5, 5)
    assert codec.decide(np.array([1.0, 2, 9, 0, 10])).tolist() == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("options", [2, 3, 6])
def test_a_threshold_cuts_the_range_of_tanh_into_equal_intervals(options):
    """As Ha & Schmidhuber's (2018) agent in VizDoom, whose one output in [-1, 1] is cut at ±1/3."""
    codec = action_codec(Discrete(options), config(discrete="threshold"))
    assert (codec.size, codec.outputs) == (options, 1)
    edges = np.linspace(-1, 1, options + 1)
    inner = np.arctanh(edges[1:-1])
    assert [codec.decode(codec.decide(np.array([x - 1e-6]))) for x in inner] == list(range(options - 1))
    assert [codec.decode(codec.decide(np.array([x + 1e-6]))) for x in inner] == list(range(1, options))
    assert [codec.decode(codec.decide(np.array([x]))) for x in (-1e9, 1e9)] == [0, options - 1]


def test_a_threshold_is_one_output_a_choice():
    codec = action_codec(MultiDiscrete([2, 3]), config(discrete="threshold"))
    assert (codec.size, codec.outputs) == (5, 2)
    decided = {
        tuple(codec.decode(codec.decide(np.array(pair)))) for pair in itertools.product([-9.0, 0.1, 9], repeat=2)
    }
    assert decided == {(i, j) for i in range(2) for j in range(3)}


def test_c_turns_on_what_is_above_zero():
    assert decided(MultiBinary(3), np.array([-1e-9, 1e-9, 4])).tolist() == [0, 1, 1]
    assert decided(MultiBinary(3), np.array([-1e-9, 1e-9, 4]), discrete="threshold").tolist() == [0, 1, 1]


def test_the_nearest_action_keeps_the_type_of_what_it_is_near_to():
    for space in SPACES.values():
        codec = action_codec(space, config())
        for kind in (np.float32, np.float64):
            assert codec.nearest(np.full((2, codec.size), 0.4, kind)).dtype == kind
    assert action_codec(Discrete(3), config()).nearest(np.array([0.2, 0.9, 0.8])).tolist() == [0, 1, 0]
    assert action_codec(MultiBinary(3), config()).nearest(np.array([0.2, 0.9, 0.5])).tolist() == [0, 1, 0]


UNBOUNDED = [Box(-np.inf, np.inf, (2,)), Box(0, np.inf, (1,)), Box(-3e38, 3e38, (1,))]


@pytest.mark.parametrize("space", UNBOUNDED, ids=str)
def test_actions_without_bounds_are_refused(space):
    with pytest.raises(
        ConfigError, match=r"^env\.id=Mine-v0 has actions without bounds .*: expected finite ones"
    ) as caught:
        action_codec(space, config())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("space", [Text(3), Dict({"a": Discrete(2)})], ids=str)
def test_other_actions_are_refused(space):
    with pytest.raises(ConfigError, match=r"^env\.id=Mine-v0 has actions .*: expected Box, Discrete, MultiDiscrete or"):
        action_codec(space, config())


def test_the_heuristic_needs_pedals():
    with pytest.raises(ConfigError, match=r"env\.heuristic=true .* set env\.heuristic=false"):
        action_codec(Discrete(5), config(heuristic=True))
