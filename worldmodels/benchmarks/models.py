"""Training V and M beside a plain float32 loop, and what comes before: collecting and encoding."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from worldmodels.benchmarks.agents import fresh_weights
from worldmodels.benchmarks.turns import alternately
from worldmodels.config import Config
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory import mixture
from worldmodels.memory.data import SequenceDataModule
from worldmodels.memory.module import MemoryModule, masked_mean
from worldmodels.pipeline.stages import collect, encode
from worldmodels.rollouts.executor import Executor
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.training.fit import make_trainer
from worldmodels.training.hardware import device
from worldmodels.utils import parts
from worldmodels.vision.config import LOSS
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.interface import reconstruct
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.module import VisionModule
from worldmodels.vision.scaling import to_unit
from worldmodels.vision.transposed import TransposedConvolution

WARM_UP = 2  # steps in which libraries prepare themselves


def data(config: Config, folder: Path, executor: Executor) -> tuple[Path, float]:
    """Collect rollouts into ``folder``. Returns it, and frames per second of one core."""
    folder.mkdir()
    started = time.perf_counter()
    summary = collect.run(config, executor, folder)
    return folder, summary["frames"] / (time.perf_counter() - started)


def encoding(config: Config, dataset: Path, folder: Path) -> float:
    """Frames per second of the encode stage, reading and writing files included."""
    vision, _ = fresh_weights(config, task_spec(config.env), folder)

    def once() -> float:
        for path in folder.glob("*.h5"):
            path.unlink()
        started = time.perf_counter()
        summary = encode.run(config, dataset, vision, folder)
        return summary["frames"] / (time.perf_counter() - started)

    return alternately({"encode": once})["encode"]


def vision_training(config: Config, dataset: Path, steps: int) -> dict[str, float]:
    """Images per second of V's training: ``ours``, through Lightning and from files; ``reference``, a plain float32
    loop over tensors in memory; ``data``, the loading alone.
    """
    # A rate of frames, one by one: with inverse dynamics batches are of pairs.
    config = dataclasses.replace(config, vae=dataclasses.replace(config.vae, inverse=0.0))
    module_data = FrameDataModule(RolloutStore(dataset), config.vae, config.seed, 1.0)
    batches = [batch for _, batch in zip(range(steps), _endless(module_data), strict=False)]
    context = TrainingContext(config.seed, module_data.training_rollouts())
    where = device(config.trainer)

    def plain() -> float:
        network = make_vision(config).to(where)
        for layer in network.modules():
            if isinstance(layer, TransposedConvolution):
                layer.forward = functools.partial(nn.ConvTranspose2d.forward, layer)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.vae.learning_rate)
        facts = {"kl_floor": config.vae.kl_floor, "context": context, "latent_size": network.latent_size}
        criterion = parts.make(LOSS, config.vae.loss, "vae.loss", **facts).to(where)
        inputs = [to_unit(batch).contiguous().to(where) for batch in batches]

        def step(frames: torch.Tensor) -> None:
            noise = torch.randn(len(frames), network.latent_size, device=where)
            reconstruction, latent = reconstruct(network, frames, noise)
            loss = criterion(reconstruction, frames, latent, latent.sample(noise)).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return _timed(step, inputs) * config.vae.batch_size

    def ours() -> float:
        trainer = config.trainer
        module = VisionModule(make_vision(config), config.vae, context, trainer.channels_last, trainer.compile)
        return _fit(module, module_data, config, steps) * config.vae.batch_size

    rates = alternately({"reference": plain, "ours": ours})
    started = time.perf_counter()
    loaded = sum(len(batch) for _, batch in zip(range(steps), _endless(module_data), strict=False))
    return {**rates, "data": loaded / (time.perf_counter() - started)}


def memory_training(config: Config, encoded: Path, steps: int) -> dict[str, float]:
    """Frames per second of M's training, likewise."""
    module_data = SequenceDataModule(RolloutStore(encoded), config.memory, config.seed)
    batches = [batch for _, batch in zip(range(steps), module_data.train_dataloader(), strict=False)]
    where = device(config.trainer)
    frames = config.memory.batch_size * module_data.length
    actions = batches[0].actions.shape[-1]

    def plain() -> float:
        network = make_memory(config, actions).to(where)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.memory.learning_rate)
        inputs = [tuple(part.to(where) for part in batch) for batch in batches]

        def step(batch: tuple[torch.Tensor, ...]) -> None:
            z, batch_actions, mask, *_ = batch
            hidden, _ = network.unroll(z[:, :-1], batch_actions[:, :-1])
            loss = masked_mean(mixture.nll(network.mixture(hidden, z[:, :-1]), z[:, 1:]), mask)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(network.parameters(), config.memory.gradient_clip)
            optimizer.step()

        return _timed(step, inputs) * frames

    def ours() -> float:
        module = MemoryModule(make_memory(config, actions), config.memory, persistence=0.0)
        return _fit(module, module_data, config, steps, config.memory.gradient_clip) * frames

    rates = alternately({"reference": plain, "ours": ours})
    started = time.perf_counter()
    loaded = sum(1 for _ in zip(range(steps), module_data.train_dataloader(), strict=False))
    return {**rates, "data": loaded * frames / (time.perf_counter() - started)}


class _Clock(Callback):
    """Notes when each training batch ends; the device has then done its work."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int):
        self.times.append(_now())


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _rate(times: list[float]) -> float:
    """Steps per second, by the median step after `WARM_UP` of them."""
    return 1 / float(np.median(np.diff(times)[WARM_UP:]))


def _fit(
    module: lightning.LightningModule,
    module_data: lightning.LightningDataModule,
    config: Config,
    steps: int,
    gradient_clip: float | None = None,
) -> float:
    """Steps per second as `worldmodels.training.fit.fit` trains."""
    clock = _Clock()
    trainer = make_trainer(
        config.trainer, [clock], gradient_clip, max_steps=steps, limit_val_batches=0, enable_checkpointing=False
    )
    trainer.fit(module, module_data)
    return _rate(clock.times)


def _timed(step: Callable[[Any], None], inputs: list[Any]) -> float:
    """Steps per second over the inputs."""
    times = []
    for batch in inputs:
        step(batch)
        times.append(_now())
    return _rate(times)


def _endless(module_data: FrameDataModule) -> Iterator[torch.Tensor]:
    while True:
        yield from (batch for batch in module_data.train_dataloader() if len(batch) == module_data.batch_size)
