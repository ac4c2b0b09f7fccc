"""The linear controller against explicit matrix algebra."""

import numpy as np
import pytest

from worldmodels.controller.policy import LinearController


@pytest.mark.parametrize(("inputs", "actions"), [(1, 1), (1, 3), (5, 1), (288, 3)])
def test_outputs_are_weights_times_inputs_plus_bias(inputs: int, actions: int) -> None:
    rng = np.random.default_rng(0)
    weights, bias, x = rng.normal(size=(actions, inputs)), rng.normal(size=actions), rng.normal(size=inputs)
    controller = LinearController(inputs, actions)
    assert controller.size == actions * inputs + actions
    controller.parameters = np.concatenate([*weights, bias])  # W row by row, then b
    expected = [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weights, bias, strict=True)]
    assert controller(x).shape == (actions,)
    np.testing.assert_allclose(controller(x), expected, rtol=1e-10, atol=1e-12)


def test_an_untrained_controller_puts_out_zeros() -> None:
    controller = LinearController(4, 2)
    assert controller(np.ones(4)).tolist() == [0.0, 0.0]
    assert controller.parameters.shape == (controller.size,)


def test_the_published_size_for_car_racing() -> None:
    """Ha & Schmidhuber 2018, table 2: 867 parameters."""
    assert LinearController(32 + 256, 3).size == 867
