"""Reward and end heads against `torch.distributions`, plain formulas, and what they must leave alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from worldmodels.memory.data import RandomWindows, Window, row_weights
from worldmodels.memory.heads import BINS, CategoricalReward, End, GaussianReward
from worldmodels.memory.module import MemoryModule
from worldmodels.memory.network import MDNLSTM
from worldmodels.transfer.weights import copy_weights, load_weights, save_weights

from .test_data import config as data_config
from .test_module import config, random_batch

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to .self.log")
SHAPES = [(1, 1), (1, 6), (3, 1), (3, 6)]


def hidden(*shape: int) -> Tensor:
    return torch.randn(*shape, 8, generator=torch.Generator().manual_seed(1))


def gaussian() -> GaussianReward:
    torch.manual_seed(0)
    head = GaussianReward(8)
    head.standardise(5.0, 20.0)
    return head


def categorical() -> CategoricalReward:
    torch.manual_seed(0)
    head = CategoricalReward(8)
    torch.nn.init.normal_(head.dense.weight, std=1.0)
    return head


def network(reward: str = "none", end: bool = False) -> MDNLSTM:
    torch.manual_seed(0)
    return MDNLSTM(3, 2, 8, 4, reward, end)


@pytest.mark.parametrize("shape", SHAPES)
def test_gaussian_nll_is_that_of_torch_in_the_rewards_units(shape: tuple[int, ...]) -> None:
    head, h = gaussian(), hidden(*shape)
    reward = 30 * torch.randn(shape, generator=torch.Generator().manual_seed(2))
    mean, raw = head.dense(h).unbind(-1)
    std = 20 * torch.exp(-3 + torch.log1p(torch.exp(raw + 3)))
    torch.testing.assert_close(head.mean(h), 5 + 20 * mean)
    torch.testing.assert_close(head.nll(h, reward), -Normal(5 + 20 * mean, std).log_prob(reward))


@pytest.mark.parametrize("head", [gaussian(), categorical()])
def test_the_mean_is_that_of_samples(head: GaussianReward | CategoricalReward) -> None:
    h = hidden(1, 2)
    head.double()
    if isinstance(head, CategoricalReward):  # bins of thousands make no mean that samples could find
        with torch.no_grad():
            head.dense.bias += -0.5 * (head.bins / 5).square()
    drawn = head.sample(h.double().expand(40_000, 2, 8), 1.0, torch.Generator().manual_seed(3))
    assert drawn.shape == (40_000, 2)
    error = drawn.std(0) / 200
    assert (drawn.mean(0) - head.mean(h.double())[0]).abs().lt(5 * error).all()
    cold = head.sample(h.double().expand(100, 2, 8), 1e-6, torch.Generator().manual_seed(3))
    assert cold.std(0).lt(0.1).all(), "without temperature there is one outcome"


@pytest.mark.parametrize("shape", SHAPES)
def test_categorical_nll_is_the_two_hot_cross_entropy_up_to_the_bins_widths(shape: tuple[int, ...]) -> None:
    head, h = categorical(), hidden(*shape)
    rewards = torch.tensor([0.0, -0.1, 3.3, -100.0, 1e6, -1e6, 0.02, 17.0]).repeat(3)[: int(np.prod(shape))]
    log_p = head.dense(h).log_softmax(-1).reshape(-1, BINS)
    got = head.nll(h, rewards.reshape(shape)).flatten()
    bins = head.bins.double().numpy()
    areas = np.array([np.trapezoid(np.eye(BINS)[i], bins) for i in range(BINS)])
    for row, reward in enumerate(np.clip(rewards.numpy(), bins[0], bins[-1])):
        hot = np.array([np.interp(reward, bins, np.eye(BINS)[i]) for i in range(BINS)])
        assert hot @ bins == pytest.approx(reward, rel=1e-5, abs=1e-5), "two-hot keeps the reward"
        expected = -(hot * (log_p[row].detach().numpy() - np.log(areas))).sum()
        assert got[row].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_fresh_categorical_head_expects_nothing() -> None:
    assert CategoricalReward(8).mean(hidden(3, 6)).eq(0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_end_is_that_of_torch(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    head, h = End(8), hidden(*shape)
    ends = torch.rand(shape, generator=torch.Generator().manual_seed(2)).round()
    reference = Bernoulli(logits=head.dense(h)[..., 0])
    torch.testing.assert_close(head.nll(h, ends.bool()), -reference.log_prob(ends))
    torch.testing.assert_close(head.probability(h), reference.probs)


def test_heads_leave_the_rest_of_the_network_as_it_is() -> None:
    plain, headed = network(), network("gaussian", True)
    assert plain.reward_head is None and plain.end_head is None
    assert all(torch.equal(headed.state_dict()[name], value) for name, value in plain.state_dict().items())
    batch, dim = random_batch(3, 7, [7, 2, 4]), 3
    without, weighted = (MemoryModule(each, config(head_weight=0.5), 0.0) for each in (plain, headed))
    h = headed.unroll(batch.inputs, batch.actions)[0]
    real = batch.rows > 0
    assert headed.reward_head is not None and headed.end_head is not None and batch.z.shape[-1] == dim
    extra = headed.reward_head.nll(h[real], batch.rewards[real]).mean()
    extra = extra + headed.end_head.nll(h[real], batch.terminated[real]).mean()
    torch.testing.assert_close(weighted.training_step(batch, 0), without.training_step(batch, 0) + 0.5 * extra)


def test_heads_learn_from_the_last_row_of_a_rollout() -> None:
    module = MemoryModule(network("categorical", True), config(), 0.0)
    batch = random_batch(1, 4, [4])
    other = batch._replace(terminated=batch.terminated.clone(), rewards=batch.rewards.clone())
    other.terminated[0, -1] = 1 - other.terminated[0, -1]
    assert module.training_step(other, 0).item() != module.training_step(batch, 0).item()
    other.rewards[0, -1] += 1
    padded = [each._replace(rows=torch.tensor([[1.0, 1, 1, 0]])) for each in (batch, other)]
    assert module.training_step(padded[0], 0).item() == module.training_step(padded[1], 0).item()


def test_weighted_rows_count_alike_over_all_windows() -> None:
    """The expected weight of every row of every rollout, over the sampler's distribution, by enumeration."""
    lengths, size = [2, 3, 9, 20], 6
    weights = (np.array(lengths) - 1) / sum(length - 1 for length in lengths)
    for length, share in zip(lengths, weights, strict=True):
        expected, count = np.zeros(length), min(length, size)
        for start in range(length - count + 1):
            window = Window(0, start, count)
            expected[start : start + count] += share * row_weights(length, window, size) / (length - count + 1)
        np.testing.assert_allclose(expected, size / sum(length - 1 for length in lengths), rtol=1e-6)
    drawn = next(iter(RandomWindows(np.array(lengths), [0, 1, 2, 3], data_config(), seed=0)))
    assert drawn.drawn, "training windows are the ones that are weighted"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("none", False), ("gaussian", True)),
        (("gaussian", True), ("none", False)),
        (("gaussian", False), ("categorical", True)),
    ],
)
def test_heads_that_the_source_has_not_stay_fresh(source: tuple[str, bool], target: tuple[str, bool]) -> None:
    given, fitted, fresh = network(*source), network(*target), network(*target)
    with torch.no_grad():
        for parameter in given.parameters():
            parameter += 1
    copied = copy_weights(fitted, given.state_dict())
    assert set(copied) == {"lstm.weight_input", "lstm.weight_hidden", "lstm.bias", "mdn.weight", "mdn.bias"}
    for name, value in fitted.state_dict().items():
        assert torch.equal(value, (given if name in copied else fresh).state_dict()[name]), name


def test_a_head_and_its_scale_are_saved_with_the_weights(tmp_path: Path) -> None:
    saved, loaded = network("gaussian", True), network("gaussian", True)
    assert isinstance(saved.reward_head, GaussianReward)
    saved.reward_head.standardise(-3.0, 7.0)
    save_weights(saved, tmp_path / "m.safetensors")
    load_weights(loaded, tmp_path / "m.safetensors")
    assert loaded.reward_head is not None
    torch.testing.assert_close(loaded.reward_head.mean(hidden(3)), saved.reward_head.mean(hidden(3)))
