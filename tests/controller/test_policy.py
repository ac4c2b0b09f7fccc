"""The linear controllers against explicit matrix algebra."""

import numpy as np
import pytest

from worldmodels.controller.policy import LinearControllers, parameter_count


@pytest.mark.parametrize(("inputs", "actions"), [(1, 1), (1, 3), (5, 1), (288, 3)])
def test_outputs_are_each_slots_weights_times_its_inputs_plus_its_bias(inputs: int, actions: int) -> None:
    rng = np.random.default_rng(0)
    weights, biases = rng.normal(size=(4, actions, inputs)), rng.normal(size=(4, actions))
    slots, x = [2, 0, 3], rng.normal(size=(3, inputs))
    controllers = LinearControllers(4, inputs, actions)
    for slot in (3, 1, 0, 2):
        controllers.set(slot, np.concatenate([*weights[slot], biases[slot]]))  # W row by row, then b
    expected = [
        [sum(w * v for w, v in zip(line, row, strict=True)) + b for line, b in zip(weights[s], biases[s], strict=True)]
        for s, row in zip(slots, x, strict=True)
    ]
    assert controllers(slots, x).shape == (3, actions)
    np.testing.assert_allclose(controllers(slots, x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("inputs", "actions"), [(10, 2), (288, 3), (544, 4)])
def test_a_slots_output_is_the_same_to_the_last_bit_whoever_is_beside_it(inputs: int, actions: int) -> None:
    rng = np.random.default_rng(0)
    controllers = LinearControllers(20, inputs, actions)
    for slot in range(20):
        controllers.set(slot, rng.normal(size=parameter_count(inputs, actions)))
    x = rng.normal(size=(20, inputs))
    alone = np.concatenate([controllers([slot], x[[slot]]) for slot in range(20)])
    for count in range(1, 21):
        slots = rng.permutation(20)[:count]
        np.testing.assert_array_equal(controllers(slots.tolist(), x[slots]), alone[slots])


def test_parameters_that_are_replaced_leave_nothing_behind() -> None:
    controllers = LinearControllers(2, 4, 2)
    controllers.set(0, np.full(10, 3.0))
    controllers.set(1, np.full(10, 5.0))
    controllers.set(0, np.arange(10.0))
    assert controllers([0, 1], np.ones((2, 4))).tolist() == [[0 + 1 + 2 + 3 + 8, 4 + 5 + 6 + 7 + 9], [25, 25]]


def test_an_untrained_controller_puts_out_zeros() -> None:
    assert LinearControllers(1, 4, 2)([0], np.ones((1, 4))).tolist() == [[0.0, 0.0]]


def test_a_controller_has_a_weight_for_every_input_and_a_bias() -> None:
    assert [parameter_count(inputs, actions) for inputs, actions in ((1, 1), (5, 3), (10, 2))] == [2, 18, 22]


def test_the_published_size_for_car_racing() -> None:
    """Ha & Schmidhuber 2018, table 2: 867 parameters."""
    assert parameter_count(32 + 256, 3) == 867
