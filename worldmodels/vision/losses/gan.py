"""V trained against a discriminator, whose features take the place of pixels: VAE/GAN of Larsen, Sønderby, Larochelle &
Winther 2016 (arXiv:1512.09300). Encoder and decoder are those of `ConvVAE`.
"""

import itertools
from typing import Annotated, Any, NamedTuple

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from worldmodels.training.fit import adam
from worldmodels.utils.seeds import sequence
from worldmodels.utils.settings import Setting
from worldmodels.vision.losses.base import Loss, TrainingContext, floored, kl_divergence, squared_error
from worldmodels.vision.module import VisionModule


class Judgement(NamedTuple):
    """``features`` (B, 4096) of the third layer, Dis_l of the paper; ``logits`` (B,) that a frame is real."""

    features: Tensor
    logits: Tensor


class Discriminator(nn.Module):
    """Four convolutions, kernel 4, stride 2, and a dense layer: frames (B, 3, 64, 64) in 0–1 -> `Judgement`.

    Normalised by weight (Miyato et al. 2018, arXiv:1802.05957) rather than by activation, as the paper does: features
    then keep colours and brightness, and the judgement of a frame does not depend on the others of its batch.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 16, 32, 64, 64)
        convolutions = (nn.Conv2d(i, o, 4, stride=2, padding=1) for i, o in itertools.pairwise(channels))
        self.layers = nn.ModuleList(spectral_norm(convolution) for convolution in convolutions)
        self.dense = spectral_norm(nn.Linear(1024, 1))

    def forward(self, frames: Tensor) -> Judgement:
        *first, last = self.layers
        x = frames
        for layer in first:
            x = functional.leaky_relu(layer(x), 0.2)
        features = x.float().flatten(1)
        x = functional.leaky_relu(last(x), 0.2)
        with torch.autocast(frames.device.type, enabled=False):
            return Judgement(features, self.dense(x.float().flatten(1)).squeeze(1))


class AdversarialLosses(NamedTuple):
    """Means over the batch, each (). ``total`` is the encoder's loss; ``reconstruction`` and ``kl`` are those of every
    loss; ``features`` is the error in the discriminator's, in nats; ``generator`` and ``discriminator`` are the two
    players' cross-entropies in nats, each summed over the kinds of frames it is about.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    features: Tensor
    generator: Tensor
    discriminator: Tensor


class AdversarialModule(VisionModule):
    """Algorithm 1 of the paper. With L the error of a reconstruction and G the cross-entropy of passing off
    reconstructions and samples of the prior as real (Goodfellow et al. 2014, section 3: the form that does not
    saturate), the encoder minimises KL + L, the decoder γ·L + G, and the discriminator its own cross-entropy over all
    three kinds.

    Unlike the paper's, L is the error in features plus that in pixels, and the discriminator rests while it is far
    ahead. The tasks' frames, large flat areas of black and white, are told from a decoder's at once: with features
    alone the reconstruction is lost, and without rests the error in features grows.

    The three gradients are taken at the same point and applied in one step of one optimizer, so a step is a batch, as
    everywhere else.
    """

    FEATURES_STD = 1 / 3  # of the Gaussian over features; with it L has about as much of them as of pixels
    manual = True  # steps its optimizer itself
    RESTS_BELOW = 1.5  # nats of cross-entropy; 3 log 2 = 2.08 is guessing

    loss: "Adversarial"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.automatic_optimization = False
        self.discriminator.to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]

    @property
    def discriminator(self) -> Discriminator:
        return self.loss.discriminator

    def _losses(self, frames: Tensor, generator: torch.Generator) -> AdversarialLosses:
        latent = self.network.encode(frames)
        z = latent.sample(self._noise(frames, generator))
        drawn = self.network.decode(torch.cat([z, self._noise(frames, generator)]))
        judged = self.discriminator(torch.cat([frames, drawn]))
        real, rebuilt, _ = judged.features.chunk(3)
        real_logits, *fake_logits = judged.logits.chunk(3)
        kl, error = kl_divergence(latent), squared_error(drawn[: len(frames)], frames)
        features = ((rebuilt - real) / self.FEATURES_STD).square().sum(1) / 2
        fakes = [(functional.softplus(-logits), functional.softplus(logits)) for logits in fake_logits]
        passing, caught = (torch.stack(terms).sum(0) for terms in zip(*fakes, strict=True))
        return AdversarialLosses(
            total=(features + error + floored(kl, self.loss.kl_floor, latent.mu.shape[1])).mean(),
            reconstruction=error.mean(),
            kl=kl.mean(),
            features=features.mean(),
            generator=passing.mean(),
            discriminator=(functional.softplus(-real_logits) + caught).mean(),
        )

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        losses = self._step(batch, "", 0, self.batch_number)
        encoder = nn.ModuleList([self.network.encoder, self.network.bottleneck])
        losses_of = {
            encoder: losses.total,
            self.network.decoder: self.loss.gamma * (losses.features + losses.reconstruction) + losses.generator,
        }
        if losses.discriminator >= self.RESTS_BELOW:
            losses_of[self.discriminator] = losses.discriminator
        self.zero_grad()  # what gets no gradient below stays as it is
        for part, loss in losses_of.items():
            trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
            if trained:  # `backward` gives a gradient its parameter's memory order, which a fused optimizer relies on
                self.manual_backward(loss, inputs=trained, retain_graph=True)
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.step()
        if self.config.min_learning_rate is not None:
            self.lr_schedulers().step()  # type: ignore[union-attr]
        return losses.total.detach()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = adam(self.network, self.config.learning_rate, fused=True)
        optimizer.add_param_group({"params": list(self.discriminator.parameters()), "lr": self.loss.learning_rate})
        return self._scheduled(optimizer)


class Adversarial(Loss):
    """What `AdversarialModule` trains V with: the discriminator and its settings."""

    module = AdversarialModule
    needs = ("encoder", "bottleneck", "decoder")

    def __init__(
        self,
        kl_floor: float,
        context: TrainingContext,
        gamma: Annotated[
            float,
            Setting(
                "Weight of the reconstruction's error in the decoder's loss, beside the discriminator's word.", above=0
            ),
        ] = 1.0,
        learning_rate: Annotated[float, Setting("Rate of the discriminator.", above=0)] = 2e-4,
    ) -> None:
        super().__init__(kl_floor, context)
        self.gamma, self.learning_rate = gamma, learning_rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(sequence(context.seed, "vision", 5).generate_state(1)[0]))
            self.discriminator = Discriminator()
