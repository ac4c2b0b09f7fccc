"""Batches of one shape."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional


def in_batches(function: Callable[..., Sequence[Tensor]], rows: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """``function`` of the inputs (B, ...) in batches of exactly ``rows``, the last one filled up with zeros.

    The order of a library's sums depends on the batch's shape. With one shape, the result of a row depends neither on
    the number of rows nor on its position among them.
    """
    parts = []
    for batch in zip(*(x.split(rows) for x in inputs), strict=True):
        count = len(batch[0])
        filled = [functional.pad(x, (0, 0) * (x.ndim - 1) + (0, rows - count)) for x in batch]
        parts.append([x[:count] for x in function(*filled)])
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))
