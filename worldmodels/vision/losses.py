"""Losses of V. Each gives the quantity to minimise and the two figures that are reported for every loss alike."""

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn

from worldmodels.config import VisionConfig
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import sequence, torch_generator
from worldmodels.vision.network import Encoder, Latent
from worldmodels.vision.salience import GLIMPSE, Salience, fixate, glimpse, sampled
from worldmodels.vision.scaling import to_unit


class Losses(NamedTuple):
    """Means over the batch, each (): ``total`` is minimised; the others are the same for every loss, so runs
    compare.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


class Given(NamedTuple):
    """What is there before V is trained, for whatever has to be prepared from it.

    ``rollouts``: those V trains on, (T, 64, 64, 3) uint8 each, read anew in every pass over them. ``source``: the
    weights of the finished V that ``vae.perceptual_run`` names.
    """

    seed: int
    rollouts: Iterable[Tensor] = ()
    source: Path | None = None


OUTLINE = 0.25  # power of the salience that cuts a thing out of its surroundings: unusual is unusual, more or less


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

    What it prepares from ``given`` it keeps in buffers, so that it goes to the device with the module. Parameters, if
    it has any, are trained with V and thrown away. A setting of ``vae`` that only one loss reads bears its
    name (``perceptual_weight``) and counts as an input of V with that loss alone.
    """

    def __init__(self, config: VisionConfig, given: Given) -> None:
        super().__init__()
        self.kl_floor = config.kl_floor

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        """(B, 3, 64, 64) twice, their `squared_error` (B,), and the z (B, Z) that was decoded -> what is minimised
        beside KL, (B,) or the mean ().
        """
        raise NotImplementedError

    def forward(self, reconstruction: Tensor, frames: Tensor, latent: Latent, z: Tensor) -> Losses:
        """Frames (B, 3, 64, 64) in 0–1, latents (B, Z)."""
        error, kl = squared_error(reconstruction, frames), kl_divergence(latent)
        cost = self.distance(reconstruction, frames, error, z) + floored(kl, self.kl_floor, latent.mu.shape[1])
        return Losses(cost.mean(), error.mean(), kl.mean())


class MSE(Loss):
    """Squared error plus KL: Ha & Schmidhuber 2018, App. A.1."""

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        return error


class Sigma(Loss):
    """Negative log-likelihood of a Gaussian whose variance, shared by all values, is the best one for the batch: its
    mean squared error. In nats per frame, so KL has the weight that the evidence lower bound gives it. Rybkin,
    Daniilidis & Levine 2021 (arXiv:2006.13202), section 4.

    The smallest variance is that of rounding to 8 bits; below it there is nothing to be gained.
    """

    SMALLEST = 1 / (12 * 255**2)

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        values = frames[0].numel()
        variance = (error.mean() / values).clamp(min=self.SMALLEST)
        return values / 2 * (torch.log(2 * math.pi * variance) + 1)


class Perceptual(Loss):
    """Squared error between features of the two frames, ``perceptual_weight`` of the whole, the rest between their
    pixels: Pihlgren, Sandin & Liwicki 2020 (arXiv:2001.03444). Both are measured in pixels' terms: the features are
    scaled so that they vary over the training frames as much, in sum, as the pixels do.

    The features are those of an encoder's first two convolutions, (B, 64, 14, 14): of a finished V, or with random
    weights, which keep what is in a picture as well (He, Wang & Hopcroft 2016, arXiv:1606.04801).
    """

    SAMPLE = 2000  # frames, at most, that the scale is taken from

    def __init__(self, config: VisionConfig, given: Given) -> None:
        super().__init__(config, given)
        self.weight = config.perceptual_weight
        self.layers = len(weights := feature_weights(given))
        for i, (weight, bias) in enumerate(weights):
            self.register_buffer(f"weight{i}", weight, persistent=False)
            self.register_buffer(f"bias{i}", bias, persistent=False)
        self.register_buffer("scale", torch.ones(()), persistent=False)
        with torch.no_grad():
            self.scale = self._scale(given)

    def features(self, frames: Tensor) -> Tensor:
        """(B, 3, 64, 64) -> (B, 64, 14, 14), in float32: of two frames that hardly differ, the difference counts."""
        with torch.autocast(frames.device.type, enabled=False):
            x = frames.float()
            for i in range(self.layers):
                x = nn.functional.conv2d(x, getattr(self, f"weight{i}"), getattr(self, f"bias{i}"), stride=2).relu()
        return x

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(frames)
        difference = squared_error(self.features(reconstruction), wanted)
        return self.weight * self.scale * difference + (1 - self.weight) * error

    def _scale(self, given: Given) -> Tensor:
        """Variance of the pixels over that of the features, both summed; 1 where nothing varies."""
        frames = torch.cat([torch.empty(0, 64, 64, 3, dtype=torch.uint8), *sampled(given.rollouts, self.SAMPLE)])
        if len(frames) < 2:
            return self.scale
        pixels = to_unit(frames)
        features = torch.cat([self.features(part) for part in pixels.split(100)])
        variances = [values.var(0).sum() for values in (pixels, features)]
        return variances[0] / variances[1] if all(variances) else self.scale


def feature_weights(given: Given) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of an encoder's first two convolutions: the source's, or He-normal and zero.

    Raises `ConfigError` where the source's do not fit.
    """
    layers = [layer for layer in itertools.islice(Encoder().layers, 2) if isinstance(layer, nn.Conv2d)]
    if given.source is None:
        generator = torch_generator(given.seed, "vision", 4)
        drawn = [nn.init.kaiming_normal_(layer.weight.detach(), generator=generator) for layer in layers]
        return [(weight, weight.new_zeros(len(weight))) for weight in drawn]
    state = safetensors.torch.load_file(given.source)
    found = [(state.get(f"encoder.layers.{i}.weight"), state.get(f"encoder.layers.{i}.bias")) for i in range(2)]
    for layer, (weight, bias) in zip(layers, found, strict=True):
        if weight is None or bias is None or weight.shape != layer.weight.shape:
            raise ConfigError(
                f"vae.perceptual_run: {given.source} has not the convolutions of ConvVAE's encoder, "
                "whose features are wanted; expected a run with vae=cvae"
            )
    return [(weight, bias) for weight, bias in found if weight is not None and bias is not None]


class Salient(Loss):
    """Squared error in which an unusual pixel weighs up to ``salient_weight`` times as much as a usual one: see
    `Salience`.

    Beside it, where something unusual is in a frame, two linear readouts of z: ``salient_glimpse`` times the squared
    error of a glimpse of it, centred, and ``salient_place`` times that of its place, in -1 to 1 from edge to edge. They
    ask for what a linear controller needs, in a form that it can read: a feature prediction in the sense of Pihlgren,
    Sandin & Liwicki 2021 (arXiv:2103.12445), of features that are counted rather than trained. The readouts are thrown
    away after training.
    """

    def __init__(self, config: VisionConfig, given: Given) -> None:
        super().__init__(config, given)
        self.weight, self.glimpse, self.place = config.salient_weight, config.salient_glimpse, config.salient_place
        self.salience = Salience()
        self.salience.prepare(given.rollouts)
        if self.glimpse or self.place:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(sequence(given.seed, "vision", 6).generate_state(1)[0]))
                self.what = nn.Linear(config.network.latent_size, 3 * GLIMPSE**2)
                self.where = nn.Linear(config.network.latent_size, 2)

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        frames, salience = frames.float(), self.salience(frames)
        weight = 1 + (self.weight - 1) * salience
        cost = (weight * (reconstruction.float() - frames).square()).flatten(1).sum(1)
        return cost + self._read(frames, salience, z) if self.glimpse or self.place else cost

    def _read(self, frames: Tensor, salience: Tensor, z: Tensor) -> Tensor:
        fixation = fixate(salience)
        shown = glimpse(frames * salience**OUTLINE, fixation, GLIMPSE).flatten(1)
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            what = (self.what(z) - shown).square().sum(1)
            where = (self.where(z) - fixation.place).square().sum(1)
        return fixation.there * (self.glimpse * what + self.place * where)


LOSSES: dict[str, type[Loss]] = {"mse": MSE, "sigma": Sigma, "salient": Salient, "perceptual": Perceptual}
