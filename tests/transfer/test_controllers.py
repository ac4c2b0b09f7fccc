"""What a search for C is given of another one."""

import numpy as np
import pytest

from worldmodels.transfer.controllers import warm_start
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
    np.testing.assert_array_equal(warm_start(SOURCE, 2, inputs, actions), expected)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ConfigError, match="8 parameters: expected a multiple of its 3 outputs"):
        warm_start(SOURCE, 3, 3, 2)
