"""M against `torch.nn.LSTM` and the published parameter counts."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from worldmodels.memory.network import LSTM, MDNLSTM, State, adapter

BATCHES_AND_LENGTHS = [(1, 1), (1, 6), (3, 1), (3, 6)]


def make_memory(latent: int = 4, actions: int = 2, hidden: int = 8, mixtures: int = 3) -> MDNLSTM:
    torch.manual_seed(0)
    return MDNLSTM(latent, actions, hidden, mixtures)


def random_inputs(batch: int, length: int, latent: int = 4, actions: int = 2) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(batch, length, latent, generator=rng), torch.rand(batch, length, actions, generator=rng)


def random_state(batch: int, hidden: int = 8) -> State:
    rng = torch.Generator().manual_seed(2)
    return State(torch.randn(batch, hidden, generator=rng), torch.randn(batch, hidden, generator=rng))


def reference_lstm(ours: LSTM) -> nn.LSTM:
    """PyTorch's layer with our weights, its second bias zero."""
    theirs = nn.LSTM(ours.weight_input.shape[1], ours.hidden_size, batch_first=True)
    state = {
        "weight_ih_l0": ours.weight_input,
        "weight_hh_l0": ours.weight_hidden,
        "bias_ih_l0": ours.bias,
        "bias_hh_l0": torch.zeros_like(ours.bias),
    }
    theirs.load_state_dict({name: value.detach().clone() for name, value in state.items()})
    return theirs


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_parameter_counts_are_the_published_ones_and_all_train() -> None:
    network = MDNLSTM(latent_size=32, action_size=3, hidden_size=256, mixtures=5)
    assert (parameters(network.lstm), parameters(network.mdn)) == (299_008, 123_360)
    assert parameters(network) == 422_368
    assert all(p.requires_grad for p in network.parameters())


def test_the_redundant_bias_is_no_weight() -> None:
    assert set(make_memory().state_dict()) == {
        *(f"lstm.{name}" for name in ("weight_input", "weight_hidden", "bias")),
        *(f"mdn.{name}" for name in ("weight", "bias")),
    }


@pytest.mark.parametrize(("batch", "length"), BATCHES_AND_LENGTHS)
def test_lstm_is_that_of_torch_in_values_and_gradients(batch: int, length: int) -> None:
    torch.manual_seed(0)
    ours = LSTM(6, 8)
    theirs = reference_lstm(ours)
    x, state = torch.randn(batch, length, 6), random_state(batch)
    outputs, last = ours(x, state)
    expected, (h, c) = theirs(x, (state.h[None], state.c[None]))
    assert outputs.shape == (batch, length, 8) and last.h.shape == last.c.shape == (batch, 8)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(last.h, h[0])
    torch.testing.assert_close(last.c, c[0])
    (outputs.square().sum() + last.c.sum()).backward()
    (expected.square().sum() + c.sum()).backward()
    torch.testing.assert_close(ours.weight_input.grad, theirs.weight_ih_l0.grad)
    torch.testing.assert_close(ours.weight_hidden.grad, theirs.weight_hh_l0.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias_ih_l0.grad)


def test_initial_weights_are_those_of_torch_in_range() -> None:
    torch.manual_seed(0)
    for weight in LSTM(35, 256).parameters():
        assert weight.abs().max() <= 1 / 16
        assert weight.std().item() == pytest.approx(1 / 16 / 3**0.5, rel=0.1)


@pytest.mark.parametrize(("batch", "length"), BATCHES_AND_LENGTHS)
@pytest.mark.parametrize("fresh", [True, False])
def test_unroll_is_repeated_step(batch: int, length: int, fresh: bool) -> None:
    network = make_memory()
    z, actions = random_inputs(batch, length)
    state = network.initial_state(batch) if fresh else random_state(batch)
    outputs, last = network.unroll(z, actions, None if fresh else state)
    assert outputs.shape == (batch, length, 8)
    for t in range(length):
        state = network.step(z[:, t], actions[:, t], state)
        torch.testing.assert_close(outputs[:, t], state.h)
    torch.testing.assert_close(last.h, state.h)
    torch.testing.assert_close(last.c, state.c)


def test_unroll_can_be_cut_anywhere() -> None:
    network = make_memory()
    z, actions = random_inputs(2, 6)
    whole, last = network.unroll(z, actions)
    for cut in range(1, 6):
        first, state = network.unroll(z[:, :cut], actions[:, :cut])
        second, end = network.unroll(z[:, cut:], actions[:, cut:], state)
        torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
        torch.testing.assert_close(end.c, last.c)


def test_nothing_flows_from_the_future_or_between_sequences() -> None:
    network = make_memory()
    z, actions = random_inputs(2, 6)
    before, _ = network.unroll(z, actions)
    z[0, 3:] += 1
    after, _ = network.unroll(z, actions)
    torch.testing.assert_close(after[0, :3], before[0, :3])
    torch.testing.assert_close(after[1], before[1])
    assert not torch.allclose(after[0, 3], before[0, 3])


def test_before_the_first_step_the_state_is_zero() -> None:
    state = make_memory().initial_state(3)
    assert state.h.shape == state.c.shape == (3, 8)
    assert state.h.count_nonzero() == state.c.count_nonzero() == 0


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3, 1), (3, 6)])
def test_the_head_is_one_dense_layer_read_as_weights_means_and_deviations(shape: tuple[int, ...]) -> None:
    network = make_memory(latent=4, mixtures=3)
    h = torch.randn(*shape, 8, generator=torch.Generator().manual_seed(1))
    got = network.mixture(h, torch.randn(*shape, 4))
    outputs = nn.functional.linear(h, network.mdn.weight, network.mdn.bias)
    for latent, component in itertools.product(range(4), range(3)):
        column = 3 * latent + component
        torch.testing.assert_close(got.mu[..., latent, component], outputs[..., 12 + column])
        torch.testing.assert_close(got.log_sigma[..., latent, component], outputs[..., 24 + column])
    assert got.log_pi.shape == (*shape, 4, 3)
    logits = outputs[..., :12].unflatten(-1, (4, 3))
    torch.testing.assert_close(got.log_pi.exp(), logits.softmax(-1))


@pytest.mark.parametrize("shape", [(), (1,), (3, 6)])
def test_with_gain_the_means_lean_on_z(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = MDNLSTM(4, 2, 8, 3, skip_gain=True)
    assert network.skip_gain is not None
    rng = torch.Generator().manual_seed(1)
    h, z = torch.randn(*shape, 8, generator=rng), torch.randn(*shape, 4, generator=rng)
    torch.testing.assert_close(network.mixture(h, z).mu, network.mixture(h, 0 * z).mu)
    with torch.no_grad():
        network.skip_gain.gain.copy_(torch.tensor([0.0, 0.05, 0.1, 0.2]))
    moved = network.mixture(h, z)
    for latent, gain in enumerate([0.0, 0.5, 1.0, 2.0]):
        there = network.mixture(h, 0 * z).mu[..., latent, :] + gain * z[..., latent, None]
        torch.testing.assert_close(moved.mu[..., latent, :], there)
    torch.testing.assert_close(moved.log_pi, network.mixture(h, 0 * z).log_pi)


def test_skip_gain_leaves_everything_else_as_it_starts() -> None:
    networks = []
    for skip_gain in (False, True):
        torch.manual_seed(0)
        networks.append(MDNLSTM(4, 2, 8, 3, "gaussian", True, skip_gain))
    without, with_gain = (network.state_dict() for network in networks)
    assert set(with_gain) - set(without) == {"skip_gain.gain"}
    assert all(torch.equal(value, with_gain[name]) for name, value in without.items())


def test_behind_a_fresh_adapter_z_goes_on_as_it_is() -> None:
    torch.manual_seed(0)
    network = MDNLSTM(latent_size=4, action_size=2, hidden_size=8, mixtures=3, adapter_width=7)
    z, actions = random_inputs(2, 5)
    assert network.adapter is not None
    assert torch.equal(network.adapter(torch.cat([z, actions], -1))[..., :4], z)
    assert (network.adapter.weight[4:, :4] == 0).all() and (network.adapter.weight[4:, 4:] != 0).all()
    hidden, last = network.unroll(z, actions)
    state = network.initial_state(2)
    for t in range(5):
        state = network.step(z[:, t], actions[:, t], state)
        torch.testing.assert_close(state.h, hidden[:, t])
    torch.testing.assert_close(state.c, last.c)
    assert {name for name in network.state_dict() if name.startswith("adapter")} == {"adapter.weight", "adapter.bias"}


def test_an_adapter_to_fewer_inputs_keeps_the_first() -> None:
    layer = adapter(4, 2, 3)
    assert torch.equal(layer.weight, torch.eye(3, 6))


def test_the_mixture_is_float32_under_low_precision() -> None:
    network = make_memory()
    z, actions = random_inputs(2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        low = network.mixture(network.unroll(z, actions)[0], z)
    high = network.mixture(network.unroll(z, actions)[0], z)
    for a, b in zip(low, high, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)
    torch.testing.assert_close(low.log_pi.exp().sum(-1), torch.ones(2, 3, 4))
