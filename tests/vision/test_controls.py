"""Frames that teach nothing about a task, or nothing about shapes."""

from pathlib import Path

import numpy as np
import pytest

from worldmodels.rollouts.storage import RolloutStore, write_index, write_rollout
from worldmodels.vision.controls import frame_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    entries = []
    for rollout in range(2):
        frames = np.repeat(rng.integers(0, 256, (1, 64, 64, 3), dtype=np.uint8), 3, axis=0)  # a frame, three times
        path = tmp_path / f"{rollout:06d}.h5"
        entries.append(write_rollout(path, {"frames": frames, "rewards": np.arange(3.0)}, rollout, 0.0))
    write_index(tmp_path, entries)
    return tmp_path


def colours(frame: np.ndarray) -> np.ndarray:
    return np.sort(frame.reshape(-1, 3).astype(int) @ [1, 256, 65536])


def test_real_frames_are_those_of_the_store(folder: Path) -> None:
    assert type(frame_store(folder, "real", 0)) is RolloutStore


@pytest.mark.parametrize("kind", ["noise", "shuffled"])
def test_a_frame_is_the_same_at_every_reading(folder: Path, kind: str) -> None:
    store, again = frame_store(folder, kind, 0), frame_store(folder, kind, 0)
    whole = store.read(1, "frames")
    assert whole.dtype == np.uint8 and whole.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(again.read(1, "frames", slice(1, 3)), whole[1:3])
    np.testing.assert_array_equal(again.read(1, "frames", np.array([0, 2])), whole[[0, 2]])
    np.testing.assert_array_equal(store.read(1, "rewards"), [0, 1, 2])
    assert not np.array_equal(frame_store(folder, kind, 1).read(1, "frames"), whole)
    assert not np.array_equal(store.read(0, "frames"), whole)


def test_shuffled_frames_keep_their_colours_and_nothing_else(folder: Path) -> None:
    real, shuffled = (frame_store(folder, kind, 0).read(0, "frames") for kind in ("real", "shuffled"))
    for before, after in zip(real, shuffled, strict=True):
        np.testing.assert_array_equal(colours(after), colours(before))
        assert (before == after).all(-1).mean() < 0.01
    assert not np.array_equal(shuffled[0], shuffled[1])  # of one frame, twice


def test_noise_is_uniform(folder: Path) -> None:
    noise = frame_store(folder, "noise", 0).read(0, "frames")
    assert np.bincount(noise.ravel(), minlength=256) == pytest.approx(noise.size / 256, rel=0.3)
