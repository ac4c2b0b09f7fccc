"""M's LightningModule, and the baseline M has to beat."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from worldmodels.memory import mixture
from worldmodels.memory.config import NETWORK, MemoryConfig
from worldmodels.memory.data import SequenceDataModule, Sequences
from worldmodels.memory.interface import Memory, Prediction, heads_of, predict
from worldmodels.training.checkpoints import as_checkpoint, require_imported
from worldmodels.training.fit import adam
from worldmodels.utils import parts
from worldmodels.utils.settings import plain_value


def sizes_of(network: Any) -> dict[str, int]:
    """The sizes that an M is made with, as far as it tells them."""
    sizes = {name: getattr(network, name, None) for name in ("latent_size", "action_size", "adapter_width")}
    return {name: size for name, size in sizes.items() if size is not None}


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B, T, Z) over the transitions where mask (B, T) is 1 and over Z: ()."""
    return (values * mask.unsqueeze(-1)).sum() / (mask.sum() * values.shape[-1])


class MemoryModule(lightning.LightningModule):
    """Trains M on `Sequences`: from z and a of step t to the mixture of z at step t + 1, and with M's heads to the
    reward and end of step t, the rollout's last included. ``persistence`` is a line to beat.

    Its hyper-parameters are ``config``, as plain values, and the ``sizes`` that a network is made with: from them
    alone, without a ``network``, it is made anew, by `load_from_checkpoint` too.
    """

    stage: ClassVar[str] = "memory"  # that trains it

    def __init__(
        self,
        network: Memory | None = None,
        config: MemoryConfig | Mapping[str, Any] | None = None,
        persistence: float = math.nan,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(config, MemoryConfig):
            config = MemoryConfig(**(config or {}))
            require_imported(NETWORK, config.network, "memory.network")
        model: Memory = network or parts.make(NETWORK, config.network, "memory.network", **(sizes or {}))
        sizes = sizes_of(model)
        self.save_hyperparameters({"config": plain_value(asdict(config)), "persistence": persistence, "sizes": sizes})
        self.persistence = persistence
        self.network = model
        self.config = config

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *arguments: Any, **options: Any) -> "MemoryModule":
        """Lightning's, which also takes the folder of a finished M, or of the run that trained it."""
        return super().load_from_checkpoint(as_checkpoint(checkpoint_path, cls), *arguments, **options)

    def forward(self, z: Tensor, actions: Tensor, state: Any = None) -> Prediction:
        """z: (B, T, Z), actions: (B, T, A), from a state or from the beginning of a rollout."""
        return predict(self.network, z, actions, state)

    def _step(self, batch: Sequences, stage: str) -> Tensor:
        heads = any(head is not None for head in heads_of(self.network))
        frames = slice(None) if heads else slice(-1)
        hidden, _ = self.network.unroll(batch.inputs[:, frames], batch.actions[:, frames])
        predicted = self.network.mixture(hidden[:, : batch.mask.shape[1]], batch.inputs[:, :-1])
        loss = masked_mean(mixture.nll(predicted, batch.z[:, 1:]), batch.mask)
        entropy = masked_mean(mixture.entropy(predicted), batch.mask)
        values = {f"{stage}nll": loss, f"{stage}mixture_entropy": entropy}
        self.log_dict(values, on_step=False, on_epoch=True, logger=False, batch_size=int(batch.mask.sum()))
        return loss + self.config.head_weight * self._heads(hidden, batch, stage) if heads else loss

    def _heads(self, hidden: Tensor, batch: Sequences, stage: str) -> Tensor:
        """The NLL of rewards and ends in nats, the rows weighted: ()."""
        values, heads = {}, heads_of(self.network)
        if heads.reward is not None:
            values[f"{stage}reward_nll"] = heads.reward.nll(hidden, batch.rewards)
        if heads.end is not None:
            values[f"{stage}end_nll"] = heads.end.nll(hidden, batch.terminated)
        values = {name: (value * batch.rows).sum() / batch.rows.sum() for name, value in values.items()}
        self.log_dict(values, on_step=False, on_epoch=True, logger=False, batch_size=int(batch.rows.count_nonzero()))
        return torch.stack(list(values.values())).sum()

    def training_step(self, batch: Sequences, batch_index: int) -> Tensor:
        return self._step(batch, "")

    def validation_step(self, batch: Sequences, batch_index: int) -> None:
        self._step(batch, "val_")
        self.log("persistence_nll", self.persistence, logger=False, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = adam(self.network, self.config.learning_rate)
        low, high, decay = self.config.min_learning_rate, self.config.learning_rate, self.config.decay
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ((high - low) * decay**step + low) / high)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def persistence_nll(data: SequenceDataModule, batches: int = 8) -> float:
    """Validation NLL, in nats per latent dimension, of "nothing changes": z_{t+1} ~ N(z_t, s²), the best constant s of
    each dimension taken from ``batches`` training batches.
    """

    def changes(windows: list) -> tuple[Tensor, Tensor]:
        parts = [data.data[window] for window in windows]
        return torch.cat([part.z.diff(dim=1) for part in parts]), torch.cat([part.mask for part in parts])

    training, weight = changes([window for window, _ in zip(data.sampler, range(batches), strict=False)])
    variance = (training.square() * weight.unsqueeze(-1)).sum((0, 1)) / weight.sum()
    validation, mask = changes(data.validation_batches)
    return masked_mean(0.5 * (validation.square() / variance + variance.log() + math.log(2 * math.pi)), mask).item()
