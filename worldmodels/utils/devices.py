"""Where a network is."""

import itertools

import torch
from torch import nn


def device_of(network: nn.Module) -> torch.device:
    """The device of a network's parameters and buffers; that of tensors made by default where it has none."""
    first = next(itertools.chain(network.parameters(), network.buffers()), None)
    return torch.empty(0).device if first is None else first.device
