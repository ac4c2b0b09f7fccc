"""From C's unbounded outputs to actions."""

import dataclasses

import numpy as np
import pytest

from worldmodels.envs import ActionMap, TaskSpec
from worldmodels.envs.config import EnvConfig
from worldmodels.utils.errors import ConfigError

CAR = TaskSpec("car_racing", np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32), (), 50)
OUTPUTS = np.linspace(-4, 4, 33)


def config(*squash, **values):
    return EnvConfig(name="car_racing", id="", max_steps=2, squash=list(squash), default_source="", **values)


def one_action(squash, outputs, low=-1.0, high=1.0):
    spec = TaskSpec("car_racing", np.array([low], np.float32), np.array([high], np.float32), (), 50)
    return ActionMap(config(squash), spec)(outputs[:, None])[:, 0]


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
    mapped = ActionMap(config("tanh", "tanh01", "relu_tanh"), CAR)
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
    with_it = ActionMap(config("tanh", "tanh01", "relu_tanh", heuristic=True), CAR)
    without = ActionMap(config("tanh", "tanh01", "relu_tanh", heuristic=False), CAR)
    np.testing.assert_allclose(with_it(outputs), given, atol=1e-6)
    np.testing.assert_allclose(without(outputs), wanted, atol=1e-6)


def test_the_heuristics_numbers_are_configurable():
    rules = {"heuristic_full_stop": 0.8, "heuristic_slow_down": 0.3, "heuristic_threshold": 0.25}
    mapped = ActionMap(config("clip", "clip", "clip", heuristic=True, **rules), CAR)
    np.testing.assert_allclose(mapped(np.array([0.1, 0.2, 0.7])), [0.1, 0, 0.7], atol=1e-6)
    np.testing.assert_allclose(mapped(np.array([0.1, 0.3, 0.9])), [0.1, 0.3, 0.3], atol=1e-6)
    np.testing.assert_allclose(mapped(np.array([0.1, 0.25, 0.8])), [0.1, 0, 0.3], atol=1e-6)  # the bounds themselves


@pytest.mark.parametrize("squash", [["tanh"], ["tanh"] * 4])
def test_a_squash_for_each_action_is_required(squash):
    with pytest.raises(ConfigError, match=rf"env.squash=.* has {len(squash)} entries: expected 3"):
        ActionMap(config(*squash), CAR)


def test_an_unknown_squash_is_refused():
    with pytest.raises(ConfigError, match=r"env\.squash=sin is unknown: .*tanh, tanh01, relu_tanh, clip"):
        ActionMap(config("tanh", "sin", "tanh"), CAR)


def test_the_heuristic_belongs_to_car_racing():
    with pytest.raises(ConfigError, match=r"env\.heuristic=true is CarRacing's own"):
        dataclasses.replace(config("tanh", "tanh", heuristic=True), name="lunar_lander")
