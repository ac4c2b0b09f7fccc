"""The controllers against explicit matrix algebra."""

import math

import numpy as np
import pytest

from worldmodels.controller.policy import Controllers, Shape, joined, outputs_of


@pytest.mark.parametrize(("inputs", "actions"), [(1, 1), (1, 3), (5, 1), (288, 3)])
def test_outputs_are_each_slots_weights_times_its_inputs_plus_its_bias(inputs: int, actions: int) -> None:
    rng = np.random.default_rng(0)
    weights, biases = rng.normal(size=(4, actions, inputs)), rng.normal(size=(4, actions))
    slots, x = [2, 0, 3], rng.normal(size=(3, inputs))
    controllers = Controllers(4, Shape(inputs, actions))
    for slot in (3, 1, 0, 2):
        controllers.set(slot, np.concatenate([*weights[slot], biases[slot]]))  # W row by row, then b
    expected = [
        [sum(w * v for w, v in zip(line, row, strict=True)) + b for line, b in zip(weights[s], biases[s], strict=True)]
        for s, row in zip(slots, x, strict=True)
    ]
    assert controllers(slots, x).shape == (3, actions)
    np.testing.assert_allclose(controllers(slots, x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("inputs", "actions", "hidden"), [(1, 1, 1), (5, 1, 3), (20, 3, 40)])
def test_a_hidden_layer_is_that_of_tanh_units_between(inputs: int, actions: int, hidden: int) -> None:
    """Number by number: W₁ row by row, b₁, W₂ row by row, b₂."""
    rng = np.random.default_rng(0)
    shape, slots = Shape(inputs, actions, hidden), [2, 0, 3]
    parameters, x = rng.normal(size=(4, shape.size)), rng.normal(size=(3, inputs))
    controllers = Controllers(4, shape)
    for slot in (3, 1, 0, 2):
        controllers.set(slot, parameters[slot])
    expected = []
    for slot, row in zip(slots, x, strict=True):
        left, numbers = iter(parameters[slot].tolist()), row.tolist()
        first = [[next(left) for _ in numbers] for _ in range(hidden)]
        units = [math.tanh(sum(map(float.__mul__, line, numbers)) + next(left)) for line in first]
        second = [[next(left) for _ in units] for _ in range(actions)]
        expected.append([sum(map(float.__mul__, line, units)) + next(left) for line in second])
        assert next(left, None) is None
    np.testing.assert_allclose(controllers(slots, x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hidden", [None, 3])
def test_parameters_are_split_into_layers_and_joined_again(hidden: int | None) -> None:
    shape = Shape(4, 2, hidden)
    parameters = np.random.default_rng(0).normal(size=(5, 6, shape.size))
    np.testing.assert_array_equal(joined(shape.split(parameters)), parameters)


@pytest.mark.parametrize("hidden", [None, 3])
@pytest.mark.parametrize("more", [-1, 1, 5])
def test_parameters_of_another_controller_are_refused(hidden: int | None, more: int) -> None:
    shape = Shape(4, 2, hidden)
    with pytest.raises(ValueError, match=rf"^{shape.size + more} parameters: expected {shape.size}, of Shape"):
        Controllers(1, shape).set(0, np.zeros(shape.size + more))


@pytest.mark.parametrize("hidden", [None, 1, 7, 40])
@pytest.mark.parametrize(("inputs", "actions"), [(10, 2), (288, 3), (544, 4)])
def test_a_slots_output_is_the_same_to_the_last_bit_whoever_is_beside_it(
    inputs: int, actions: int, hidden: int | None
) -> None:
    rng, shape = np.random.default_rng(0), Shape(inputs, actions, hidden)
    controllers = Controllers(20, shape)
    for slot in range(20):
        controllers.set(slot, rng.normal(size=shape.size))
    x = rng.normal(size=(20, inputs))
    alone = np.concatenate([controllers([slot], x[[slot]]) for slot in range(20)])
    for count in range(1, 21):
        slots = rng.permutation(20)[:count]
        np.testing.assert_array_equal(controllers(slots.tolist(), x[slots]), alone[slots])


@pytest.mark.parametrize("hidden", [None, 3])
def test_many_rows_of_a_controller_are_its_rows_one_by_one(hidden: int | None) -> None:
    rng, shape = np.random.default_rng(0), Shape(4, 2, hidden)
    population, x = rng.normal(size=(3, shape.size)), rng.normal(size=(3, 6, 4))
    outputs = outputs_of([(weights[:, None], bias[:, None]) for weights, bias in shape.split(population)], x)
    alone = Controllers(1, shape)
    for i, parameters in enumerate(population):
        alone.set(0, parameters)
        np.testing.assert_array_equal(np.concatenate([alone([0], row[None]) for row in x[i]]), outputs[i])


def test_parameters_that_are_replaced_leave_nothing_behind() -> None:
    controllers = Controllers(2, Shape(4, 2))
    controllers.set(0, np.full(10, 3.0))
    controllers.set(1, np.full(10, 5.0))
    controllers.set(0, np.arange(10.0))
    assert controllers([0, 1], np.ones((2, 4))).tolist() == [[0 + 1 + 2 + 3 + 8, 4 + 5 + 6 + 7 + 9], [25, 25]]


@pytest.mark.parametrize("hidden", [None, 3])
def test_an_untrained_controller_puts_out_zeros(hidden: int | None) -> None:
    assert Controllers(1, Shape(4, 2, hidden))([0], np.ones((1, 4))).tolist() == [[0.0, 0.0]]


def test_a_controller_has_a_weight_for_every_input_and_a_bias() -> None:
    assert [Shape(inputs, actions).size for inputs, actions in ((1, 1), (5, 3), (10, 2))] == [2, 18, 22]
    assert [Shape(*sizes).size for sizes in ((1, 1, 1), (5, 3, 2))] == [2 + 2, 12 + 9]


def test_the_published_sizes_for_car_racing() -> None:
    """Ha & Schmidhuber 2018, table 2: 867 parameters; with a hidden layer their code has 40 units, on z."""
    assert Shape(32 + 256, 3).size == 867
    assert Shape(32, 3, 40).size == 33 * 40 + 40 * 3 + 3
