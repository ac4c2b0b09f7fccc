"""The measures of M on held-out rollouts, as a stage."""

import json

import numpy as np
import pytest

from worldmodels.factory import make_memory
from worldmodels.memory.data import SequenceDataModule
from worldmodels.pipeline.stages import measure
from worldmodels.rollouts.storage import RolloutStore, write_index, write_rollout
from worldmodels.store.journal import Journal
from worldmodels.transfer.weights import save_weights


def write(folder, lengths, seed):
    """Encoded rollouts, each at a level of its own: what was read shows in the figures."""
    folder.mkdir()
    rng, entries = np.random.default_rng(seed), []
    for rollout, length in enumerate(lengths):
        arrays = {
            "mu": (10.0 * rollout + rng.normal(size=(length, 32))).astype(np.float32),
            "log_var": np.full((length, 32), -4, np.float32),
            "actions": rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            "rewards": rng.normal(size=length).astype(np.float32),
            "terminated": np.arange(length) == length - 1,
        }
        path = folder / f"{rollout:06d}.h5"
        entries.append(write_rollout(path, arrays, 1000 * seed + rollout, 0.0))
    write_index(folder, entries)
    return RolloutStore(folder)


@pytest.fixture
def made(compose, tmp_path):
    """A config, and folders with encoded rollouts, held-out ones among them, and M's weights."""
    config = compose("env=lunar_lander", "scale=smoke", "memory.network.end_head=true", "measure.training_frames=100")
    write(tmp_path / "heldout", [12, 1, 9], 7)
    write(tmp_path / "encoded", [1, *[20] * 10], 1)
    save_weights(make_memory(config, 2), tmp_path / "m.safetensors")
    return config, tmp_path


def test_m_is_measured_on_all_held_out_rollouts_and_some_that_it_was_trained_on(made):
    config, folder = made
    journal = Journal(folder, None, "measure_memory")
    for _ in range(2):  # a second time shows nothing twice
        found = measure.memory(config, folder / "heldout", folder / "encoded", folder / "m.safetensors", journal)
    assert (found["rollouts"], found["frames"]) == (3, 22)
    assert found["training"] == {"rollouts": 5, "frames": 100}
    store = RolloutStore(folder / "encoded")
    trained = SequenceDataModule(store, config.memory, config.seed).training
    assert len(trained) == 9
    assert 0 not in trained, "one frame is no transition"
    mu = np.concatenate([store.read(trained[i], "mu") for i in (0, 2, 4, 6, 8)])
    np.testing.assert_allclose(found["nll"]["per_dimension"]["variance"], mu.var(axis=0), rtol=1e-3)
    json.dumps(found, allow_nan=False)


def test_the_record_has_a_row_for_each_horizon_and_one_for_the_rest(made):
    config, folder = made
    journal = Journal(folder, None, "measure_memory")
    found = measure.memory(config, folder / "heldout", folder / "encoded", folder / "m.safetensors", journal)
    rows = journal.rows(measure.HORIZONS)
    assert [row["horizon"] for row in rows] == found["open_loop"]["horizons"]
    for name in ("memory", "persistence", "reservoir", "mismatched_actions"):
        assert [row[name] for row in rows] == [each["value"] for each in found["open_loop"][name]]
    (rest,) = journal.rows(measure.ONE_STEP)
    assert rest["step"] == config.memory.steps
    assert rest["nll_memory"] == found["nll"]["memory"]["value"]
    assert rest["calibration_coverage_50"] == found["calibration"]["coverage_50"]["value"]
    assert rest["end_brier"] == found["end"]["brier"]["value"]


@pytest.mark.parametrize(
    ("lengths", "frames", "expected"),
    [
        ([10] * 5, 1000, [0, 1, 2, 3, 4]),
        ([10] * 5, 1, [0]),
        ([7], 3, [0]),
        ([10] * 5, 30, [0, 2, 4]),
        ([5, 15] * 3, 20, [0, 5]),
    ],
)
def test_training_rollouts_are_taken_from_everywhere(lengths, frames, expected):
    assert measure.spread(np.array(lengths), frames).tolist() == expected
