"""M's loss, its learning rate and the baseline, against NumPy and plain formulas."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from worldmodels.memory.config import MemoryConfig
from worldmodels.memory.data import SequenceDataModule, Sequences
from worldmodels.memory.module import MemoryModule, masked_mean, persistence_nll
from worldmodels.memory.network import MDNLSTM
from worldmodels.rollouts.storage import RolloutStore, write_index, write_rollout

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to .self.log")


def config(validate_every: int = 5, **changes: float) -> MemoryConfig:
    return MemoryConfig(
        steps=validate_every,
        batch_size=4,
        sequence_length=6,
        validate_every=validate_every,
        validation_fraction=0.4,
        **changes,  # type: ignore[arg-type]
    )


def make_module(**changes: float) -> MemoryModule:
    torch.manual_seed(0)
    return MemoryModule(MDNLSTM(latent_size=3, action_size=2, hidden_size=8, mixtures=4), config(**changes), 0.0)


def random_batch(batch: int, length: int, real: list[int]) -> Sequences:
    """``real`` frames of each sequence are real, the others padding."""
    rng = torch.Generator().manual_seed(3)
    mask = torch.stack([(torch.arange(length - 1) < count - 1).float() for count in real])
    z, actions = torch.randn(batch, length, 3, generator=rng), torch.rand(batch, length, 2, generator=rng)
    rows = torch.stack([(torch.arange(length) < count).float() for count in real])
    rewards, terminated = torch.randn(batch, length, generator=rng), torch.rand(batch, length, generator=rng).round()
    inputs = z + torch.randn(z.shape, generator=rng)
    return Sequences(z, actions, mask, rewards, terminated, rows, inputs)


def random_store(folder: Path, lengths: list[int]) -> RolloutStore:
    """Encoded rollouts: μ a random walk with steps of another size in each dimension."""
    rng = np.random.default_rng(0)
    entries = []
    for rollout, length in enumerate(lengths):
        walk = np.cumsum(rng.normal(size=(length, 3)) * [0.1, 1.0, 3.0], axis=0)
        arrays = {
            "mu": walk.astype(np.float32),
            "log_var": rng.normal(-2, 0.5, (length, 3)).astype(np.float32),
            "actions": rng.uniform(size=(length, 2)).astype(np.float32),
            "rewards": np.arange(length, dtype=np.float32),
            "terminated": np.arange(length) == length - 1,
        }
        path = folder / f"{rollout:06d}.h5"
        entries.append(write_rollout(path, arrays, seed=rollout, total_reward=0.0))
    write_index(folder, entries)
    return RolloutStore(folder)


def test_masked_mean_against_numpy() -> None:
    values, mask = torch.randn(3, 4, 2), torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]).float()
    expected = values.numpy()[mask.numpy().astype(bool)].mean()
    assert masked_mean(values, mask).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("length", "real"), [(2, [2]), (7, [7]), (2, [2, 2, 2]), (7, [7, 2, 4])])
def test_loss_is_the_mean_nll_of_the_next_z(length: int, real: list[int]) -> None:
    """From what M is given, step by step, transition by transition, with torch's mixture."""
    module, batch = make_module(), random_batch(len(real), length, real)
    terms = []
    for row, count in enumerate(real):
        state = module.network.initial_state(1)
        for t in range(count - 1):
            state = module.network.step(batch.inputs[row, t][None], batch.actions[row, t][None], state)
            parts = module.network.mixture(state.h, batch.inputs[row, t][None])
            density = MixtureSameFamily(Categorical(logits=parts.log_pi), Normal(parts.mu, parts.log_sigma.exp()))
            terms.append(-density.log_prob(batch.z[row, t + 1]))
    torch.testing.assert_close(module.training_step(batch, 0), torch.cat(terms).mean())


def test_padding_has_no_influence_on_loss_or_gradient() -> None:
    module, batch = make_module(), random_batch(3, 7, [7, 2, 4])
    other = batch._replace(z=batch.z.clone(), inputs=batch.inputs.clone(), actions=batch.actions.clone())
    for row, count in enumerate([7, 2, 4]):
        other.z[row, count:] = other.inputs[row, count:] = 50.0
        other.actions[row, count:] = -7.0
    other.actions[:, -1] = 9.0  # the last action leads to no frame of the window
    losses = [module.training_step(each, 0) for each in (batch, other)]
    assert losses[0].item() == losses[1].item()
    first, second = (torch.autograd.grad(loss, list(module.parameters())) for loss in losses)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    padded = random_batch(3, 7, [7, 7, 7])
    assert module.training_step(padded, 0).item() != losses[0].item(), "without the mask the values do count"


def test_learning_rate_decays_from_rate_to_minimum() -> None:
    module = make_module(learning_rate=1e-3, min_learning_rate=1e-5, decay=0.9)
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]  # type: ignore[call-overload,index]
    assert schedule["interval"] == "step"
    for step in range(60):
        expected = (1e-3 - 1e-5) * 0.9**step + 1e-5  # Ha & Schmidhuber's code
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        schedule["scheduler"].step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5, rel=0.2)


def test_a_minimum_equal_to_the_rate_is_a_constant_rate() -> None:
    module = make_module(learning_rate=1e-3, min_learning_rate=1e-3)
    configured = module.configure_optimizers()
    scheduler = configured["lr_scheduler"]["scheduler"]  # type: ignore[call-overload,index]
    assert {scheduler.lr_lambdas[0](step) for step in (0, 10, 10_000)} == {1.0}


@pytest.mark.parametrize("lengths", [[9, 14, 6, 11, 3, 8], [6, 2]])
def test_persistence_nll_against_numpy(tmp_path: Path, lengths: list[int]) -> None:
    data = SequenceDataModule(random_store(tmp_path, lengths), config(), seed=0)
    training = [data.data[windows] for windows, _ in zip(data.sampler, range(4), strict=False)]
    changes = np.concatenate([_changes(batch) for batch in training])
    deviation = np.sqrt((changes**2).mean(axis=0))
    held_out = np.concatenate([_changes(data.data[windows]) for windows in data.validation_batches])
    density = np.exp(-0.5 * (held_out / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
    assert persistence_nll(data, batches=4) == pytest.approx(-np.log(density).mean(), rel=1e-4)


def _changes(batch: Sequences) -> np.ndarray:
    """z_{t+1} - z_t of every real transition: (N, Z)."""
    rows = [np.diff(z.numpy().astype(np.float64), axis=0)[m.numpy() > 0] for z, _, m, *_ in zip(*batch, strict=True)]
    return np.concatenate(rows)


def test_persistence_nll_leaves_the_data_as_they_are(tmp_path: Path) -> None:
    data = SequenceDataModule(random_store(tmp_path, [9, 14, 6, 11]), config(), seed=0)
    before = list(data.train_dataloader())
    first = persistence_nll(data)
    assert persistence_nll(data) == first
    for a, b in zip(before, data.train_dataloader(), strict=True):
        assert torch.equal(a.z, b.z)
