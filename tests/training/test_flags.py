"""Lightning's flags: what they do here, what they change, and what is refused."""

import dataclasses
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from small_training import BATCHES, CPU, Watch, changed, copy_of, make_memory, make_vision, train_memory, train_vision
from torch import Tensor

from worldmodels.cli import USAGE, one_line
from worldmodels.config import Config
from worldmodels.pipeline.stages import memory, vision
from worldmodels.store.journal import Journal
from worldmodels.training.callbacks import StopWhenDiverged, in_words
from worldmodels.training.config import TrainerConfig
from worldmodels.training.fit import make_trainer
from worldmodels.utils.errors import ConfigError, TrainingDiverged
from worldmodels.vision.module import VisionModule

__all__ = ["train_memory", "train_vision"]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def flags(**values: Any) -> TrainerConfig:
    return dataclasses.replace(CPU, **values)


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"limit_train_batches": 3}, [3, 6, 9]),
        ({"limit_train_batches": 0.5}, [2, 4, 6]),
        ({"max_steps": 6}, [4, 6]),
        ({"fast_dev_run": True}, [1]),
        ({"fast_dev_run": 2}, [2]),
        ({"overfit_batches": 2}, [2, 4, 6]),
        ({"accumulate_grad_batches": 3}, [2, 4, 6]),
    ],
)
def test_a_flag_limits_what_is_trained_and_every_row_is_whole(
    train_memory: Callable[..., Journal], values: dict[str, Any], steps: list[int]
) -> None:
    """Rows say how many steps were done, and each has its validation."""
    rows = train_memory(make_memory(), trainer=flags(**values)).rows("steps")
    assert [row["step"] for row in rows] == steps
    assert all({"nll", "val_nll"} <= set(row) for row in rows)


def test_after_its_time_training_stops_and_is_over(train_memory: Callable[..., Journal]) -> None:
    class Slow(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 5:
                time.sleep(1.1)

    network, watch = make_memory(), Watch()
    rows = train_memory(network, Slow(), trainer=flags(max_time="00:00:01")).rows("steps")
    assert [row["step"] for row in rows] == [4, 6] and "val_nll" in rows[-1]
    again = make_memory()
    assert train_memory(again, watch, trainer=flags(max_time="00:00:01")).rows("steps") == rows
    assert not watch.losses and changed(again, copy_of(network)) == set()


def test_overfitting_repeats_the_first_batches_and_validates_on_them(train_memory: Callable[..., Journal]) -> None:
    seen: list[tuple[str, float]] = []

    class See(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, *_: Any) -> None:
            seen.append(("train", float(batch.z.sum())))

        def on_validation_batch_start(self, trainer: Any, module: Any, batch: Any, *_: Any) -> None:
            seen.append(("val", float(batch.z.sum())))

    train_memory(make_memory(), See(), trainer=flags(overfit_batches=2), epochs=2)
    sums = [value for _, value in seen]
    assert [kind for kind, _ in seen] == ["train", "train", "val", "val"] * 2
    assert len(set(sums[:2])) == 2 and sums == sums[:2] * 4


def test_v_is_clipped_where_asked(train_vision: Callable[..., Journal]) -> None:
    """By a limit so low that Adam's steps no longer tell which gradient was large."""
    plain, clipped = make_vision(), make_vision()
    train_vision(plain, name="plain", epochs=1)
    train_vision(clipped, name="clipped", epochs=1, trainer=flags(gradient_clip_val=1e-9))
    assert changed(clipped, copy_of(plain)) == set(plain.state_dict())


def test_several_batches_of_a_step_have_noise_of_their_own(
    train_vision: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise: list[float] = []
    drawn = VisionModule._noise

    def noted(module: VisionModule, frames: Tensor, generator: torch.Generator) -> Tensor:
        values = drawn(module, frames, generator)
        noise.extend([float(values.sum())] if module.training else [])
        return values

    monkeypatch.setattr(VisionModule, "_noise", noted)
    train_vision(make_vision(), trainer=flags(accumulate_grad_batches=2), batch_size=2, epochs=1)
    assert len(noise) == 4 == len(set(noise))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_schedulers_variables_change_nothing(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    """An interactive job of four tasks, in which Lightning alone refuses to train, and requeues at SIGUSR1."""
    tasks = {"NTASKS": "4", "JOB_NAME": "x", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in tasks.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    trainer = make_trainer(flags(devices=devices), [])
    assert trainer.world_size == devices
    assert isinstance(trainer._accelerator_connector.cluster_environment, LightningEnvironment)


def test_what_lightning_refuses_is_a_line() -> None:
    with pytest.raises(ConfigError, match="Lightning refuses"):
        make_trainer(TrainerConfig(accelerator="cpu", devices="many"), [])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trainer.max_time=00:00:00", "is no time"),
        ("trainer.max_time=soon", r"trainer\.max_time=soon is no time: expected HH:MM:SS"),
        ("trainer.limit_train_batches=1.5", "no share"),
        ("trainer.limit_val_batches=0", "out of range"),
        ("trainer.devices=0", "out of range"),
        ("trainer.profiler=fast", "expected one of simple, advanced, pytorch"),
        ("trainer.deterministic=maybe", "expected true, false or warn"),
        ("trainer.accumulate_grad_batches=0", "too small"),
        ("trainer.max_steps=0", "trains nothing"),
        ("trainer.max_tim=00:01:00", "no flag of Lightning's.*max_time"),
        ("trainer.max_epochs=3", r"set elsewhere here: expected vae\.epochs and memory\.steps"),
    ],
)
def test_a_senseless_flag_is_a_line(compose: Callable[..., Config], override: str, told: str) -> None:
    with pytest.raises(USAGE) as refused:
        compose(override)
    line = one_line(refused.value)
    assert "\n" not in line
    assert re.search(told, line), line


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trainer.max_time=00:01:00", {"vision", "memory"}),
        ("trainer.max_steps=5", {"vision", "memory"}),
        ("trainer.limit_train_batches=3", {"vision", "memory"}),
        ("trainer.limit_train_batches=0.5", {"vision", "memory"}),
        ("trainer.limit_val_batches=3", {"vision", "memory"}),
        ("trainer.overfit_batches=3", {"vision", "memory"}),
        ("trainer.fast_dev_run=true", {"vision", "memory"}),
        ("trainer.accumulate_grad_batches=2", {"vision", "memory"}),
        ("trainer.gradient_clip_val=1.0", {"vision"}),
        ("trainer.gradient_clip_algorithm=value", set()),
        ("callbacks=early_stopping", {"vision", "memory"}),
        ("callbacks={a: {_target_: lightning.Callback, stages: [memory]}}", {"memory"}),
        ("trainer.profiler=simple", set()),
        ("trainer.detect_anomaly=true", set()),
        ("trainer.deterministic=true", set()),
        ("trainer.devices=2", {"vision", "memory"}),
        ("trainer.num_workers=2", set()),
        ("trainer.checkpoint_every_minutes=1", set()),
        ("trainer.log_every_n_steps=1", set()),
        ("logger=csv", set()),
        ("objective=vision.val_kl", set()),
    ],
)
def test_a_flag_counts_where_it_changes_results(compose: Callable[..., Config], override: str, parts: set[str]) -> None:
    plain, other = compose("trainer.precision=32-true"), compose("trainer.precision=32-true", override)
    stages = {"vision": vision.STAGE, "memory": memory.STAGE}
    assert {name for name, stage in stages.items() if stage.inputs(plain) != stage.inputs(other)} == parts


def test_a_gan_takes_no_flag_that_needs_lightnings_own_step(compose: Callable[..., Config]) -> None:
    vision.check(compose("vae=vae_gan"))
    for flag in ("trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=1.0", "trainer.devices=2"):
        vision.check(compose(flag))
        with pytest.raises(ConfigError, match=r"vae\.loss=gan steps its optimizer itself: expected"):
            vision.check(compose("vae=vae_gan", flag))


@pytest.mark.parametrize("rate", [1e30, 3e37])
def test_a_training_that_diverges_ends_in_a_line_and_keeps_nothing(
    train_memory: Callable[..., Journal], rate: float
) -> None:
    with pytest.raises(TrainingDiverged, match=r"diverged in epoch 1, step \d: .*; expected finite numbers") as end:
        train_memory(make_memory(), learning_rate=rate, min_learning_rate=rate, gradient_clip=1e9, name="bad")
    assert "\n" not in str(end.value)
    journal = train_memory(make_memory(), name="bad")  # begins anew: no checkpoint is left
    assert len(journal.rows("steps")) == 3


def test_v_that_diverges_ends_in_its_first_epoch(train_vision: Callable[..., Journal]) -> None:
    network, watch = make_vision(), Watch()
    with pytest.raises(TrainingDiverged, match="diverged in epoch 1"):
        train_vision(network, watch, learning_rate=1e25)
    assert len(watch.losses) <= 2


def test_a_weight_that_is_not_finite_is_found_though_the_loss_is(train_memory: Callable[..., Journal]) -> None:
    class Break(lightning.Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            module.network.mdn.bias.data[3] = float("inf")

    network = make_memory()
    with pytest.raises(TrainingDiverged, match=r"not finite \(network\.mdn\.bias") as end:
        train_memory(network, Break())
    assert "epoch 1" in str(end.value) or "epoch 2" in str(end.value)


def test_the_likely_setting_is_named() -> None:
    trainer = make_trainer(CPU, [])
    with pytest.raises(TrainingDiverged, match=r"^V's training .*; nothing is stored; vae\.learning_rate=10 is likely"):
        StopWhenDiverged("V", "vae.learning_rate=10 is likely too high", 10)._require(False, "the loss is nan", trainer)


@pytest.mark.parametrize(("batch", "blamed"), [(0, "the network"), (1, "the network"), (2, "the rate")])
def test_a_class_is_blamed_for_the_batches_of_the_first_step_alone(batch: int, blamed: str) -> None:
    trainer = make_trainer(flags(accumulate_grad_batches=2), [])
    with pytest.raises(TrainingDiverged, match=rf"{blamed}$"):
        StopWhenDiverged("V", "look at the rate", 10).on_train_batch_end(
            trainer, lightning.LightningModule(), torch.tensor(float("nan")), None, batch
        )


def test_a_loss_that_is_broken_from_the_first_step_blames_the_class(train_memory: Callable[..., Journal]) -> None:
    network = make_memory()
    network.mdn.bias.data[3] = float("nan")
    with pytest.raises(TrainingDiverged, match=r"step 1: the loss is nan.*; no weight had changed yet: look at the"):
        train_memory(network)


def test_more_devices_than_batches_are_refused(train_memory: Callable[..., Journal]) -> None:
    """They would wait for each other without end."""
    told = rf"trainer.devices=9: 9 devices would share {BATCHES} batches of an epoch \(memory\): expected one for each"
    with pytest.raises(ConfigError, match=told):
        train_memory(make_memory(), trainer=flags(devices=9))


def test_each_row_is_told_in_a_line(train_memory: Callable[..., Journal], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worldmodels.training.callbacks")
    row = train_memory(make_memory()).rows("steps")[0]
    validated = f"validation nll {row['val_nll']:.4g}, mixture_entropy {row['val_mixture_entropy']:.4g}"
    told = rf"  step {row['step']}: {re.escape(validated)}; training nll {row['nll']:.4g} \(\d+ s\)"
    assert any(re.fullmatch(told, line) for line in caplog.messages), caplog.messages


def test_a_row_for_the_console_is_short() -> None:
    values = {"val_total": 47.573, "val_kl": 14.47, "total": 60.67, "kl": 15.75, "persistence_nll": -1.25}
    assert in_words(values) == "validation total 47.57, kl 14.47; training total 60.67"
    assert in_words({"val_nll": 0.5, "mixture_entropy": 1.0}) == "validation nll 0.5"
    assert in_words({"nll": 0.123456, "kl": 2.0}) == "nll 0.1235, kl 2"
