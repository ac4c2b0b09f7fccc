"""Batches of one shape."""

import pytest
import torch

from worldmodels.utils.batches import in_batches


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_every_row_comes_back_and_every_batch_is_full(count):
    x, y = torch.arange(count * 6.0).reshape(count, 2, 3), torch.arange(float(count))
    shapes = []

    def function(x, y):
        shapes.append((x.shape, y.shape))
        return x.sum((1, 2)) + y, y

    total, same = in_batches(function, 4, x, y)
    assert torch.equal(total, x.sum((1, 2)) + y)
    assert torch.equal(same, y)
    assert set(shapes) == {((4, 2, 3), (4,))}
