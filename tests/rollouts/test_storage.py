"""Rollouts on disk."""

import json
import pickle

import h5py
import numpy as np
import pytest

from worldmodels.rollouts import storage
from worldmodels.rollouts.storage import Entry, RolloutStore, read_entry, split, write_index, write_rollout
from worldmodels.utils.errors import DamagedFile


def arrays(length=9, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "frames": rng.integers(0, 256, (length, 64, 64, 3), dtype=np.uint8),
        "actions": rng.normal(size=(length, 3)).astype(np.float32),
        "rewards": rng.normal(size=length).astype(np.float32),
        "terminated": np.arange(length) == length - 1,
    }


def data_set(folder, lengths):
    entries = [
        write_rollout(folder / f"{i:06d}.h5", arrays(length, i), 100 + i, float(i)) for i, length in enumerate(lengths)
    ]
    write_index(folder, entries)
    return RolloutStore(folder)


@pytest.mark.parametrize("length", [1, 3, 4, 9])
def test_what_is_written_is_read(tmp_path, length):
    written = arrays(length)
    path = tmp_path / "000000.h5"
    entry = write_rollout(path, written, seed=2**31 - 1, total_reward=-12.25)
    assert entry == read_entry(path) == Entry("000000.h5", length, 2**31 - 1, -12.25)
    write_index(tmp_path, [entry])
    store = RolloutStore(tmp_path)
    assert store.entries == [entry]
    for name, array in written.items():
        read = store.read(0, name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_slices_and_frame_numbers_are_read_from_the_right_rollout(tmp_path):
    store = data_set(tmp_path, [5, 9, 1])
    assert len(store) == 3
    assert store.lengths.tolist() == [5, 9, 1]
    np.testing.assert_array_equal(store.read(1, "frames", slice(2, 7)), arrays(9, 1)["frames"][2:7])
    np.testing.assert_array_equal(store.read(0, "frames", np.array([0, 3, 4])), arrays(5, 0)["frames"][[0, 3, 4]])
    np.testing.assert_array_equal(store.read(2, "rewards"), arrays(1, 2)["rewards"])


def test_only_so_many_files_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "OPEN_FILES", 2)
    store = data_set(tmp_path, [2] * 5)
    for rollout in (0, 1, 2, 3, 4, 0, 4):
        np.testing.assert_array_equal(store.read(rollout, "actions"), arrays(2, rollout)["actions"])
        assert len(store._open) <= 2


def test_a_store_can_be_sent_to_another_process(tmp_path):
    store = data_set(tmp_path, [4, 4])
    store.read(0, "frames")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read(1, "frames"), arrays(4, 1)["frames"])


def test_a_file_is_whole_or_absent(tmp_path):
    """A write that fails leaves nothing under the final name, and nothing that passes for a rollout."""
    path = tmp_path / "000000.h5"
    with pytest.raises(TypeError):
        write_rollout(path, {**arrays(), "words": np.array([object()] * 9)}, 0, 0.0)
    assert not path.exists()
    assert list(tmp_path.glob("*.h5")) == []


def test_a_failing_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "000000.h5"
    write_rollout(path, arrays(), 0, 0.0)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_rollout(path, {**arrays(3), "words": np.array([object()] * 3)}, 1, 1.0)
    assert path.read_bytes() == before


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        write_rollout(tmp_path / name / "000000.h5", arrays(seed=seed), 5, 1.5)
    first, again, other = ((tmp_path / name / "000000.h5").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def chunk_bytes(path):
    """Places of the file that hold data, by HDF5's own account."""
    with h5py.File(path) as file:
        for dataset in file.values():
            for i in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(i)
                yield from range(chunk.byte_offset, chunk.byte_offset + chunk.size)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def test_a_flipped_byte_of_data_is_detected(tmp_path):
    path = tmp_path / "000000.h5"
    write_rollout(path, arrays(), 0, 0.0)
    whole = path.read_bytes()
    places = list(chunk_bytes(path))
    assert len(places) > 9 * 64 * 64 * 3 * 0.9  # random pixels do not compress
    for place in np.random.default_rng(0).choice(places, 200, replace=False):
        path.write_bytes(flipped(whole, place))
        with pytest.raises(DamagedFile):
            read_entry(path)
    path.write_bytes(whole)
    assert read_entry(path).length == 9


def outcome(read):
    """What was read, or None where the damage was noticed as promised."""
    try:
        return read()
    except DamagedFile:
        return None


def test_a_flipped_byte_anywhere_is_detected_or_harmless(tmp_path):
    """Names, sizes and attributes count too; only bytes that mean nothing may change."""
    path = tmp_path / "000000.h5"
    written = {"actions": arrays()["actions"]}
    entry = write_rollout(path, written, 5, 1.5)
    write_index(tmp_path, [entry])
    whole = path.read_bytes()
    detected = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(flipped(whole, place))
        read = outcome(lambda: read_entry(path))
        assert read in (None, entry)
        data = outcome(lambda: RolloutStore(tmp_path).read(0, "actions"))
        assert data is None or np.array_equal(data, written["actions"])
        detected += read is None
    assert detected > 50


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_cut_short_is_detected(tmp_path, share):
    path = tmp_path / "000000.h5"
    write_rollout(path, arrays(), 0, 0.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DamagedFile):
        read_entry(path)


def test_reading_a_damaged_file_names_it_and_says_what_to_do(tmp_path):
    store = data_set(tmp_path, [9, 9])
    path = tmp_path / "000001.h5"
    places = list(chunk_bytes(path))
    path.write_bytes(flipped(path.read_bytes(), places[len(places) // 2]))
    store.read(0, "frames")
    with pytest.raises(DamagedFile, match=r"000001\.h5 is damaged .*run the same command again"):
        store.read(1, "frames")


def members(seeds, part):
    return {seeds[i] for i in part}


def test_a_split_follows_the_seeds_and_not_their_places():
    seeds = [int(seed) for seed in np.random.default_rng(0).integers(0, 2**31, 50)]
    shuffled = [seeds[i] for i in np.random.default_rng(1).permutation(50)]
    for budget in (1.0, 0.5):
        parts = [[members(order, part) for part in split(order, 0.1, budget)] for order in (seeds, shuffled)]
        assert parts[0] == parts[1]
    assert split(seeds, 0.1)[1] != list(range(5))  # nor are the first ones held out
    assert split(seeds, 0.1)[1] != list(range(45, 50))


def test_a_split_has_the_asked_sizes_and_no_rollout_twice():
    training, validation = split(range(100), 0.1)
    assert (len(training), len(validation)) == (90, 10)
    assert sorted(training + validation) == list(range(100))
    half, same = split(range(100), 0.1, budget=0.5)
    assert same == validation
    assert len(half) == 45
    assert set(half) < set(training)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.999])
@pytest.mark.parametrize("budget", [0.001, 1.0])
def test_no_part_of_a_split_is_ever_empty(count, fraction, budget):
    training, validation = split(range(count), fraction, budget)
    assert training
    assert validation
    assert not set(training) & set(validation)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"file": "../secret.h5", "length": 4, "seed": 0, "total_reward": 0.0}, "files elsewhere"),
        ({"file": "/etc/passwd", "length": 4, "seed": 0, "total_reward": 0.0}, "files elsewhere"),
        ({"file": "a.h5", "length": -1, "seed": 0, "total_reward": 0.0}, "of no length"),
        ({"file": "a.h5", "length": "x", "seed": 0, "total_reward": 0.0}, "of no length"),
        ({"file": "a.h5"}, "no list of rollouts"),
        (3, "no list of rollouts"),
    ],
)
def test_an_index_of_another_form_is_refused_in_a_line(tmp_path, entry, told):
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    with pytest.raises(DamagedFile, match=told) as caught:
        RolloutStore(tmp_path)
    assert "\n" not in str(caught.value)
