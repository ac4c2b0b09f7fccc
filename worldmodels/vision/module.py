"""V's LightningModule, and the pictures V shows of itself after every epoch."""

from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor

from worldmodels import media
from worldmodels.config import VisionConfig
from worldmodels.journal import Journal
from worldmodels.seeds import torch_generator
from worldmodels.training import adam
from worldmodels.vision.losses import LOSSES, Given
from worldmodels.vision.network import ConvVAE
from worldmodels.vision.pixels import to_pixels, to_unit


class VisionModule(lightning.LightningModule):
    """Trains V on uint8 frames (B, 64, 64, 3) with one of `LOSSES`.

    The noise of a step depends on the seed and the step's number alone, so that a resumed run repeats an undisturbed
    one.
    """

    def __init__(
        self, network: ConvVAE, config: VisionConfig, given: Given, channels_last: bool, compiled: bool = False
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        if compiled:
            self.network.compile()
        self.config = config
        self.seed = given.seed
        self._prepare(given)

    def _prepare(self, given: Given) -> None:
        self.loss = LOSSES[self.config.loss](self.config, given)

    def _losses(self, frames: Tensor, generator: torch.Generator) -> NamedTuple:
        """What is logged of frames (B, 3, 64, 64), by name; ``total`` is what a step returns."""
        reconstruction, latent = self.network(frames, self._noise(frames, generator))
        return self.loss(reconstruction, frames, latent)

    def _noise(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal (B, Z)."""
        return torch.randn(len(frames), self.config.network.latent_size, generator=generator).to(frames)

    def _step(self, batch: Tensor, stage: str, *noise_key: int) -> Any:
        frames = to_unit(batch).contiguous(memory_format=self.memory_format)
        losses = self._losses(frames, torch_generator(self.seed, "vision", *noise_key))
        values = {f"{stage}{name}": value for name, value in losses._asdict().items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(batch))
        return losses

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        return self._step(batch, "", 0, self.global_step).total

    def validation_step(self, batch: Tensor, batch_index: int) -> None:
        self._step(batch, "val_", 1, batch_index)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adam(self.network, self.config.learning_rate, fused=True)


class VisionPictures(lightning.Callback):
    """After every epoch: fixed validation frames above their reconstructions from μ, and samples from the prior."""

    def __init__(self, journal: Journal, frames: Tensor, seed: int) -> None:
        self.journal = journal
        self.frames = frames
        self.seed = seed

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, VisionModule)
        network, epoch = pl_module.network, trainer.current_epoch + 1
        latent = network.encode(to_unit(self.frames.to(pl_module.device)))
        size = (len(self.frames), latent.mu.shape[1])
        prior = torch.randn(size, generator=torch_generator(self.seed, "figures")).to(latent.mu)
        rows = [self.frames, *(to_pixels(network.decode(z)).cpu() for z in (latent.mu, prior))]
        reality, reconstruction, samples = (row.numpy() for row in rows)
        self.journal.picture("reconstruction", epoch, media.grid([reality, reconstruction]))
        self.journal.picture("prior_samples", epoch, media.grid([np.ascontiguousarray(samples)]))
