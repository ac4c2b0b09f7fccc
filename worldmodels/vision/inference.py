"""V's encoder without training: bf16 where the hardware multiplies it natively, and the same numbers for any batch."""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worldmodels.vision.network import ConvVAE, Latent
from worldmodels.vision.scaling import to_unit


class FrameEncoder:
    """Encodes frames in batches of ``rows``, the last one filled up with zeros.

    How a library sums depends on a batch's shape. With one shape, a frame's latent does not depend on how many others
    are encoded with it, nor on its place among them. The convolutions run in bf16 where ``precision`` says so, the
    dense layers in float32.
    """

    def __init__(self, vision: ConvVAE, precision: str, rows: int) -> None:
        self._dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float32
        self._device = next(vision.parameters()).device
        self._convolutions = copy.deepcopy(vision.encoder).eval()
        for parameter in self._convolutions.parameters():  # what is counted rather than trained stays as it is
            parameter.data = parameter.data.to(self._dtype)
        self._convolutions.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._dense = vision.bottleneck.eval()
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
        features = self._convolutions(to_unit(frames.to(self._device)).to(self._dtype))
        latent = self._dense(features.float())
        return Latent(latent.mu[:count], latent.log_var[:count])
