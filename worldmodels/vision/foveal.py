"""A V with a fovea: the convolutional VAE whose encoder also looks closely at what is unusual in a frame."""

import math
from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor, nn

from worldmodels.utils.checks import require
from worldmodels.utils.settings import Setting
from worldmodels.vision.interface import Latent
from worldmodels.vision.network import Bottleneck, ConvVAE, Encoder
from worldmodels.vision.salience import GLIMPSE, Salience, fixate, glimpse

PLACE = 2  # numbers of a place
REACH = 2.0  # of the place in z, so that it varies about as much as the other numbers
BLUR = 0.02  # σ of the place in z: a third of a pixel


class Fovea(nn.Module):
    """What and where: (B, 3, 64, 64) in 0–1 -> (B, features + 3), features of a glimpse of the most salient place, that
    place, and a 1; all 0 where nothing is salient.

    A glimpse of one place at a time is Mnih et al. 2014 (arXiv:1406.6247); here the place is not learnt but the most
    salient one (Itti, Koch & Niebur 1998).
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.salience = Salience()
        self.layers = nn.ModuleList([nn.Conv2d(4, 16, kernel_size=3), nn.Conv2d(16, 32, kernel_size=4, stride=2)])
        self.dense = nn.Linear(32 * 4 * 4, features)

    def forward(self, frames: Tensor) -> Tensor:
        salience = self.salience(frames)
        fixation = fixate(salience)
        x = glimpse(torch.cat([frames.float(), salience], dim=1), fixation, GLIMPSE).to(frames.dtype)
        for layer in self.layers:
            x = layer(x).relu()
        present = fixation.present.unsqueeze(1)
        features = self.dense(x.flatten(1)).relu().float()
        return torch.cat([features * present, fixation.position * present, present], dim=1)


class FovealEncoder(Encoder):
    """The encoder of the paper beside a fovea: (B, 3, 64, 64) -> (B, 1024 + features + 3).

    Four convolutions without padding end in 2×2 places, so that the paper's encoder has to learn a small thing's shape
    anew for every place; a glimpse shows it always in the middle.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.fovea = Fovea(features)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super().forward(x).float(), self.fovea(x)], dim=1)


class PlaceAndBottleneck(Bottleneck):
    """The place that the features of a `FovealEncoder` hold, before a bottleneck for the rest of z."""

    def __init__(self, latent_size: int, features: int) -> None:
        super().__init__(latent_size - PLACE, features)

    def forward(self, x: Tensor) -> Latent:
        what, place = super().forward(x), x[:, -PLACE - 1 : -1] * REACH
        blur = torch.full_like(place, 2 * math.log(BLUR))
        return Latent(torch.cat([place, what.mu], dim=1), torch.cat([blur, what.log_var], dim=1))


class FovealVAE(ConvVAE):
    """V with a `FovealEncoder`; bottleneck and decoder are as in the paper. With 61 features the bottleneck reads 1,088
    numbers, a multiple of 64: with an odd width, a library's product of matrices can depend on a row's place.

    With ``where``, the first two numbers of z are the place itself, row and column in -`REACH` to `REACH` from edge to
    edge, and the others what is learnt: the split of Eslami et al. 2016 (arXiv:1603.08575) into where and what. Their μ
    is the place to a fraction of a pixel, their σ is `BLUR`. Where nothing is salient they are 0.
    """

    def __init__(
        self,
        latent_size: Annotated[int, Setting("Dimensions of z.", at_least=1)] = 32,
        features: Annotated[int, Setting("Features of the glimpse.", at_least=1, counts="unless default")] = 61,
        where: Annotated[
            bool,
            Setting("Whether the first two numbers of z are the place that is looked at.", counts="unless default"),
        ] = False,
    ) -> None:
        require(
            not where or latent_size > PLACE,
            f"vae.network.latent_size={latent_size} leaves nothing beside the place: expected {PLACE + 1} or more, or "
            "vae.network.where=false",
        )
        super().__init__(latent_size)
        self.encoder = FovealEncoder(features)
        kind = PlaceAndBottleneck if where else Bottleneck
        self.bottleneck = kind(latent_size, features=1024 + features + PLACE + 1)

    def prepare(self, rollouts: Iterable[Tensor]) -> None:
        """Count the usual colours. They are the task's: a V from another task counts its own anew, also where its
        encoder is frozen.
        """
        self.encoder.fovea.salience.prepare(rollouts)
