"""The linear read-out of the true state, and controllers that act on it."""

import numpy as np
import pytest

from worldmodels.controller import readout
from worldmodels.controller.policy import Controllers, Shape


def rollouts():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(3, [1, 10, 0.1], (length, 3)) for length in (40, 1, 25)]
    truth = np.array([[1.0, -2, 3], [0, 0.5, 0]])
    return [(x, x @ truth.T + 4 + rng.normal(0, 0.3, (len(x), 2))) for x in inputs]


def test_it_is_the_least_squares_of_another_hand():
    fitted = readout.fit(rollouts())
    x, y = (np.concatenate(column) for column in zip(*rollouts(), strict=True))
    scaled = (x - x.mean(0)) / x.std(0)
    ridge = np.sqrt(len(x) * readout.RIDGE) * np.eye(3)
    rows = np.vstack([scaled, ridge])
    solution = np.linalg.lstsq(rows, np.vstack([y - y.mean(0), np.zeros((3, 2))]), rcond=None)[0]
    np.testing.assert_allclose(x @ fitted.weights.T + fitted.bias, scaled @ solution + y.mean(0), rtol=1e-8)
    plain = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    np.testing.assert_allclose(fitted.weights, plain[:3].T, rtol=0.01, atol=0.02)


def test_a_constant_input_counts_for_nothing_however_large_it_is():
    x = np.random.default_rng(0).normal(size=(5000, 3))
    y = 2 * x[:, :1] + 1
    weights = []
    for constant in (1.0, 1e3):
        x[:, 2] = constant
        halves = [(x[:2500], y[:2500]), (x[2500:], y[2500:])]
        weights.append(readout.fit(halves).weights)
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-9, atol=1e-9)
    assert abs(weights[1][0, 2]) < 1e-9


@pytest.mark.parametrize("hidden", [None, 4])
def test_a_controller_on_the_read_out_is_one_on_the_inputs(hidden):
    rng = np.random.default_rng(1)
    fitted = readout.ReadOut(rng.normal(size=(2, 5)), rng.normal(size=2))
    on, whole = Shape(2, 3, hidden), Shape(5, 3, hidden)
    on_state, x = rng.normal(size=(4, on.size)), rng.normal(size=(4, 5))
    on_inputs = fitted.to_controller(on_state, on)
    assert on_inputs.shape == (4, whole.size)
    np.testing.assert_allclose(fitted.to_controller(on_state[0], on), on_inputs[0])
    given = []
    for shape, parameters, seen in ((on, on_state, x @ fitted.weights.T + fitted.bias), (whole, on_inputs, x)):
        controllers = Controllers(4, shape)
        for slot in range(4):
            controllers.set(slot, parameters[slot])
        given.append(controllers(range(4), seen))
    np.testing.assert_allclose(*given)


def test_it_is_kept(tmp_path):
    fitted = readout.fit(rollouts())
    fitted.save(tmp_path / "readout.safetensors")
    again = readout.ReadOut.load(tmp_path / "readout.safetensors")
    np.testing.assert_array_equal(again.weights, fitted.weights)
    np.testing.assert_array_equal(again.bias, fitted.bias)
    assert [path.name for path in tmp_path.iterdir()] == ["readout.safetensors"]
