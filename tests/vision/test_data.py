"""Frames for V: each once an epoch, in an order that seed and epoch determine, and a split of whole rollouts."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from worldmodels.rollouts.storage import RolloutStore, write_index, write_rollout
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.config import VisionConfig
from worldmodels.vision.data import Batch, FrameDataModule, Frames, ShuffledFrames, ShuffledTransitions, Transitions

LENGTHS = [5, 1, 9, 3, 7, 2, 4, 6]


def make_store(folder: Path, lengths: list[int] = LENGTHS) -> RolloutStore:
    """Rollouts whose frames, and the actions after them, bear their rollout's number and their own in the first two
    values.
    """
    entries = []
    for rollout, length in enumerate(lengths):
        frames = np.zeros((length, 64, 64, 3), np.uint8)
        frames[:, 0, 0, 0] = rollout
        frames[:, 0, 0, 1] = np.arange(length)
        actions = np.stack([np.full(length, rollout), np.arange(length)], axis=1).astype(np.float32)
        path, arrays = folder / f"{rollout:06d}.h5", {"frames": frames, "actions": actions}
        entries.append(write_rollout(path, arrays, seed=100 + rollout, total_reward=0.0))
    write_index(folder, entries)
    return RolloutStore(folder)


def config(batch_size: int = 4, shuffle_frames: int = 8, fraction: float = 0.25, inverse: float = 0.0) -> VisionConfig:
    return VisionConfig(
        epochs=1,
        batch_size=batch_size,
        validation_fraction=fraction,
        shuffle_frames=shuffle_frames,
        inverse=inverse,
    )


def all_frames(rollouts: list[int]) -> list[tuple[int, int]]:
    return [(rollout, frame) for rollout in rollouts for frame in range(LENGTHS[rollout])]


def named(batches: list[Batch]) -> list[tuple[int, int]]:
    """(rollout, frame) pairs in the order in which batches name them."""
    return [(rollout, int(frame)) for batch in batches for rollout, where in batch for frame in where]


def read(batches: list[Tensor]) -> list[tuple[int, int]]:
    """(rollout, frame) pairs as written in the frames themselves."""
    return [(int(frame[0, 0, 0]), int(frame[0, 0, 1])) for batch in batches for frame in batch]


def sampler(
    group_frames: int, batch_size: int = 4, seed: int = 0, epoch: int = 0, kind: type[ShuffledFrames] = ShuffledFrames
) -> ShuffledFrames:
    rollouts = [0, 1, 2, 4, 5, 6, 7]
    shuffled = kind(np.array(LENGTHS), rollouts, batch_size, group_frames, seed)
    shuffled.set_epoch(epoch)
    return shuffled


@pytest.mark.parametrize("group_frames", [1, 8, 10_000])
@pytest.mark.parametrize("batch_size", [1, 4, 34, 100])
def test_every_frame_comes_exactly_once_an_epoch(group_frames: int, batch_size: int) -> None:
    shuffled = sampler(group_frames, batch_size)
    batches = list(shuffled)
    assert Counter(named(batches)) == Counter(all_frames([0, 1, 2, 4, 5, 6, 7]))
    sizes = [sum(len(where) for _, where in batch) for batch in batches]
    assert len(sizes) == len(shuffled)
    assert all(size == batch_size for size in sizes[:-1]) and 1 <= sizes[-1] <= batch_size


@pytest.mark.parametrize("group_frames", [1, 8, 10_000])
def test_order_follows_from_seed_and_epoch(group_frames: int) -> None:
    first = named(list(sampler(group_frames)))
    assert named(list(sampler(group_frames))) == first
    assert named(list(sampler(group_frames, epoch=1))) != first
    assert named(list(sampler(group_frames, seed=1))) != first
    again = sampler(group_frames, epoch=1)
    again.set_epoch(0)
    assert named(list(again)) == first, "going back to an epoch, as a resume does, must repeat it"


def test_frames_are_shuffled_across_rollouts() -> None:
    batches = list(sampler(10_000, batch_size=8))
    assert all(len(batch) >= 3 for batch in batches[:-1]), "a batch of 8 of 34 frames spans several of 7 rollouts"


@pytest.mark.parametrize(("group_frames", "contiguous"), [(1, True), (10_000, False)])
def test_a_small_group_holds_few_rollouts_in_memory(group_frames: int, contiguous: bool) -> None:
    """Groups of one rollout each: a rollout is finished before the next begins, and its frames are shuffled."""
    order = named(list(sampler(group_frames, batch_size=1)))
    visits = [rollout for rollout, _ in itertools.groupby(rollout for rollout, _ in order)]
    assert (len(visits) == len(set(visits)) == 7) == contiguous
    assert [frame for rollout, frame in order if rollout == 2] != list(range(9))


def test_a_large_group_is_shuffled_uniformly() -> None:
    """In which of 5 batches a frame comes is uniform: χ² over 300 epochs, df = 4, against its 99.9 % quantile."""
    shuffled = ShuffledFrames(np.array([3, 7]), [0, 1], 2, 100, seed=3)
    counts = np.zeros((2, 5))
    for epoch in range(300):
        shuffled.set_epoch(epoch)
        for place, batch in enumerate(shuffled):
            pairs = named([batch])
            counts[0, place] += (0, 1) in pairs
            counts[1, place] += (1, 4) in pairs
    assert np.all(((counts - 60) ** 2 / 60).sum(axis=1) < 18.47)


def test_indexing_with_a_batch_reads_the_frames_it_names(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for cached in (0, 6, 1000):
        frames = Frames(store, cached)
        batches = list(sampler(8))
        tensors = [frames[batch] for batch in batches]
        assert read(tensors) == named(batches)
        assert all(tensor.dtype == torch.uint8 and tensor.shape[1:] == (64, 64, 3) for tensor in tensors)


def test_the_cache_stays_within_its_size(tmp_path: Path) -> None:
    frames = Frames(make_store(tmp_path), cached=12)
    for batch in sampler(10_000):
        frames[batch]
        held = [len(rollout) for rollout in frames._rollouts.values()]
        assert len(held) == 1 or sum(held) <= 12


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.99])
@pytest.mark.parametrize("lengths", [[3, 2], LENGTHS])
def test_the_split_is_by_rollout_and_never_empty(tmp_path: Path, lengths: list[int], fraction: float) -> None:
    data = FrameDataModule(make_store(tmp_path, lengths), config(fraction=fraction), seed=0, budget=1.0)
    assert len(data.training) >= 1 and len(data.validation) >= 1
    assert sorted(data.training + data.validation) == list(range(len(lengths)))


def test_a_budget_cuts_training_and_leaves_validation_alone(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    whole = FrameDataModule(store, config(), seed=0, budget=1.0)
    for budget, size in ((0.5, 3), (0.01, 1)):
        part = FrameDataModule(store, config(), seed=0, budget=budget)
        assert part.validation == whole.validation
        assert len(part.training) == size and set(part.training) <= set(whole.training)


def test_the_split_follows_the_episodes_and_not_their_places(tmp_path: Path) -> None:
    data = FrameDataModule(make_store(tmp_path), config(), seed=0, budget=1.0)
    store = RolloutStore(tmp_path)
    held_out = {store.entries[i].seed for i in data.validation}
    write_index(tmp_path, store.entries[::-1])
    turned = RolloutStore(tmp_path)
    again = FrameDataModule(turned, config(), seed=5, budget=1.0)
    assert {turned.entries[i].seed for i in again.validation} == held_out


def test_loaders_deliver_training_and_validation_frames(tmp_path: Path) -> None:
    data = FrameDataModule(make_store(tmp_path), config(), seed=0, budget=1.0)
    training, validation = list(data.train_dataloader()), list(data.val_dataloader())
    assert Counter(read(training)) == Counter(all_frames(data.training))
    assert read(validation) == all_frames(data.validation)
    assert read(list(data.val_dataloader())) == read(validation)
    assert len(training) == len(data.train_dataloader()) and len(validation) == len(data.val_dataloader())
    assert data.count(data.validation) == len(read(validation))


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_examples_are_distinct_validation_frames(tmp_path: Path, count: int) -> None:
    data = FrameDataModule(make_store(tmp_path), config(), seed=0, budget=1.0)
    held_out = all_frames(data.validation)
    examples = read([data.examples(count)])
    assert len(examples) == len(set(examples)) == min(count, len(held_out))
    assert set(examples) <= set(held_out)


def test_training_rollouts_are_whole_and_leave_out_validation(tmp_path: Path) -> None:
    data = FrameDataModule(make_store(tmp_path), config(), seed=0, budget=1.0)
    rollouts = data.training_rollouts()
    for _ in range(2):  # as often as one likes
        assert read(list(rollouts)) == all_frames(data.training)


@pytest.mark.parametrize("group_frames", [1, 8, 10_000])
def test_an_epoch_has_half_of_all_transitions_and_every_one_in_its_turn(group_frames: int) -> None:
    counts: Counter[tuple[int, int]] = Counter()
    for epoch in range(200):
        shuffled = sampler(group_frames, epoch=epoch, kind=ShuffledTransitions)
        batches = list(shuffled)
        drawn = named(batches)
        assert len(batches) == len(shuffled) and len(set(drawn)) == len(drawn)
        of_rollout = Counter(rollout for rollout, _ in drawn)
        assert of_rollout == {rollout: LENGTHS[rollout] // 2 for rollout in (0, 2, 4, 5, 6, 7)}
        counts.update(drawn)
    assert counts.keys() == {(r, t) for r in (0, 1, 2, 4, 5, 6, 7) for t in range(LENGTHS[r] - 1)}
    for (rollout, _), count in counts.items():
        length = LENGTHS[rollout]
        share = length // 2 / (length - 1)
        assert abs(count - 200 * share) <= 4 * (200 * share * (1 - share)) ** 0.5
    again = sampler(group_frames, epoch=7, kind=ShuffledTransitions)
    assert named(list(again)) == named(list(sampler(group_frames, epoch=7, kind=ShuffledTransitions)))


@pytest.mark.parametrize("cached", [0, 6, 1000])
def test_a_transition_is_two_frames_and_the_action_between_them(tmp_path: Path, cached: int) -> None:
    transitions = Transitions(make_store(tmp_path), cached)
    for batch in sampler(8, kind=ShuffledTransitions):
        frames, actions = transitions[batch]
        before, after = (read([part]) for part in frames.chunk(2))
        assert before == named([batch]) == [(int(r), int(t)) for r, t in actions]
        assert after == [(rollout, frame + 1) for rollout, frame in before]
        assert frames.dtype == torch.uint8 and actions.dtype == torch.float32


def test_validation_of_transitions_has_every_frame_once_but_the_last_of_an_odd_number(tmp_path: Path) -> None:
    data = FrameDataModule(make_store(tmp_path), config(inverse=1.0), seed=0, budget=1.0)
    batches = list(data.val_dataloader())
    expected = {(r, t) for r in data.validation for t in range(LENGTHS[r] // 2 * 2)}
    seen = read([frames for frames, _ in batches])
    assert set(seen) == expected and len(seen) == len(expected)
    assert all(len(frames) == 2 * len(actions) <= 4 for frames, actions in batches)
    assert data.action_size == 2


def test_rollouts_of_one_frame_have_no_transitions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^vae.inverse=2 reads actions between two frames, and the training"):
        FrameDataModule(make_store(tmp_path, [1, 1, 1, 1]), config(inverse=2.0), seed=0, budget=1.0)
