"""Features take the place of pixels."""

import itertools
from pathlib import Path
from typing import Annotated

import safetensors.torch
import torch
from torch import Tensor, nn

from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import torch_generator
from worldmodels.utils.settings import Setting
from worldmodels.vision.losses.base import Loss, TrainingContext, squared_error
from worldmodels.vision.network import Encoder
from worldmodels.vision.salience import sampled
from worldmodels.vision.scaling import to_unit


class Perceptual(Loss):
    """Squared error between features of the two frames, ``weight`` of the whole, the rest between their
    pixels: Pihlgren, Sandin & Liwicki 2020 (arXiv:2001.03444). Both are measured in pixels' terms: the features are
    scaled so that they vary over the training frames as much, in sum, as the pixels do.

    The features are those of an encoder's first two convolutions, (B, 64, 14, 14): of a finished V, or with random
    weights, which keep what is in a picture as well (He, Wang & Hopcroft 2016, arXiv:1606.04801).
    """

    SAMPLE = 2000  # frames, at most, that the scale is taken from

    def __init__(
        self,
        kl_floor: float,
        context: TrainingContext,
        weight: Annotated[
            float, Setting("Share of the features; the rest is of the pixels.", at_least=0, at_most=1)
        ] = 0.5,
        run: Annotated[
            str | None,
            Setting("Folder of a finished run whose V gives the features; null takes random ones.", counts="never"),
        ] = None,
    ) -> None:
        super().__init__(kl_floor, context)
        self.weight = weight
        self.layers = len(weights := feature_weights(context))
        for i, (kernel, bias) in enumerate(weights):
            self.register_buffer(f"weight{i}", kernel)
            self.register_buffer(f"bias{i}", bias)
        self.register_buffer("scale", torch.ones(()))
        with torch.no_grad():
            self.scale = self._scale(context)

    @staticmethod
    def check_source(weights: Path) -> None:
        """Raise `ConfigError` where the finished V has not the convolutions whose features are wanted."""
        feature_weights(TrainingContext(0, source=weights))

    def features(self, frames: Tensor) -> Tensor:
        """(B, 3, 64, 64) -> (B, 64, 14, 14), in float32: of two frames that hardly differ, the difference counts."""
        with torch.autocast(frames.device.type, enabled=False):
            x = frames.float()
            for i in range(self.layers):
                x = nn.functional.conv2d(x, getattr(self, f"weight{i}"), getattr(self, f"bias{i}"), stride=2).relu()
        return x

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.features(frames)
        difference = squared_error(self.features(reconstruction), features)
        return self.weight * self.scale * difference + (1 - self.weight) * error

    def _scale(self, context: TrainingContext) -> Tensor:
        """Variance of the pixels over that of the features, both summed; 1 where nothing varies."""
        frames = torch.cat([torch.empty(0, 64, 64, 3, dtype=torch.uint8), *sampled(context.rollouts, self.SAMPLE)])
        if len(frames) < 2:
            return self.scale
        pixels = to_unit(frames)
        features = torch.cat([self.features(part) for part in pixels.split(100)])
        variances = [values.var(0).sum() for values in (pixels, features)]
        return variances[0] / variances[1] if all(variances) else self.scale


def feature_weights(context: TrainingContext) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of an encoder's first two convolutions: the source's, or He-normal and zero.

    Raises `ConfigError` where the source's do not fit.
    """
    layers = [layer for layer in itertools.islice(Encoder().layers, 2) if isinstance(layer, nn.Conv2d)]
    if context.source is None:
        generator = torch_generator(context.seed, "vision", 4)
        drawn = [nn.init.kaiming_normal_(layer.weight.detach(), generator=generator) for layer in layers]
        return [(weight, weight.new_zeros(len(weight))) for weight in drawn]
    state = safetensors.torch.load_file(context.source)
    loaded = [(state.get(f"encoder.layers.{i}.weight"), state.get(f"encoder.layers.{i}.bias")) for i in range(2)]
    for layer, (weight, bias) in zip(layers, loaded, strict=True):
        if weight is None or bias is None or weight.shape != layer.weight.shape:
            raise ConfigError(
                f"vae.loss.run: {context.source} has not the convolutions of ConvVAE's encoder, "
                "whose features are wanted; expected a run with vae=cvae"
            )
    return [(weight, bias) for weight, bias in loaded if weight is not None and bias is not None]
