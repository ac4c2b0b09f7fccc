"""The vision stage: what of a V with a fovea comes from a source, and what from the task's own frames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.pipeline.stages import vision
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.journal import Journal
from worldmodels.transfer.weights import load_weights, save_weights
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.data import FrameDataModule
from worldmodels.vision.foveal import FovealVAE
from worldmodels.vision.salience import Salience

TABLE = "encoder.fovea.salience.table"
CONVOLUTIONS = 690_144
FOVEA = (4 * 16 * 9 + 16) + (16 * 32 * 16 + 32) + (512 * 61 + 61)
V_TOTAL = CONVOLUTIONS + FOVEA + 2 * 32 * (1024 + 64 + 1) + 33_792 + 3_276_928 + 204_864 + 73_760 + 3_459

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def dataset(frames_dataset: Callable[..., Path]) -> Path:
    # So many colours that each is unusual: the fovea has something to see.
    return frames_dataset()


@pytest.mark.parametrize(
    ("strategy", "frozen"),
    [("scratch", ()), ("pretrained_vision", ()), ("freeze2", ("layers.0.", "layers.1.")), ("freeze_encoder", ("",))],
)
def test_weights_come_from_the_source_and_counts_from_the_tasks_own_frames(
    compose: Callable[..., Config], dataset: Path, tmp_path: Path, strategy: str, frozen: tuple[str, ...]
) -> None:
    config = compose("vae=foveal", f"transfer={strategy}", "scale=smoke", "trainer=cpu", "vae.epochs=1")
    source = make_vision(compose("vae=foveal", "seed=1"))
    source.prepare([torch.zeros(1, 64, 64, 3, dtype=torch.uint8)])
    given = tmp_path / "source.safetensors"
    save_weights(source, given)
    counts: dict[str, Any] = vision.run(
        config, dataset, None if strategy == "scratch" else given, None, tmp_path, Journal(tmp_path, None, "vision")
    )["parameters"]
    written = safetensors.torch.load_file(tmp_path / "weights.safetensors")

    assert set(written) == set(FovealVAE(32).state_dict()), "neither readouts nor the loss's own counts"
    load_weights(make_vision(config), tmp_path / "weights.safetensors")
    assert counts["total"] == V_TOTAL and counts["copied"] == (0 if strategy == "scratch" else V_TOTAL)
    assert counts["groups"]["encoder"]["total"] == CONVOLUTIONS + FOVEA
    layers = {name: value for name, value in written.items() if name.startswith("encoder.layers.")}
    assert sum(value.numel() for value in layers.values()) == CONVOLUTIONS
    frozen_names = {name for name in written if any(name.startswith(f"encoder.{each}") for each in frozen)} - {TABLE}
    assert counts["frozen"] == sum(written[name].numel() for name in frozen_names)
    start = make_vision(config).state_dict() if strategy == "scratch" else source.state_dict()
    assert {name for name in written if torch.equal(written[name], start[name])} == frozen_names

    data = FrameDataModule(RolloutStore(dataset), config.vae, config.seed, config.transfer.budget)
    own = Salience()
    own.prepare([torch.from_numpy(RolloutStore(dataset).read(i, "frames")) for i in data.training])
    assert torch.equal(written[TABLE], own.table) and own.table.unique().numel() > 100


def test_a_class_that_is_no_loss_is_refused_before_anything_is_made(compose: Callable[..., Config]) -> None:
    config = compose("vae.loss=fractions.Fraction")
    with pytest.raises(
        ConfigError, match=r"^vae.loss=fractions.Fraction is no loss: expected mse, .*losses.base.Loss$"
    ):
        vision.check(config)
