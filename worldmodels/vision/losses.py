"""Losses of V. Each returns the quantity to minimise and the two figures that are reported for every loss alike."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from worldmodels.vision.network import Latent


class Losses(NamedTuple):
    """Means over the batch, each (): ``total`` is minimised; the others are the same for every loss, so runs
    compare.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def squared_error(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Squared error summed over a frame's 12,288 values in 0–1: (B, 3, 64, 64) -> (B,)."""
    return (reconstruction.float() - frames.float()).square().flatten(1).sum(1)


def kl_divergence(latent: Latent) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats per frame, summed over z: (B, Z) -> (B,). Kingma & Welling 2014, App. B."""
    mu, log_var = latent.mu.float(), latent.log_var.float()
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1)


def mse(reconstruction: Tensor, frames: Tensor, latent: Latent, kl_floor: float) -> Losses:
    """Squared error plus KL, the KL of each frame clamped from below at ``kl_floor`` nats times the latent size, as in
    the code of Ha & Schmidhuber 2018; below the floor KL has no gradient.
    """
    error, kl = squared_error(reconstruction, frames), kl_divergence(latent)
    floored = kl.clamp(min=kl_floor * latent.mu.shape[1])
    return Losses((error + floored).mean(), error.mean(), kl.mean())


LOSSES: dict[str, Callable[[Tensor, Tensor, Latent, float], Losses]] = {"mse": mse}
