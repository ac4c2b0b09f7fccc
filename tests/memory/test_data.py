"""Sequences for M: windows that stay inside rollouts, noise that seed and batch determine, a split by rollout."""

from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodels.memory.config import MemoryConfig
from worldmodels.memory.data import EncodedSequences, RandomWindows, SequenceDataModule, Window, Windows
from worldmodels.rollouts.storage import RolloutStore, write_index, write_rollout
from worldmodels.utils.errors import ConfigError

LENGTHS = [12, 2, 5, 30, 8, 3]


def make_store(folder: Path, lengths: list[int] = LENGTHS, log_var: float = -20.0) -> RolloutStore:
    """Encoded rollouts whose μ is (rollout, frame) and whose action is (frame,)."""
    entries = []
    for rollout, length in enumerate(lengths):
        steps = np.arange(length, dtype=np.float32)
        arrays = {
            "mu": np.stack([np.full(length, rollout, np.float32), steps], axis=1),
            "log_var": np.full((length, 2), log_var, np.float32),
            "actions": steps[:, None],
            "rewards": 10 * rollout + steps,
            "terminated": np.arange(length) == length - 1,
        }
        path = folder / f"{rollout:06d}.h5"
        entries.append(write_rollout(path, arrays, seed=100 + rollout, total_reward=0.0))
    write_index(folder, entries)
    return RolloutStore(folder)


def config(sequence_length: int = 6, validate_every: int = 5, fraction: float = 0.3) -> MemoryConfig:
    return MemoryConfig(
        steps=validate_every,
        batch_size=4,
        sequence_length=sequence_length,
        validate_every=validate_every,
        validation_fraction=fraction,
    )


def windows_of(sampler: RandomWindows, epoch: int = 0) -> list[Windows]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_a_batch_holds_its_windows_padded_and_masked(tmp_path: Path) -> None:
    data = EncodedSequences(make_store(tmp_path), seed=0, sequence_length=6, cached_rollouts=2)
    batch = data[Windows([Window(3, 7, 6), Window(1, 0, 2), Window(2, 1, 4)], (0,))]
    assert batch.z.shape == (3, 6, 2) and batch.actions.shape == (3, 6, 1) and batch.mask.shape == (3, 5)
    assert batch.mask.tolist() == [[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]]
    for row, (rollout, start, length) in enumerate([(3, 7, 6), (1, 0, 2), (2, 1, 4)]):
        steps = torch.arange(start, start + length).float()
        torch.testing.assert_close(batch.z[row, :length, 0].round(), torch.full((length,), float(rollout)))
        torch.testing.assert_close(batch.z[row, :length, 1], steps, rtol=0, atol=1e-3)
        torch.testing.assert_close(batch.actions[row, :length, 0], steps)


@pytest.mark.parametrize("length", [2, 6])
def test_a_batch_of_one_sequence_of_one_transition(tmp_path: Path, length: int) -> None:
    data = EncodedSequences(make_store(tmp_path), seed=0, sequence_length=length, cached_rollouts=1)
    batch = data[Windows([Window(1, 0, 2)], (0,))]
    assert batch.z.shape == (1, length, 2) and batch.mask.shape == (1, length - 1) and batch.mask.sum() == 1


def test_z_is_drawn_anew_for_every_batch_and_repeats_with_its_key(tmp_path: Path) -> None:
    data = EncodedSequences(make_store(tmp_path, log_var=0.0), seed=0, sequence_length=6, cached_rollouts=9)
    members = [Window(3, 0, 6)]
    first = data[Windows(members, (0, 1))].z
    assert torch.equal(data[Windows(members, (0, 1))].z, first)
    assert not torch.isclose(data[Windows(members, (0, 2))].z, first).any()
    other = EncodedSequences(data.store, seed=1, sequence_length=6, cached_rollouts=9)
    assert not torch.isclose(other[Windows(members, (0, 1))].z, first).any()


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_m_is_given_the_mean_in_a_share_of_the_sequences_it_trains_on(tmp_path: Path, share: float, count: int) -> None:
    store = make_store(tmp_path, log_var=0.0)
    members = [Window(rollout, 0, 2) for rollout in (0, 1, 2, 3)]
    data, study = (EncodedSequences(store, 0, 2, 9, mean_inputs=given) for given in (share, 0.0))
    batch, plain = (each[Windows(members, (0,), drawn=True)] for each in (data, study))
    mean = torch.tensor([[[rollout, t] for t in (0.0, 1.0)] for rollout in range(4)])
    assert torch.equal(batch.inputs[:count], mean[:count])
    assert torch.equal(batch.inputs[count:], plain.z[count:])
    assert torch.equal(batch.z, plain.z) and torch.equal(plain.inputs, plain.z)
    validation = data[Windows(members, (0,))]
    assert torch.equal(validation.inputs, validation.z), "there the loss is comparable between all shares"


def test_z_has_the_mean_and_variance_of_its_latent(tmp_path: Path) -> None:
    log_var = float(np.log(0.25))
    data = EncodedSequences(make_store(tmp_path, log_var=log_var), seed=0, sequence_length=20, cached_rollouts=9)
    members = [Window(3, 5, 20)] * 200
    noise = data[Windows(members, (0,))].z - torch.stack([torch.full((20,), 3.0), torch.arange(5.0, 25.0)], dim=1)
    assert abs(noise.mean().item()) < 5 * 0.5 / noise.numel() ** 0.5
    assert noise.var().item() == pytest.approx(0.25, rel=5 * (2 / noise.numel()) ** 0.5)
    across = torch.corrcoef(torch.stack([noise[:100].flatten(), noise[100:].flatten()]))[0, 1]
    assert abs(across) < 5 / (noise.numel() / 2) ** 0.5, "copies of a window must not share their noise"


def test_random_windows_stay_inside_their_rollouts() -> None:
    lengths = np.array(LENGTHS)
    sampler = RandomWindows(lengths, [0, 1, 3, 5], config(), seed=0)
    batches = [batch for epoch in range(40) for batch in windows_of(sampler, epoch)]
    assert len(windows_of(sampler)) == len(sampler) == 5
    assert {len(batch.members) for batch in batches} == {4}
    members = [window for batch in batches for window in batch.members]
    assert {window.rollout for window in members} == {0, 1, 3, 5}
    for rollout, start, length in members:
        assert length == min(6, lengths[rollout])
        assert 0 <= start <= lengths[rollout] - length
    starts = {window.start for window in members if window.rollout == 3}
    assert {min(starts), max(starts)} == {0, 24}, "the first and the last possible window must come"


def test_random_windows_choose_rollouts_by_their_transitions() -> None:
    sampler = RandomWindows(np.array(LENGTHS), [0, 1, 3, 5], config(validate_every=500), seed=0)
    chosen = [window.rollout for batch in sampler for window in batch.members]
    for rollout in (0, 1, 3, 5):
        share = (LENGTHS[rollout] - 1) / (11 + 1 + 29 + 2)
        expected, deviation = 2000 * share, (2000 * share * (1 - share)) ** 0.5
        assert abs(chosen.count(rollout) - expected) < 5 * deviation


def test_random_windows_follow_from_seed_and_epoch() -> None:
    lengths = np.array(LENGTHS)
    sampler = RandomWindows(lengths, range(6), config(), seed=0)
    first = windows_of(sampler, 0)
    second = windows_of(sampler, 1)
    assert first != second
    assert windows_of(sampler, 0) == first, "going back to an epoch, as a resume does, must repeat it"
    assert windows_of(RandomWindows(lengths, range(6), config(), seed=0), 1) == second
    assert windows_of(RandomWindows(lengths, range(6), config(), seed=1), 0) != first


def test_no_two_batches_share_their_noise(tmp_path: Path) -> None:
    data = SequenceDataModule(make_store(tmp_path), config(), seed=0)
    keys = [batch.noise_key for epoch in range(3) for batch in windows_of(data.sampler, epoch)]
    keys += [batch.noise_key for batch in data.validation_batches]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.99])
@pytest.mark.parametrize("lengths", [[2, 2], LENGTHS])
def test_the_split_is_by_rollout_and_never_empty(tmp_path: Path, lengths: list[int], fraction: float) -> None:
    data = SequenceDataModule(make_store(tmp_path, lengths), config(fraction=fraction), seed=0)
    assert len(data.training) >= 1 and len(data.validation) >= 1
    assert sorted(data.training + data.validation) == list(range(len(lengths)))
    drawn = {window.rollout for batch in windows_of(data.sampler) for window in batch.members}
    validated = {window.rollout for batch in data.validation_batches for window in batch.members}
    assert drawn <= set(data.training) and validated == set(data.validation)


def test_validation_windows_tile_the_held_out_rollouts(tmp_path: Path) -> None:
    data = SequenceDataModule(make_store(tmp_path), config(fraction=0.5), seed=0)
    windows = [window for batch in data.validation_batches for window in batch.members]
    frames = [(rollout, start + i) for rollout, start, length in windows for i in range(length)]
    assert len(set(frames)) == len(frames)
    assert all(length >= 2 and start + length <= LENGTHS[rollout] for rollout, start, length in windows)
    for rollout in data.validation:
        assert sum(r == rollout for r, _ in frames) >= LENGTHS[rollout] - 1  # one frame left over is no transition


def test_validation_is_the_same_in_every_epoch_and_for_every_length_of_training(tmp_path: Path) -> None:
    store = make_store(tmp_path, log_var=0.0)
    data = SequenceDataModule(store, config(), seed=0)
    first = list(data.val_dataloader())
    windows_of(data.sampler, 3)
    longer = SequenceDataModule(store, config(validate_every=50), seed=0)
    for other in (data, longer):
        for a, b in zip(first, other.val_dataloader(), strict=True):
            assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_long_held_out_rollout_is_thinned_evenly(tmp_path: Path) -> None:
    data = SequenceDataModule(make_store(tmp_path, [2000, 2000]), config(sequence_length=4), seed=0)
    starts = [window.start for batch in data.validation_batches for window in batch.members]
    assert len(starts) == len(set(starts)) == 200
    assert starts[0] == 0 and starts[-1] == 1996
    assert max(np.diff(starts)) - min(np.diff(starts)) <= 4


def test_rollouts_without_a_transition_are_left_out(tmp_path: Path) -> None:
    data = SequenceDataModule(make_store(tmp_path, [1, 4, 1, 5, 6]), config(), seed=0)
    assert sorted(data.training + data.validation) == [1, 3, 4]


def test_too_few_rollouts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got 1"):
        SequenceDataModule(make_store(tmp_path, [1, 4]), config(), seed=0)


def test_training_loader_delivers_what_the_sampler_draws(tmp_path: Path) -> None:
    data = SequenceDataModule(make_store(tmp_path), config(sequence_length=1000), seed=0)
    assert data.length == 30, "no padding beyond the longest rollout"
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 5
    for batch, windows in zip(batches, data.sampler, strict=True):
        assert torch.equal(batch.z, data.data[windows].z)
        assert batch.mask.sum(1).tolist() == [window.length - 1 for window in windows.members]
