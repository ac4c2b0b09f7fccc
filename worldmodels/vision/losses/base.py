"""What the losses of V share: the quantity to minimise, and the two figures that are reported for every loss alike."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from worldmodels.utils.errors import ConfigError
from worldmodels.vision.interface import Latent


class Losses(NamedTuple):
    """Means over the batch, each (): ``total`` is minimised; the others are the same for every loss, so runs
    compare.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


class TrainingContext(NamedTuple):
    """The data that exist before V is trained, for losses that prepare something from them.

    ``rollouts``: those V trains on, (T, 64, 64, 3) uint8 each, read anew in every pass over them. ``source``: the
    weights of the finished V that a loss's setting ``run`` names.
    """

    seed: int
    rollouts: Iterable[Tensor] = ()
    source: Path | None = None


def squared_error(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Squared error summed over a frame's 12,288 values in 0–1: (B, 3, 64, 64) -> (B,)."""
    return (reconstruction.float() - frames.float()).square().flatten(1).sum(1)


def kl_divergence(latent: Latent) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats per frame, summed over z: (B, Z) -> (B,). Kingma & Welling 2014, App. B."""
    mu, log_var = latent.mu.float(), latent.log_var.float()
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1)


def floored(kl: Tensor, kl_floor: float, latent_size: int) -> Tensor:
    """KL of each frame, clamped from below at ``kl_floor`` nats times the latent size, as in the code of Ha &
    Schmidhuber 2018; below the floor KL has no gradient. (B,) -> (B,).
    """
    return kl.clamp(min=kl_floor * latent_size)


class Loss(nn.Module):
    """Some measure of a reconstruction's error, plus KL. A loss says which by overriding `distance`.

    What it prepares from ``context`` it keeps in buffers, so that it goes to the device with the module. Parameters, if
    it has any, are trained with V and thrown away. Its own settings are declared in its constructor, which is also
    given ``latent_size`` if it asks for it. A loss that has to be trained in a way of its own names a LightningModule
    as ``module``, and in ``needs`` the modules of V that this trains apart.
    """

    module: ClassVar[type | None] = None
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, kl_floor: float, context: TrainingContext) -> None:
        super().__init__()
        self.kl_floor = kl_floor

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        """(B, 3, 64, 64) twice, their `squared_error` (B,), and the z (B, Z) that was decoded -> what is minimised
        beside KL, (B,) or the mean ().
        """
        raise NotImplementedError

    def forward(self, reconstruction: Tensor, frames: Tensor, latent: Latent, z: Tensor) -> Losses:
        """Frames (B, 3, 64, 64) in 0–1, latents (B, Z). Raises `ConfigError` where `distance` is of another shape."""
        error, kl = squared_error(reconstruction, frames), kl_divergence(latent)
        distance = self.distance(reconstruction, frames, error, z)
        if not isinstance(distance, Tensor) or distance.shape not in ((), error.shape):  # others could broadcast
            shape = tuple(distance.shape) if isinstance(distance, Tensor) else type(distance).__name__
            raise ConfigError(
                f"vae.loss={type(self).__module__}.{type(self).__name__}: distance() gave {shape} for {len(error)} "
                f"frames: expected a value for each frame, ({len(error)},), or their mean, ()"
            )
        cost = distance + floored(kl, self.kl_floor, latent.mu.shape[1])
        return Losses(cost.mean(), error.mean(), kl.mean())
