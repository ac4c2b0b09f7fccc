"""V without training: bf16 where the hardware multiplies it natively, and the same numbers for any batch."""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worldmodels.utils.devices import device_of
from worldmodels.vision.interface import Latent, Vision
from worldmodels.vision.scaling import to_unit


class FrameEncoder:
    """V's `encode` on batches of ``rows`` frames, the last one filled up with zeros.

    The order of a library's sums depends on the batch's shape. With one shape, a frame's latent depends neither on the
    number of frames that are encoded with it nor on its position among them. Where ``precision`` says bf16, the modules
    that V names in ``LOW_PRECISION`` run in it; all else is float32. A copy of V encodes; V itself does not change.
    """

    def __init__(self, vision: Vision, precision: str, rows: int) -> None:
        self._device = device_of(vision)
        self._network = copy.deepcopy(vision).eval()
        for name in getattr(vision, "LOW_PRECISION", ()):
            module = self._network.get_submodule(name)
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            if precision.startswith("bf16"):
                for parameter in module.parameters():  # buffers, which are counted rather than trained, stay exact
                    parameter.data = parameter.data.to(torch.bfloat16)
        self._rows = rows

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> Latent:
        """frames: (B, 64, 64, 3) uint8 -> latents (B, Z) float32."""
        parts = [self._encode(batch) for batch in torch.from_numpy(frames).split(self._rows)]
        return Latent(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def _encode(self, frames: Tensor) -> Latent:
        count = len(frames)
        if count < self._rows:
            frames = functional.pad(frames, (0, 0) * 3 + (0, self._rows - count))
        mu, log_var = self._network.encode(to_unit(frames.to(self._device)))
        return Latent(mu[:count].float(), log_var[:count].float())
