"""V and M trained on a few frames, as `worldmodels.training.fit` trains them, and what tests look at."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from worldmodels.memory.config import MemoryConfig
from worldmodels.memory.data import SequenceDataModule
from worldmodels.memory.module import MemoryModule
from worldmodels.memory.network import MDNLSTM
from worldmodels.rollouts.storage import RolloutStore, write_index, write_rollout
from worldmodels.store.journal import Journal
from worldmodels.training.callbacks import Recorder
from worldmodels.training.config import TrainerConfig
from worldmodels.training.fit import fit
from worldmodels.transfer.weights import freeze
from worldmodels.utils import parts
from worldmodels.vision.config import LOSS, VisionConfig
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.interface import Vision
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.module import VisionModule, VisionPictures
from worldmodels.vision.network import Bottleneck, ConvVAE, Decoder, Encoder
from worldmodels.vision.transposed import TransposedConvolution

CPU = TrainerConfig(accelerator="cpu", precision="32-true", threads=1, log_every_n_steps=1)
BATCHES = 4  # an epoch
EPOCHS = 3
State = dict[str, Tensor]


class Interruption(Exception):
    """Stands for whatever ends a run in the middle."""


class Raise(lightning.Callback):
    """Raises at the start of batch ``batch``, counted from 0 over all epochs."""

    def __init__(self, error: BaseException, batch: int) -> None:
        self.error, self.batch = error, batch

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == self.batch:
            raise self.error


class Watch(lightning.Callback):
    """Notes what a training step sees."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.modes: list[dict[str, bool]] = []
        self.optimised: set[int] = set()

    def on_train_batch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any) -> None:
        groups = trainer.optimizers[0].param_groups
        self.rates.append(groups[0]["lr"])
        self.optimised = {id(parameter) for group in groups for parameter in group["params"]}
        self.modes.append({name: part.training for name, part in module.network.named_modules()})  # type: ignore

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(float(outputs["loss"]))


def memory_store(folder: Path) -> RolloutStore:
    rng = np.random.default_rng(0)
    entries = []
    for rollout, length in enumerate([9, 14, 6, 11, 3, 8]):
        arrays = {
            "mu": rng.normal(size=(length, 3)).astype(np.float32),
            "log_var": rng.normal(-2, 0.5, (length, 3)).astype(np.float32),
            "actions": rng.uniform(size=(length, 2)).astype(np.float32),
            "rewards": np.arange(length, dtype=np.float32),
            "terminated": np.arange(length) == length - 1,
        }
        entries.append(write_rollout(folder / f"{rollout:06d}.h5", arrays, seed=rollout, total_reward=0.0))
    write_index(folder, entries)
    return RolloutStore(folder)


def memory_config(decay: float = 0.9) -> MemoryConfig:
    return MemoryConfig(
        network={"_target_": "worldmodels.memory.network.MDNLSTM", "hidden_size": 8, "mixtures": 4},
        steps=BATCHES * EPOCHS,
        batch_size=4,
        sequence_length=6,
        learning_rate=1e-2,
        decay=decay,
        validate_every=BATCHES,
    )


def make_memory(frozen: tuple[str, ...] = ()) -> MDNLSTM:
    torch.manual_seed(0)
    network = MDNLSTM(latent_size=3, action_size=2, hidden_size=8, mixtures=4)
    freeze(network, "memory", frozen)
    return network


@pytest.fixture
def train_memory(tmp_path: Path) -> Callable[..., Journal]:
    """Trains an M on a small data set, in a folder of a given name; returns its journal."""
    return memory_training(tmp_path)


def memory_training(tmp_path: Path) -> Callable[..., Journal]:
    store_folder = tmp_path / "encoded"
    store_folder.mkdir(parents=True)
    memory_store(store_folder)

    def train(
        network: MDNLSTM,
        *callbacks: lightning.Callback,
        name: str = "run",
        epochs: int = EPOCHS,
        trainer: TrainerConfig = CPU,
        **settings: Any,
    ) -> Journal:
        config, folder = dataclasses.replace(memory_config(), **settings), tmp_path / name
        folder.mkdir(exist_ok=True)
        journal = Journal(folder, None, "memory")
        data = SequenceDataModule(RolloutStore(store_folder), config, 0, trainer.num_workers, trainer.overfit_batches)
        recorder = Recorder(journal, "steps", "step", every=trainer.log_every_n_steps)
        module = MemoryModule(network, config, 1.5)
        fit(module, data, folder, recorder, callbacks, trainer, epochs, config.gradient_clip)
        return journal

    train.journal = lambda name: Journal(tmp_path / name, None, "memory")  # type: ignore[attr-defined]
    return train


def vision_config(**settings: Any) -> VisionConfig:
    """A small V; ``loss`` is a name, or a mapping with settings of its own."""
    network = {"_target_": "worldmodels.vision.network.ConvVAE", "latent_size": 4}
    return VisionConfig(network=network, epochs=2, **({"batch_size": 4} | settings))


@pytest.fixture
def train_vision(tmp_path: Path) -> Callable[..., Journal]:
    """Trains a V on a small data set, in a folder of a given name; returns its journal."""
    return vision_training(tmp_path)


def vision_training(tmp_path: Path) -> Callable[..., Journal]:
    store_folder = tmp_path / "rollouts"
    store_folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    entries = []
    for rollout in range(3):
        frames = rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
        actions = np.linspace(-1, rollout, 8, dtype=np.float32).reshape(4, 2)
        path, arrays = store_folder / f"{rollout:06d}.h5", {"frames": frames, "actions": actions}
        entries.append(write_rollout(path, arrays, seed=rollout, total_reward=0.0))
    write_index(store_folder, entries)

    def train(
        network: ConvVAE,
        *callbacks: lightning.Callback,
        name: str = "run",
        epochs: int = 2,
        trainer: TrainerConfig = CPU,
        **settings: Any,
    ) -> Journal:
        config = vision_config(**settings)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        journal = Journal(folder, None, "vision")
        data = FrameDataModule(RolloutStore(store_folder), config, 0, 1.0, trainer.num_workers, trainer.overfit_batches)
        recorder = Recorder(journal, "epochs", "epoch", every=trainer.log_every_n_steps)
        pictures = VisionPictures(journal, data.examples(2), seed=0)
        make_module = parts.find(LOSS, config.loss, "vae.loss").module or VisionModule
        read_out = {"action_size": data.action_size} if config.inverse else {}
        module = make_module(network, config, TrainingContext(0, data.training_rollouts()), True, **read_out)
        fit(module, data, folder, recorder, [*callbacks, pictures], trainer, epochs)
        return journal

    train.journal = lambda name: Journal(tmp_path / name, None, "vision")  # type: ignore[attr-defined]
    return train


class NarrowVAE(ConvVAE):
    """A `ConvVAE`, layer by layer, with few channels: steps and checkpoints take a hundredth of the time."""

    def __init__(self, latent_size: int) -> None:
        Vision.__init__(self)
        self.latent_size = latent_size
        self.encoder, self.decoder = Encoder.__new__(Encoder), Decoder.__new__(Decoder)
        for part in (self.encoder, self.decoder):
            nn.Module.__init__(part)
        self.encoder.layers = nn.ModuleList(nn.Conv2d(i, o, 4, 2) for i, o in itertools.pairwise((3, 4, 4, 8, 16)))
        self.bottleneck = Bottleneck(latent_size, 64)
        self.decoder.dense = nn.Linear(latent_size, 64)
        sizes = ((64, 8, 5), (8, 4, 5), (4, 4, 6), (4, 3, 6))
        self.decoder.layers = nn.ModuleList(TransposedConvolution(i, o, kernel) for i, o, kernel in sizes)


def make_vision(frozen: tuple[str, ...] = (), kind: type[ConvVAE] = NarrowVAE) -> ConvVAE:
    torch.manual_seed(0)
    network = kind(4)
    freeze(network, "vision", frozen)
    return network


def copy_of(network: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def changed(network: nn.Module, before: State) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
