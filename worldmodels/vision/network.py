"""The convolutional VAE of Ha & Schmidhuber 2018 (App. A.1), layer for layer."""

import itertools
from typing import Annotated

from torch import Tensor, nn

from worldmodels.utils.settings import Setting
from worldmodels.vision.interface import Latent, Vision, reconstruct
from worldmodels.vision.transposed import TransposedConvolution


class Encoder(nn.Module):
    """Four convolutions, kernel 4, stride 2, no padding: (B, 3, 64, 64) -> (B, 1024). 690,144 parameters."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 32, 64, 128, 256)
        self.layers = nn.ModuleList(nn.Conv2d(i, o, kernel_size=4, stride=2) for i, o in itertools.pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return x.flatten(1)


class Bottleneck(nn.Module):
    """Two dense layers, μ and log σ²: (B, features) -> (B, Z) twice."""

    def __init__(self, latent_size: int, features: int = 1024) -> None:
        super().__init__()
        self.mu = nn.Linear(features, latent_size)
        self.log_var = nn.Linear(features, latent_size)

    def forward(self, x: Tensor) -> Latent:
        return Latent(self.mu(x), self.log_var(x))


class Decoder(nn.Module):
    """A dense layer and four transposed convolutions, stride 2: (B, Z) -> (B, 3, 64, 64), logits of pixels in 0–1."""

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(latent_size, 1024)
        self.layers = nn.ModuleList(
            TransposedConvolution(i, o, kernel)
            for i, o, kernel in ((1024, 128, 5), (128, 64, 5), (64, 32, 6), (32, 3, 6))
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z)[..., None, None]
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class ConvVAE(Vision):
    """V. Frames are (B, 3, 64, 64) in 0–1."""

    LOW_PRECISION = ("encoder",)

    def __init__(self, latent_size: Annotated[int, Setting("Dimensions of z.", at_least=1)] = 32) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.encoder = Encoder()
        self.bottleneck = Bottleneck(latent_size)
        self.decoder = Decoder(latent_size)

    def encode(self, frames: Tensor) -> Latent:
        """The convolutions in the precision of their weights, the dense layers in that of theirs."""
        features = self.encoder(frames.to(self.encoder.layers[0].weight.dtype))  # type: ignore[arg-type]
        return self.bottleneck(features.to(self.bottleneck.mu.weight.dtype))

    def decode(self, z: Tensor) -> Tensor:
        """(B, Z) -> (B, 3, 64, 64) in 0–1."""
        return self.decoder(z).float().sigmoid()

    def forward(self, frames: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Latent]:
        """As `reconstruct`."""
        return reconstruct(self, frames, noise)
