"""The interface of a vision model (V): all that other code uses of one."""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class Latent(NamedTuple):
    """Diagonal Gaussian over z: (B, Z) each."""

    mu: Tensor
    log_var: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """z = μ + σ·noise (Kingma & Welling 2014, section 2.4). noise: (B, Z) standard normal -> (B, Z)."""
        return self.mu + torch.exp(self.log_var / 2) * noise


class Vision(nn.Module):
    """V. A class of one's own may derive from this one; it need not, if it is an ``nn.Module`` with ``latent_size``,
    `encode` and `decode`. Frames are (B, 3, 64, 64) float32 in 0–1.

    ``LOW_PRECISION`` names modules that `encode` can run in bf16 where nothing trains: their weights are then bf16, and
    `encode` gives them inputs of that type. Where it is empty, V always encodes in float32.
    """

    LOW_PRECISION: ClassVar[tuple[str, ...]] = ()
    latent_size: int

    def prepare(self, rollouts: Iterable[Tensor]) -> None:
        """Optional: take from the training rollouts, (T, 64, 64, 3) uint8 each, what is counted rather than trained.
        Called once, before training.
        """

    def encode(self, frames: Tensor) -> Latent:
        """(B, 3, 64, 64) -> latents (B, Z), in float32 outside autocast."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """(B, Z) -> (B, 3, 64, 64) in 0–1."""
        raise NotImplementedError


def reconstruct(network: Vision, frames: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Latent]:
    """Through a sampled z, ``noise`` (B, Z) standard normal, or without noise from μ, as an agent sees: frames
    (B, 3, 64, 64) -> (B, 3, 64, 64) in 0–1, and latents.
    """
    latent = Latent(*network.encode(frames))
    return network.decode(latent.mu if noise is None else latent.sample(noise)), latent
