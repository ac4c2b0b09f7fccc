"""What a search for C is given of another one."""

import numpy as np
import pytest

from worldmodels.controller.policy import Shape
from worldmodels.controller.warm_start import warm_start
from worldmodels.utils.errors import ConfigError

SOURCE = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])  # two actions, three inputs: W = [[1, 2, 3], [4, 5, 6]], b = [7, 8]


@pytest.mark.parametrize(
    ("inputs", "actions", "expected"),
    [
        (3, 2, [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, 1, [1, 2, 3, 7]),
        (3, 3, [1, 2, 3, 4, 5, 6, 0, 0, 0, 7, 8, 0]),
        (2, 2, [1, 2, 4, 5, 7, 8]),
        (4, 1, [1, 2, 3, 0, 7]),
    ],
)
def test_rows_and_columns_go_to_their_place_and_the_others_are_zero(inputs, actions, expected):
    np.testing.assert_array_equal(warm_start(SOURCE, 2, Shape(inputs, actions)), expected)


@pytest.mark.parametrize(
    ("inputs", "actions", "expected"),
    [
        (2, 1, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1, 2, [1, 3, 5, 6, 7, 8, 0, 0, 9, 0]),
        (3, 1, [1, 2, 0, 3, 4, 0, 5, 6, 7, 8, 9]),
    ],
)
def test_with_a_hidden_layer_the_inputs_are_columns_of_the_first_and_the_actions_rows_of_the_last(
    inputs, actions, expected
):
    source = np.arange(1.0, 10)  # one action, two inputs, two units: [[1, 2], [3, 4]], [5, 6], [[7, 8]], [9]
    np.testing.assert_array_equal(warm_start(source, 1, Shape(inputs, actions, hidden=2)), expected)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ConfigError, match="8 parameters: expected those of one with 3 outputs and no hidden layer"):
        warm_start(SOURCE, 3, Shape(3, 2))
    with pytest.raises(ConfigError, match="8 parameters: expected those of one with 2 outputs and a hidden layer of 2"):
        warm_start(SOURCE, 2, Shape(3, 2, hidden=2))
