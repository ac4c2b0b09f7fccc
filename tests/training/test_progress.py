"""Interrupted in the middle of an epoch, training ends with the weights and rows of one that was not, bit for bit."""

import dataclasses
import io
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from small_training import (
    BATCHES,
    CPU,
    Interruption,
    Raise,
    Watch,
    changed,
    copy_of,
    make_memory,
    make_vision,
    train_memory,
    train_vision,
    without_time,
)

from worldmodels.store.artifacts import CHECKPOINT
from worldmodels.store.journal import Journal
from worldmodels.transfer.unfreezing import GradualUnfreezing
from worldmodels.utils import interrupts

__all__ = ["train_memory", "train_vision"]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
EVERY_STEP = dataclasses.replace(CPU, checkpoint_every_steps=1)


class Signal(lightning.Callback):
    """Sends this process a signal while batch ``batch``, counted from 0 over all epochs, is being trained on; twice if
    ``times`` is 2.
    """

    def __init__(self, number: int, batch: int, times: int = 1) -> None:
        self.number, self.batch, self.times = number, batch, times

    def on_before_optimizer_step(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == self.batch:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)


def same(got: Journal, expected: Journal, table: str) -> None:
    assert without_time(got.rows(table)) == without_time(expected.rows(table))
    assert got.rows("batches") == expected.rows("batches")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("batch", [0, BATCHES + 1, 2 * BATCHES + 2])
def test_m_asked_to_stop_in_an_epoch_saves_and_goes_on(
    train_memory: Callable[..., Journal], number: int, batch: int
) -> None:
    whole, second, watch = make_memory(), make_memory(), Watch()
    expected = train_memory(whole, name="whole")
    with pytest.raises(KeyboardInterrupt):
        train_memory(make_memory(), Signal(number, batch), name="cut")
    assert not interrupts.requested()
    got = train_memory(second, watch, name="cut")
    assert len(watch.losses) == 3 * BATCHES - batch - 1, "no batch is trained on twice"
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "steps")


@pytest.mark.parametrize("loss", ["mse", "gan"])
def test_v_asked_to_stop_in_an_epoch_saves_and_goes_on(train_vision: Callable[..., Journal], loss: str) -> None:
    """Four batches an epoch. A gan steps its optimizer itself."""
    settings: dict[str, Any] = {"loss": loss, "batch_size": 2, "min_learning_rate": 1e-4}
    whole, second, watch = make_vision(), make_vision(), Watch()
    expected = train_vision(whole, name="whole", **settings)
    for batch in (1, 5, 6):
        with pytest.raises(KeyboardInterrupt):
            train_vision(make_vision(), Signal(signal.SIGTERM, batch), name="cut", **settings)
    got = train_vision(second, watch, name="cut", **settings)
    assert len(watch.losses) == 1
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "epochs")
    assert [row["batch"] for row in got.rows("batches")] == list(range(1, 9))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch", [2, BATCHES - 1, BATCHES, BATCHES + 2, 3 * BATCHES - 1])
def test_killed_after_any_step_m_goes_on_from_the_last_checkpoint(
    train_memory: Callable[..., Journal], batch: int, workers: int
) -> None:
    whole, second, watch = make_memory(), make_memory(), Watch()
    expected = train_memory(whole, name="whole")
    trainer = dataclasses.replace(EVERY_STEP, num_workers=workers)
    with pytest.raises(Interruption):
        train_memory(make_memory(), Raise(Interruption(), batch), name="cut", trainer=trainer)
    got = train_memory(second, watch, name="cut", trainer=trainer)
    assert len(watch.losses) == 3 * BATCHES - batch
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "steps")


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_in_an_epoch_v_goes_on_from_the_last_checkpoint(
    train_vision: Callable[..., Journal], workers: int
) -> None:
    whole, second = make_vision(), make_vision()
    expected = train_vision(whole, name="whole", batch_size=2)
    trainer = dataclasses.replace(EVERY_STEP, num_workers=workers)
    for batch in (2, 7):
        with pytest.raises(Interruption):
            train_vision(make_vision(), Raise(Interruption(), batch), name="cut", batch_size=2, trainer=trainer)
    got = train_vision(second, name="cut", batch_size=2, trainer=trainer)
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "epochs")


def test_gradual_unfreezing_goes_on_in_an_epoch(train_memory: Callable[..., Journal]) -> None:
    """Killed in the epoch before the LSTM begins to train, and in the one in which it does."""
    whole, second = make_memory(), make_memory()
    expected = train_memory(whole, GradualUnfreezing([whole.lstm]), name="whole")
    for batch in (2, BATCHES + 2):
        cut = make_memory()
        with pytest.raises(Interruption):
            callbacks = GradualUnfreezing([cut.lstm]), Raise(Interruption(), batch)
            train_memory(cut, *callbacks, name="cut", trainer=EVERY_STEP)
    got = train_memory(second, GradualUnfreezing([second.lstm]), name="cut", trainer=EVERY_STEP)
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "steps")


def test_gradients_of_several_batches_are_never_cut_in_two(train_memory: Callable[..., Journal]) -> None:
    trainer = dataclasses.replace(EVERY_STEP, accumulate_grad_batches=2)
    whole, second = make_memory(), make_memory()
    expected = train_memory(whole, name="whole", trainer=trainer)
    with pytest.raises(KeyboardInterrupt):
        train_memory(make_memory(), Signal(signal.SIGTERM, 2), name="cut", trainer=trainer)
    got = train_memory(second, name="cut", trainer=trainer)
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "steps")
    assert [row["step"] for row in got.rows("steps")] == [2, 4, 6]


def test_a_network_that_draws_at_random_draws_the_same_after_an_interruption(
    train_memory: Callable[..., Journal],
) -> None:
    """Dropout in front of the LSTM draws from torch's global stream."""

    def noisy() -> Any:
        network = make_memory()
        network.lstm.register_forward_pre_hook(
            lambda module, inputs: (torch.nn.functional.dropout(inputs[0], 0.5, module.training), *inputs[1:])
        )
        return network

    whole, first, again, second, unlike = (noisy() for _ in range(5))  # which sets the seed
    torch.manual_seed(5)
    train_memory(whole, name="whole")
    torch.manual_seed(5)
    for network, batch in ((first, BATCHES), (again, BATCHES + 2)):
        with pytest.raises(Interruption):
            train_memory(network, Raise(Interruption(), batch), name="cut", trainer=EVERY_STEP)
    train_memory(second, name="cut", trainer=EVERY_STEP)
    assert changed(second, copy_of(whole)) == set()
    train_memory(unlike, name="unlike")
    assert changed(unlike, copy_of(whole)) != set(), "it does draw"


def test_interrupted_while_validating_only_the_last_batch_is_repeated(
    train_memory: Callable[..., Journal],
) -> None:
    class Validating(lightning.Callback):
        def on_validation_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
            if trainer.current_epoch == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    whole, second, watch = make_memory(), make_memory(), Watch()
    expected = train_memory(whole, name="whole")
    with pytest.raises(KeyboardInterrupt):
        train_memory(make_memory(), Validating(), name="cut", trainer=EVERY_STEP)
    got = train_memory(second, watch, name="cut")
    assert len(watch.losses) == BATCHES + 1
    assert changed(second, copy_of(whole)) == set()
    same(got, expected, "steps")


def test_a_second_signal_does_not_wait(train_memory: Callable[..., Journal]) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_memory(make_memory(), Signal(signal.SIGINT, 2, times=2))
    assert signal.getsignal(signal.SIGINT) == handler and not interrupts.requested()


def test_checkpoints_need_no_room_for_temporary_files(
    train_memory: Callable[..., Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    network = make_memory()
    folder = train_memory(network, trainer=EVERY_STEP, epochs=1).folder.parent
    assert {path.name for path in (folder / CHECKPOINT).iterdir()} == {"last.ckpt"}


def cut_short(data: bytearray) -> bytearray:
    return data[: len(data) // 2]


def with_a_bit_flipped(data: bytearray) -> bytearray:
    """Of a weight, where nothing else would tell."""
    weights = next(iter(torch.load(io.BytesIO(data), weights_only=True)["state_dict"].values()))
    data[data.index(weights.numpy().tobytes()) + 2] ^= 64
    return data


@pytest.mark.parametrize("damage", [cut_short, with_a_bit_flipped])
def test_a_damaged_checkpoint_is_not_used(
    damage: Callable[[bytearray], bytearray], train_memory: Callable[..., Journal], tmp_path: Path
) -> None:
    whole, second = make_memory(), make_memory()
    train_memory(whole, name="whole")
    with pytest.raises(Interruption):
        train_memory(make_memory(), Raise(Interruption(), BATCHES + 2), name="cut", trainer=EVERY_STEP)
    path = tmp_path / "cut" / CHECKPOINT / "last.ckpt"
    path.write_bytes(damage(bytearray(path.read_bytes())))
    journal = train_memory(second, name="cut")
    assert changed(second, copy_of(whole)) == set()
    assert [row["step"] for row in journal.rows("steps")] == [4, 8, 12]
