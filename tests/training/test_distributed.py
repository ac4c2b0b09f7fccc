"""Two devices, here processes with gloo, train what one device does that adds up the gradients of two batches."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT, ended
from small_training import BATCHES, EPOCHS
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from warm import Warm

from worldmodels.training.distributed import told_of
from worldmodels.utils.errors import ConfigError, Failure, TrainingDiverged

SCRIPT = Path(__file__).with_name("two_devices.py")


def left_by(warm: Warm, folder: Path, *arguments: str, spares: int) -> Any:
    folder.mkdir(exist_ok=True)
    environment = {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests", ROOT)))}
    ended(warm.start([str(SCRIPT), *arguments], folder, environment, spares=spares))
    return torch.load(folder / "results.pt")


@pytest.fixture(scope="module")
def left(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the trainings of two_devices.py left, by their names; all in one process, which forks."""
    return left_by(warm, tmp_path_factory.mktemp("two"), spares=0)


def close(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(got) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-3, atol=1e-5, msg=name)


def moved(got: dict[str, torch.Tensor], start: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in got.items() if not torch.equal(value, start[name])}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["m", "v", "unfreezing"])
def test_two_devices_do_what_one_does_that_adds_up_two_batches(left: dict[str, Any], which: str) -> None:
    """The same batches with the same noise in the same order; rows are means over all frames, and validation is whole:
    the sums of floats in another order, and Adam after them, are all that differs.
    """
    one, two = left[f"{which} one"], left[f"{which} two"]
    assert one["error"] is None and two["error"] is None
    close(two["weights"], one["weights"])
    assert len(two["rows"]) == len(one["rows"]) == (2 if which == "v" else EPOCHS)
    for got, expected in zip(two["rows"], one["rows"], strict=True):
        assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_what_is_frozen_stays_frozen_on_two_devices(left: dict[str, Any]) -> None:
    m, v = moved(left["m two"]["weights"], left["m start"]), moved(left["v two"]["weights"], left["v start"])
    assert m == {"mdn.weight", "mdn.bias"}
    layer = {"encoder.layers.0.weight", "encoder.layers.0.bias"}
    assert v == set(left["v start"]) - layer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "told"), [("stopped", "KeyboardInterrupt: "), ("ended", "Failure: process 1 terminated")]
)
def test_two_devices_go_on_after_an_interruption(left: dict[str, Any], how: str, told: str) -> None:
    """In the second epoch: after SIGTERM to the command, which saves; and after one of the processes was killed."""
    cut, resumed, whole = left[how], left[f"{how}, on"], left["m two"]
    assert cut["error"].startswith(told) and "\n" not in cut["error"]
    assert len(cut["rows"]) == 1 and len(cut["batches"]) == BATCHES // 2 + (how == "stopped")
    assert resumed["error"] is None
    assert resumed["rows"] == whole["rows"] and resumed["batches"] == whole["batches"]
    assert moved(resumed["weights"], whole["weights"]) == set()


@pytest.mark.slow
def test_a_training_that_diverges_on_two_devices_ends_in_a_line(left: dict[str, Any]) -> None:
    assert left["diverged"]["error"].startswith("TrainingDiverged: the model's training diverged in epoch 1")
    assert "\n" not in left["diverged"]["error"]


@pytest.mark.slow
def test_processes_that_are_spawned_train_the_same(left: dict[str, Any], warm: Warm, tmp_path: Path) -> None:
    """By ``trainer.strategy=ddp``, the default of several devices."""
    spawned = left_by(warm, tmp_path, "spawned", spares=2)
    assert spawned["error"] is None
    assert moved(spawned["weights"], left["m two"]["weights"]) == set()
    assert spawned["rows"] == left["m two"]["rows"]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("Traceback …\nworldmodels.utils.errors.TrainingDiverged: V's training diverged", TrainingDiverged, "V's"),
        ("worldmodels.utils.errors.ConfigError: a=1: expected 2", ConfigError, "a=1: expected 2"),
        ("lightning.fabric.utilities.exceptions.MisconfigurationException: no: never", ConfigError, "no: never"),
        ("RuntimeError: frozen weight x changed", ProcessRaisedException, "frozen weight"),
    ],
)
def test_an_error_of_a_process_is_told_as_what_it_is(text: str, kind: type[Exception], message: str) -> None:
    error = told_of(ProcessRaisedException(f"\n\n-- Process 1 terminated with the following error:\n{text}\n", 1, 1))
    assert type(error) is kind and message in str(error)


def test_the_end_of_a_process_is_told_in_a_line() -> None:
    error = told_of(ProcessExitedException("process 1 terminated with signal SIGKILL", 1, 1, -9, "SIGKILL"))
    assert isinstance(error, Failure) and str(error).startswith("process 1 terminated with signal SIGKILL")
    assert isinstance(told_of(ProcessExitedException("x", 1, 1, 130)), KeyboardInterrupt)
