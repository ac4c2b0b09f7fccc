"""V's LightningModule, and the pictures V shows of itself after every epoch."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from worldmodels.store.journal import Journal
from worldmodels.training.checkpoints import as_checkpoint, require_imported
from worldmodels.training.fit import adam
from worldmodels.utils import media, parts
from worldmodels.utils.checks import require
from worldmodels.utils.seeds import torch_generator
from worldmodels.utils.settings import plain_value
from worldmodels.vision.config import LOSS, NETWORK, VisionConfig
from worldmodels.vision.interface import Latent, Vision, reconstruct
from worldmodels.vision.inverse import InverseDynamics
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.scaling import to_pixels, to_unit


def hyper_parameters(config: VisionConfig, seed: int, action_size: int = 0) -> dict[str, Any]:
    """What a `VisionModule` is made anew from. ``action_size``: numbers of an action, which inverse dynamics reads."""
    read = {"action_size": action_size} if config.inverse else {}
    return {"config": plain_value(asdict(config)), "seed": seed, **read}


class VisionModule(lightning.LightningModule):
    """Trains V on uint8 frames (B, 64, 64, 3) with the loss that ``vae.loss`` names. With ``vae.inverse`` the second
    half of a batch follows the first, and (B/2, A) actions between them come with it.

    The noise of a batch depends on the seed and the batch's number alone, so that a resumed run repeats an undisturbed
    one.

    Its hyper-parameters are ``config``, as plain values, and the seed: from them alone, without a ``network``, it is
    made anew, by `load_from_checkpoint` too. What a loss prepares from the training frames then comes from the
    checkpoint; of a finished V, whose loss was thrown away, it is as before training.
    """

    stage: ClassVar[str] = "vision"  # that trains it

    def __init__(
        self,
        network: Vision | None = None,
        config: VisionConfig | Mapping[str, Any] | None = None,
        context: TrainingContext | None = None,
        channels_last: bool = True,
        compiled: bool = False,
        seed: int = 0,
        action_size: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(config, VisionConfig):
            config = VisionConfig(**(config or {}))
            require_imported(NETWORK, config.network, "vae.network")
            require_imported(LOSS, config.loss, "vae.loss")
        context = context or TrainingContext(seed)
        model: Vision = network or parts.make(NETWORK, config.network, "vae.network")
        self.save_hyperparameters(hyper_parameters(config, context.seed, action_size))
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = model.to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        self._reconstruct = torch.compile(reconstruct) if compiled else reconstruct
        self.config = config
        self.seed = context.seed
        facts = {"kl_floor": config.kl_floor, "context": context, "latent_size": model.latent_size}
        self.loss = parts.make(LOSS, config.loss, "vae.loss", **facts)
        self.inverse = None
        if config.inverse:
            require(
                action_size >= 1,
                f"vae.inverse={config.inverse:g} reads actions: expected action_size, how many numbers one has",
            )
            self.inverse = InverseDynamics(model.latent_size, action_size, context.seed)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *arguments: Any, **options: Any) -> "VisionModule":
        """Lightning's, which also takes the folder of a finished V, or of the run that trained it."""
        return super().load_from_checkpoint(as_checkpoint(checkpoint_path, cls), *arguments, **options)

    def forward(self, frames: Tensor) -> tuple[Tensor, Latent]:
        """uint8 frames (B, 64, 64, 3) -> their reconstructions from μ (B, 3, 64, 64) in 0–1, and latents (B, Z).
        Raises `ConfigError` where they are no such frames.
        """
        require(
            isinstance(frames, Tensor) and frames.dtype == torch.uint8 and frames.shape[1:] == (64, 64, 3),
            f"frames are {_kind(frames)}: expected a tensor, torch.uint8 (B, 64, 64, 3), as a task gives them",
        )
        return reconstruct(self.network, to_unit(frames).contiguous(memory_format=self.memory_format))

    def _losses(self, frames: Tensor, generator: torch.Generator) -> NamedTuple:
        """What is logged of frames (B, 3, 64, 64), by name; ``total`` is what a step returns."""
        return self._losses_and_z(frames, generator)[0]

    def _losses_and_z(self, frames: Tensor, generator: torch.Generator) -> tuple[Any, Tensor]:
        """The same, and the z (B, Z) that was decoded."""
        noise = self._noise(frames, generator)
        reconstruction, latent = self._reconstruct(self.network, frames, noise)
        z = latent.sample(noise)
        return self.loss(reconstruction, frames, latent, z), z

    def _noise(self, frames: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal (B, Z)."""
        return torch.randn(len(frames), self.network.latent_size, generator=generator).to(frames)

    def _step(self, batch: Any, stage: str, *noise_key: int) -> Any:
        pixels, actions = batch if self.inverse is not None else (batch, None)
        frames = to_unit(pixels).contiguous(memory_format=self.memory_format)
        generator, inverse = torch_generator(self.seed, "vision", *noise_key), {}
        if self.inverse is None:
            losses: Any = self._losses(frames, generator)
        else:
            losses, z = self._losses_and_z(frames, generator)
            inverse["inverse"] = self.inverse(*z.chunk(2), actions)
            losses = losses._replace(total=losses.total + self.config.inverse * inverse["inverse"])
        values = {f"{stage}{name}": value for name, value in (losses._asdict() | inverse).items()}
        self.log_dict(values, on_step=False, on_epoch=True, logger=False, batch_size=len(pixels))
        return losses

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        return self._step(batch, "", 0, self.batch_number).total

    @property
    def batch_number(self) -> int:
        """The number of the training batch, from 0 over all epochs and devices."""
        trainer = self._trainer
        return trainer.fit_loop.total_batch_idx * trainer.world_size + trainer.global_rank if trainer else 0

    def validation_step(self, batch: Any, batch_index: int) -> None:
        self._step(batch, "val_", 1, batch_index)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        trained = nn.ModuleList([self.network, self.loss, *([] if self.inverse is None else [self.inverse])])
        return self._scheduled(adam(trained, self.config.learning_rate, fused=not self._clips))

    @property
    def _clips(self) -> bool:
        """Whether Lightning clips gradients, which it does not for a fused optimizer."""
        return self._trainer is not None and self._trainer.gradient_clip_val is not None

    def _scheduled(self, optimizer: torch.optim.Optimizer) -> OptimizerLRScheduler:
        """The rate of every group as it is, or down half a cosine (Loshchilov & Hutter 2017, eq. 5, one cycle)."""
        if self.config.min_learning_rate is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        least = self.config.min_learning_rate / self.config.learning_rate

        def share(step: int) -> float:
            return least + (1 - least) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class VisionPictures(lightning.Callback):
    """After every epoch: fixed validation frames above their reconstructions from μ, and samples from the prior."""

    def __init__(self, journal: Journal, frames: Tensor, seed: int) -> None:
        self.journal = journal
        self.frames = frames
        self.seed = seed

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, VisionModule)
        if not trainer.is_global_zero:
            return
        with self.journal.drawing("V's reconstructions"):
            self._draw(pl_module, trainer.current_epoch + 1)

    def _draw(self, pl_module: VisionModule, epoch: int) -> None:
        network = pl_module.network
        latent = network.encode(to_unit(self.frames.to(pl_module.device)))
        size = (len(self.frames), latent.mu.shape[1])
        prior = torch.randn(size, generator=torch_generator(self.seed, "figures")).to(latent.mu)
        rows = [self.frames, *(to_pixels(network.decode(z)).cpu() for z in (latent.mu, prior))]
        reality, reconstruction, samples = (row.numpy() for row in rows)
        self.journal.picture("reconstruction", epoch, media.grid([reality, reconstruction]))
        self.journal.picture("prior_samples", epoch, media.grid([np.ascontiguousarray(samples)]))


def _kind(frames: Any) -> str:
    """What these are, for people."""
    return f"{frames.dtype} {tuple(frames.shape)}" if isinstance(frames, Tensor) else f"a {type(frames).__name__}"
