"""The fast transposed convolution is the slow one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from worldmodels.vision.transposed import TransposedConvolution

SHAPES = [(5, 3, 5, 1), (4, 2, 5, 5), (3, 4, 6, 4), (2, 3, 6, 1), (3, 1, 4, 3), (2, 2, 1, 3), (2, 3, 3, 2)]


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "size"), SHAPES)
def test_values_and_gradients_are_pytorchs(inputs, outputs, kernel, size):
    torch.manual_seed(0)
    layer = TransposedConvolution(inputs, outputs, kernel).double()
    x = torch.randn(3, inputs, size, size, dtype=torch.double, requires_grad=True)
    y = layer(x)
    expected = functional.conv_transpose2d(x, layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(y, expected)
    towards = torch.randn_like(y)
    variables = (x, layer.weight, layer.bias)
    got = torch.autograd.grad(y, variables, towards)
    torch.testing.assert_close(got, torch.autograd.grad(expected, variables, towards))


@pytest.mark.parametrize("size", [1, 4])
def test_gradients_by_finite_differences(size):
    torch.manual_seed(0)
    layer = TransposedConvolution(2, 3, 5).double()
    x = torch.randn(2, 2, size, size, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("size", [1, 6])
def test_under_autocast_it_differs_from_float32_by_rounding(size):
    torch.manual_seed(0)
    layer, x = TransposedConvolution(16, 8, 6), torch.randn(2, 16, size, size)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), rtol=0.02, atol=0.02)
    y.float().square().sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32


def test_frozen_parameters_get_no_gradient():
    layer = TransposedConvolution(2, 3, 5).requires_grad_(False)
    x = torch.randn(2, 2, 4, 4, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None and x.grad is not None


def test_parameters_are_named_started_and_stored_like_pytorchs():
    torch.manual_seed(0)
    ours = TransposedConvolution(4, 3, 5)
    torch.manual_seed(0)
    theirs = nn.ConvTranspose2d(4, 3, 5, stride=2)
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other and torch.equal(p, q)
    formatted = copy.deepcopy(ours).to(memory_format=torch.channels_last)
    assert formatted.weight.is_contiguous()
    x = torch.randn(2, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(formatted(x), theirs(x))
