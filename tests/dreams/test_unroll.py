"""The dream against a rollout by hand."""

import pytest
import torch
from torch import Tensor

from worldmodels.dreams.unroll import dream_under, drift
from worldmodels.memory.network import MDNLSTM


def make_memory() -> MDNLSTM:
    torch.manual_seed(0)
    network = MDNLSTM(latent_size=3, action_size=2, hidden_size=8, mixtures=4, skip_gain=True).eval()
    assert network.skip_gain is not None
    with torch.no_grad():
        network.skip_gain.gain.fill_(0.05)
    return network


def reality(batch: int, length: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(batch, length, 3, generator=rng), torch.rand(batch, length, 2, generator=rng)


def dream(z: Tensor, actions: Tensor, context: int, temperature: float = 1.0, seed: int = 0) -> Tensor:
    return dream_under(make_memory(), z, actions, context, temperature, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("batch", "length", "context"), [(1, 1, 1), (1, 9, 1), (2, 9, 4), (2, 9, 9)])
def test_reality_comes_first_and_the_dream_has_its_length(batch: int, length: int, context: int) -> None:
    z, actions = reality(batch, length)
    dreamt = dream(z, actions, context)
    assert dreamt.shape == z.shape
    assert torch.equal(dreamt[:, :context], z[:, :context])
    assert not torch.isclose(dreamt[:, context:], z[:, context:]).any()


@pytest.mark.parametrize("context", [1, 3])
def test_cold_dream_is_the_likeliest_path(context: int) -> None:
    """At τ → 0: each next z is the mean of the likeliest component, given all before it from the first frame on."""
    network = make_memory()
    z, actions = reality(1, 8)
    path = z[:, :context]
    for t in range(context, 8):
        hidden, _ = network.unroll(path, actions[:, :t])
        parts = network.mixture(hidden[:, -1], path[:, -1])
        following = torch.take_along_dim(parts.mu, parts.log_pi.argmax(-1, keepdim=True), -1).squeeze(-1)
        path = torch.cat([path, following[:, None]], dim=1)
    torch.testing.assert_close(dream(z, actions, context, temperature=1e-10), path, rtol=0, atol=1e-3)


def test_a_dream_knows_nothing_of_reality_after_its_context() -> None:
    z, actions = reality(2, 9)
    first = dream(z, actions, 4)
    z[:, 4:] = 100.0
    assert torch.equal(dream(z, actions, 4), first)
    z[:, 3] += 1.0
    assert not torch.isclose(dream(z, actions, 4)[:, 4:], first[:, 4:]).any()


@pytest.mark.parametrize("changed", [2, 5, 7])
def test_an_action_acts_from_the_next_frame_on(changed: int) -> None:
    z, actions = reality(1, 9)
    first = dream(z, actions, 4, temperature=0.1)
    actions[:, changed] += 1.0
    second = dream(z, actions, 4, temperature=0.1)
    assert torch.equal(second[:, : changed + 1], first[:, : changed + 1])
    following = max(changed + 1, 4)
    assert not torch.isclose(second[:, following], first[:, following]).all()


def test_a_dream_follows_from_its_generator() -> None:
    z, actions = reality(2, 9)
    before = torch.get_rng_state()
    first = dream(z, actions, 4, seed=1)
    assert torch.equal(dream(z, actions, 4, seed=1), first)
    assert not torch.isclose(dream(z, actions, 4, seed=2)[:, 4:], first[:, 4:]).any()
    assert not first.requires_grad
    assert torch.equal(torch.get_rng_state(), before)  # nor does making the network count: its seed is set first


def test_drift_is_the_error_of_dreams_from_many_starts() -> None:
    """Cold, so that it can be done by hand, a dream at a time."""
    network, (z, actions) = make_memory(), reality(1, 20)
    found = drift(network, z[0], actions[0], 4, 1e-10, [1, 7, 30], torch.Generator(), stride=5)
    assert found[2] is None
    for k, figures in ((1, found[0]), (7, found[1])):
        dreams, held = [], []
        for start in (0, 5):  # a dream from 10 on would need frame 20, the 21st
            window = slice(start, start + 11)
            dreamt = dream(z[:, window], actions[:, window], 4, 1e-10)
            dreams.append((dreamt[0, 3 + k] - z[0, start + 3 + k]).square())
            held.append((z[0, start + 3] - z[0, start + 3 + k]).square())
        expected = [float(torch.stack(errors).mean().sqrt()) for errors in (dreams, held)]
        assert figures == pytest.approx(expected, rel=1e-4)
    assert drift(network, z[0, :4], actions[0, :4], 4, 1.0, [1], torch.Generator()) == [None]
