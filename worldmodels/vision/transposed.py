"""`torch.nn.ConvTranspose2d` with stride 2 at the speed of ordinary convolutions on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class TransposedConvolution(nn.ConvTranspose2d):
    """A transposed convolution of stride 2 without padding: the same parameters and the same function.

    On a CPU, oneDNN's own takes two to three times as long as what it can be written as: for a 1×1 map a matrix
    product, else a convolution that gives the four pixels of each 2×2 cell as channels, and a shuffle of these (Shi et
    al. 2016, arXiv:1609.05158, section 2.2). Elsewhere it is left to PyTorch.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int) -> None:
        super().__init__(inputs, outputs, kernel_size, stride=2)

    def _apply(self, fn: Any, recurse: bool = True) -> "TransposedConvolution":
        """The weights are cut up below: they stay contiguous, whatever the memory format of the network."""
        super()._apply(fn, recurse)
        self.weight.data = self.weight.data.contiguous()
        return self

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, I, H, W) -> (B, O, 2 (H - 1) + kernel, 2 (W - 1) + kernel)"""
        x = input
        assert self.bias is not None
        if x.device.type != "cpu" or output_size is not None:
            return super().forward(x, output_size)
        if x.shape[2:] == (1, 1):
            bias = self.bias.repeat_interleave(self.weight[0, 0].numel())
            return functional.linear(x.flatten(1), self.weight.flatten(1).T, bias).unflatten(1, self.weight.shape[1:])
        return _Shuffled.apply(x, self.weight, self.bias)  # type: ignore[no-any-return]


class _Shuffled(torch.autograd.Function):
    """Forward by convolution and shuffle; backward as PyTorch does it, which is the faster way round."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, weight)
        inputs, outputs, kernel, _ = weight.shape
        odd = kernel % 2
        half = (kernel + odd) // 2
        cells = functional.pad(weight, (0, odd, 0, odd)).reshape(inputs, outputs, half, 2, half, 2)
        cells = cells.permute(1, 3, 5, 0, 2, 4).flip(4, 5).reshape(4 * outputs, inputs, half, half)
        cells = cells.contiguous(memory_format=torch.channels_last)
        y = functional.conv2d(x, cells, bias.repeat_interleave(4), padding=half - 1)
        y = functional.pixel_shuffle(y, 2)
        return y[:, :, :-1, :-1].contiguous(memory_format=torch.channels_last) if odd else y

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        shape, needed = [weight.shape[1]], list(ctx.needs_input_grad)
        return torch.ops.aten.convolution_backward(
            gradient, x, weight, shape, [2, 2], [0, 0], [1, 1], True, [0, 0], 1, needed
        )
