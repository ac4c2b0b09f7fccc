"""The mixture density against `torch.distributions`."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from worldmodels.memory import mixture
from worldmodels.memory.mixture import Mixture

SHAPES = [(32,), (1, 1, 32), (1, 4, 3), (3, 1, 3), (2, 5, 32)]


def random_mixture(*shape: int, components: int = 5, seed: int = 0) -> Mixture:
    rng = torch.Generator().manual_seed(seed)
    logits, mu, log_sigma = (torch.randn(*shape, components, generator=rng) for _ in range(3))
    return Mixture(logits.log_softmax(-1), 2 * mu, 0.5 * log_sigma)


def reference(parts: Mixture) -> MixtureSameFamily:
    return MixtureSameFamily(Categorical(logits=parts.log_pi), Normal(parts.mu, parts.log_sigma.exp()))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def repeated(parts: Mixture, times: int) -> Mixture:
    return Mixture(*(part.expand(times, *part.shape) for part in parts))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("components", [1, 5])
def test_nll_is_that_of_torch(shape: tuple[int, ...], components: int) -> None:
    parts = random_mixture(*shape, components=components)
    z = 3 * torch.randn(shape, generator=rng(1))
    assert mixture.nll(parts, z).shape == shape
    torch.testing.assert_close(mixture.nll(parts, z), -reference(parts).log_prob(z))


def test_gradient_of_nll_is_that_of_torch() -> None:
    parts = Mixture(*(part.requires_grad_() for part in random_mixture(2, 3, 4)))
    z = torch.randn(2, 3, 4, generator=rng(1))
    ours = torch.autograd.grad(mixture.nll(parts, z).sum(), list(parts))
    theirs = torch.autograd.grad(-reference(parts).log_prob(z).sum(), list(parts))
    for name, a, b in zip(("mu", "log_sigma"), ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(a, b, msg=name)
    # torch normalises the logits it is given, ours come normalised: equal up to the share of the constant direction
    normalised = ours[0] - parts.log_pi.detach().exp() * ours[0].sum(-1, keepdim=True)
    torch.testing.assert_close(normalised, theirs[0], rtol=1e-4, atol=1e-5)


def test_nll_stays_finite_far_from_every_component() -> None:
    parts = random_mixture(1, 1, 4)
    z = torch.full((1, 1, 4), 1e6)
    assert mixture.nll(parts, z).isfinite().all()
    torch.testing.assert_close(mixture.nll(parts, z), -reference(parts).log_prob(z))


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_and_entropy_are_those_of_torch(shape: tuple[int, ...]) -> None:
    parts = random_mixture(*shape)
    torch.testing.assert_close(mixture.mean(parts), reference(parts).mean)
    torch.testing.assert_close(mixture.entropy(parts), Categorical(logits=parts.log_pi).entropy())


def test_entropy_lies_between_zero_and_log_k() -> None:
    flat = Mixture(torch.zeros(2, 5).log_softmax(-1), torch.zeros(2, 5), torch.zeros(2, 5))
    torch.testing.assert_close(mixture.entropy(flat), torch.full((2,), math.log(5)))
    sure = flat._replace(log_pi=torch.tensor([[200.0, 0, 0, 0, 0]]).log_softmax(-1))
    assert mixture.entropy(sure).item() == pytest.approx(0, abs=1e-6)


def assert_samples_follow(samples: Tensor, expected: MixtureSameFamily) -> None:
    """Mean and variance of (N, Z) samples within five standard errors."""
    count = len(samples)
    error = (expected.variance / count).sqrt()
    assert ((samples.mean(0) - expected.mean).abs() < 5 * error).all()
    centred = (samples - expected.mean).square()
    assert ((centred.mean(0) - expected.variance).abs() < 5 * centred.std(0) / math.sqrt(count)).all()


def test_samples_at_temperature_one_follow_the_mixture() -> None:
    parts = random_mixture(6)
    assert_samples_follow(mixture.sample(repeated(parts, 40_000), 1.0, rng()), reference(parts))


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_temperature_divides_logits_and_multiplies_variances(temperature: float) -> None:
    parts = random_mixture(6)
    tempered = MixtureSameFamily(
        Categorical(logits=parts.log_pi / temperature),
        Normal(parts.mu, (parts.log_sigma.exp().square() * temperature).sqrt()),
    )
    assert_samples_follow(mixture.sample(repeated(parts, 40_000), temperature, rng()), tempered)


@pytest.mark.parametrize("shape", SHAPES)
def test_temperature_towards_zero_takes_the_likeliest_mean(shape: tuple[int, ...]) -> None:
    parts = random_mixture(*shape)
    likeliest = torch.take_along_dim(parts.mu, parts.log_pi.argmax(-1, keepdim=True), -1).squeeze(-1)
    drawn = mixture.sample(parts, 1e-8, rng())
    assert drawn.shape == shape
    torch.testing.assert_close(drawn, likeliest, rtol=0, atol=5e-3)


def test_each_latent_dimension_chooses_its_own_component() -> None:
    """Two far components of equal weight: the choices of two dimensions are independent."""
    parts = Mixture(torch.full((2, 2), 0.5).log(), torch.tensor([[-10.0, 10.0]] * 2), torch.zeros(2, 2))
    signs = mixture.sample(repeated(parts, 4_000), 1.0, rng()).sign()
    assert abs(signs.prod(1).mean()) < 5 / math.sqrt(4_000)
    assert abs(signs.mean()) < 5 / math.sqrt(8_000)


def test_samples_follow_from_the_generator_alone() -> None:
    parts = random_mixture(2, 3, 4)
    before = torch.get_rng_state()
    first = mixture.sample(parts, 1.0, rng(5))
    assert torch.equal(mixture.sample(parts, 1.0, rng(5)), first)
    assert not torch.equal(mixture.sample(parts, 1.0, rng(6)), first)
    assert torch.equal(torch.get_rng_state(), before), "the global generator must not be touched"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
def test_given_numbers_choose_components_by_weight_and_spread_by_sigma(temperature: float) -> None:
    """Evenly spaced ``uniform`` gives each component its share, to one draw; 0 and the last float below 1 give the
    first and the last."""
    parts, count = random_mixture(3, components=4), 10_000
    even = ((torch.arange(count) + 0.5) / count)[:, None].expand(count, 3)
    noise = torch.full((count, 3), 2.0)
    drawn = mixture.draw(repeated(parts, count), temperature, even, noise)
    values = parts.mu + 2 * temperature**0.5 * parts.log_sigma.exp()
    shares = (drawn[..., None] - values).abs().lt(1e-5).float().mean(0)
    torch.testing.assert_close(shares, (parts.log_pi / temperature).softmax(-1), rtol=0, atol=2 / count)
    for edge, component in ((0.0, 0), (1 - 2**-24, -1)):
        torch.testing.assert_close(
            mixture.draw(parts, temperature, torch.full((3,), edge), torch.full((3,), 2.0)), values[:, component]
        )
