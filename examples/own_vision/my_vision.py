"""A V of one's own: an encoder of averages, and a decoder that draws small pictures and enlarges them."""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldmodels.utils.settings import Setting
from worldmodels.vision.interface import Latent


class PatchVAE(nn.Module):
    """Reads a frame as 16×16 mean colours. It has nothing but the interface: `encode`, `decode` and ``latent_size``."""

    def __init__(
        self,
        latent_size: Annotated[int, Setting("Dimensions of z.", at_least=1)] = 16,
        width: Annotated[int, Setting("Hidden units of encoder and decoder.", at_least=1)] = 32,
    ) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.reading = nn.Sequential(nn.Linear(3 * 16 * 16, width), nn.ReLU(), nn.Linear(width, 2 * latent_size))
        self.drawing = nn.Sequential(nn.Linear(latent_size, width), nn.ReLU(), nn.Linear(width, 3 * 16 * 16))

    def encode(self, frames: Tensor) -> Latent:
        """(B, 3, 64, 64) in 0–1 -> μ and log σ², (B, Z) each."""
        colours = functional.avg_pool2d(frames, 4).flatten(1)
        mu, log_var = self.reading(colours).chunk(2, dim=1)
        return Latent(mu, log_var)

    def decode(self, z: Tensor) -> Tensor:
        """(B, Z) -> (B, 3, 64, 64) in 0–1."""
        small = torch.sigmoid(self.drawing(z).float()).view(-1, 3, 16, 16)
        return functional.interpolate(small, scale_factor=4)
