"""The collect stage."""

import contextlib
import json

import h5py
import numpy as np
import pytest

from worldmodels.config import config_to_json
from worldmodels.pipeline.stages import collect
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.utils.errors import ConfigError

STEPS = 12  # too few for the lander to come down, so every rollout is as long


@pytest.fixture
def config(compose):
    def composed(*overrides):
        return compose("env=lunar_lander", "scale=smoke", f"collect.max_steps={STEPS}", *overrides)

    return composed


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(config, folder, executor=None):
    folder.mkdir(exist_ok=True)
    return collect.run(config, executor or SerialExecutor(), folder)


def test_the_data_set_does_not_depend_on_the_number_of_workers(config, tmp_path):
    request = config("collect.rollouts=30", f"collect.frames={5 * STEPS}")  # workers will collect too much
    run(request, tmp_path / "serial")
    for workers in (1, 2):
        with contextlib.closing(ProcessExecutor(workers)) as executor:
            run(request, tmp_path / str(workers), executor)
    serial = contents(tmp_path / "serial")
    assert sorted(serial) == [f"{number:06d}.h5" for number in range(5)] + ["index.json"]
    assert contents(tmp_path / "1") == serial
    assert contents(tmp_path / "2") == serial


@pytest.mark.parametrize("policy", ["uniform", "sticky", "brownian", "biased"])
def test_rollouts_do_not_depend_on_what_is_collected_beside_them(config, tmp_path, policy):
    """Of different lengths here; each depends on its number alone."""
    text = config_to_json(config("env.max_steps=90", "collect.max_steps=90", f"collect.policy={policy}"))
    episodes = [Episode(number, 50 + number, player=number) for number in range(5)]
    for slots in (1, 3):
        folder = tmp_path / str(slots)
        folder.mkdir()
        results = list(SerialExecutor().map(collect.CollectRollouts(text, folder, slots), episodes))
        assert sorted(episode.label for episode, _ in results) == list(range(5))
    assert len({entry.length for _, entry in results}) > 1
    assert contents(tmp_path / "3") == contents(tmp_path / "1")


@pytest.mark.parametrize(
    ("rollouts", "frames", "size"),
    [
        (100, 4 * STEPS, 4),
        (100, 4 * STEPS + 1, 5),  # the shortest run of rollouts that holds the frames
        (100, 1, 2),  # two at least: one to train on, one to validate on
        (3, 1000 * STEPS, 3),  # no more rollouts than asked for
        (3, "null", 3),
    ],
)
def test_the_frames_asked_for_bound_the_data_set(config, tmp_path, caplog, rollouts, frames, size):
    caplog.set_level("INFO")
    summary = run(config(f"collect.rollouts={rollouts}", f"collect.frames={frames}"), tmp_path)
    assert (summary["rollouts"], summary["frames"]) == (size, size * STEPS)
    assert len(RolloutStore(tmp_path)) == len(list(tmp_path.glob("*.h5"))) == size
    assert ("collect.frames=1 is less than two rollouts hold" in caplog.text) == (frames == 1)


def test_rollouts_hold_what_their_index_says(config, tmp_path):
    summary = run(config(), tmp_path)
    store = RolloutStore(tmp_path)
    totals = []
    for number, entry in enumerate(store.entries):
        assert entry.length == len(store.read(number, "frames")) == STEPS
        totals.append(store.read(number, "rewards").sum(dtype=np.float64))
        assert entry.total_reward == pytest.approx(totals[-1])
        assert store.read(number, "truncated").tolist() == [False] * (STEPS - 1) + [True]
    assert summary["return_mean"] == pytest.approx(np.mean(totals))
    assert summary["return_std"] == pytest.approx(np.std(totals, ddof=1))
    assert len({entry.seed for entry in store.entries}) == len(store) == 4


def test_rollouts_differ_from_each_other_and_by_seed(config, tmp_path):
    run(config(), tmp_path / "a")
    run(config("collect.seed=1"), tmp_path / "b")
    first, second = (RolloutStore(tmp_path / name) for name in "ab")
    states = [store.read(number, "states").tobytes() for store in (first, second) for number in range(4)]
    actions = [store.read(number, "actions").tobytes() for store in (first, second) for number in range(4)]
    assert len(set(states)) == len(set(actions)) == 8


def test_an_interrupted_collection_goes_on(config, tmp_path):
    request = config("collect.rollouts=6")
    run(request, tmp_path)
    whole = contents(tmp_path)
    for name in ("000001.h5", "000005.h5", "index.json"):
        (tmp_path / name).unlink()
    (tmp_path / "000001.999.partial").write_bytes(b"half a rollout")
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.h5")}
    assert len(kept) == 4
    run(request, tmp_path)
    assert contents(tmp_path) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def damage(path):
    """Flip a byte in the middle of the frames."""
    with h5py.File(path) as file:
        chunk = file["frames"].id.get_chunk_info(1)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil", [damage, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"no HDF5")]
)
def test_a_damaged_rollout_is_named_and_collected_anew(config, tmp_path, caplog, spoil):
    run(config(), tmp_path)
    whole = contents(tmp_path)
    spoil(tmp_path / "000002.h5")
    run(config(), tmp_path)
    assert contents(tmp_path) == whole
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert str(tmp_path / "000002.h5") in warning
    assert "is damaged" in warning


def test_the_index_lists_the_rollouts_in_order(config, tmp_path):
    with contextlib.closing(ProcessExecutor(2)) as executor:
        run(config("collect.rollouts=5"), tmp_path, executor)
    names = [entry["file"] for entry in json.loads((tmp_path / "index.json").read_text())]
    assert names == [f"{number:06d}.h5" for number in range(5)]


def test_held_out_episodes_and_actions_occur_in_no_training_set(config, tmp_path):
    request = config(f"heldout.max_steps={STEPS}", "heldout.policy=uniform", "collect.policy=uniform", "heldout.seed=0")
    run(request, tmp_path / "training")
    (tmp_path / "held_out").mkdir()
    summary = collect.run(request, SerialExecutor(), tmp_path / "held_out", "heldout")
    assert summary["rollouts"] == 4
    training, held_out = (RolloutStore(tmp_path / name) for name in ("training", "held_out"))
    assert not {entry.seed for entry in training.entries} & {entry.seed for entry in held_out.entries}
    first, second = (store.read(0, "actions") for store in (training, held_out))
    assert not np.isin(first, second).any()


def test_the_summary_says_what_the_rollouts_reach(config, tmp_path):
    coverage = run(config("collect.max_steps=90"), tmp_path / "lander")["coverage"]
    states = [RolloutStore(tmp_path / "lander").read(i, "states") for i in range(4)]
    x, y = (np.concatenate([rows[:, column] for rows in states]) for column in (0, 1))
    legs = np.concatenate([rows[:, 6:8].max(axis=1) for rows in states])
    assert coverage["on_ground"] == pytest.approx((legs > 0).mean())
    assert coverage["in_picture"] == pytest.approx(((abs(x) <= 1) & (y <= 1.41) & (y >= -0.59)).mean())


def test_a_task_that_ends_at_its_first_step_is_refused_here(compose, tmp_path):
    """M has nothing to predict in it, however much is collected."""
    task = ("env=cart_pole", "env.name=toy", "env.id=toys:Toy-v0", "scale=smoke", "collect.rollouts=3")
    with pytest.raises(
        ConfigError, match=r"^env.id=toys:Toy-v0 ended each of 3 rollouts at its first frame \(collect\)"
    ):
        run(compose(*task, "+env.kwargs.length=1"), tmp_path)
    assert not (tmp_path / "index.json").exists()
    assert run(compose(*task, "+env.kwargs.length=2"), tmp_path / "longer")["frames"] == 6
