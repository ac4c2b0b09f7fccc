"""The losses of V against `torch.distributions` and plain sums."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from worldmodels.vision.losses import LOSSES, kl_divergence, mse, squared_error
from worldmodels.vision.network import Latent


def random_latent(batch: int, scale: float = 1.0) -> Latent:
    """A latent that asks for gradients, (B, 32)."""
    rng = torch.Generator().manual_seed(batch)
    mu, log_var = (scale * torch.randn(batch, 32, generator=rng) for _ in range(2))
    return Latent(mu.requires_grad_(), log_var.requires_grad_())


def random_images(batch: int, seed: int) -> Tensor:
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def gradients(loss: Tensor, latent: Latent) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(latent)))


@pytest.mark.parametrize("batch", [1, 7])
def test_kl_divergence_is_that_of_torch(batch: int) -> None:
    latent = random_latent(batch)
    reference = reference_kl(Normal(latent.mu, (latent.log_var / 2).exp()), Normal(0.0, 1.0)).sum(1)
    assert kl_divergence(latent).shape == (batch,)
    torch.testing.assert_close(kl_divergence(latent), reference)


def test_kl_divergence_of_the_prior_is_zero() -> None:
    assert kl_divergence(Latent(torch.zeros(2, 32), torch.zeros(2, 32))).tolist() == [0.0, 0.0]


def test_kl_divergence_is_taken_in_float32() -> None:
    latent = random_latent(3)
    low = Latent(latent.mu.bfloat16(), latent.log_var.bfloat16())
    assert kl_divergence(low).dtype == torch.float32
    torch.testing.assert_close(kl_divergence(low), kl_divergence(latent), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("batch", [1, 3])
def test_squared_error_sums_over_a_frame(batch: int) -> None:
    a, b = random_images(batch, 0), random_images(batch, 1)
    expected = [sum(((x - y) ** 2).sum() for x, y in zip(i, j, strict=True)) for i, j in zip(a, b, strict=True)]
    torch.testing.assert_close(squared_error(a, b), torch.stack(expected))
    torch.testing.assert_close(squared_error(torch.ones(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)).item(), 12_288.0)


@pytest.mark.parametrize("batch", [1, 3])
def test_mse_is_the_mean_of_error_plus_kl(batch: int) -> None:
    a, b, latent = random_images(batch, 0), random_images(batch, 1), random_latent(batch)
    losses = mse(a, b, latent, kl_floor=0.0)
    torch.testing.assert_close(losses.reconstruction, squared_error(a, b).mean())
    torch.testing.assert_close(losses.kl, kl_divergence(latent).mean())
    torch.testing.assert_close(losses.total, losses.reconstruction + losses.kl)
    assert losses.total.shape == losses.reconstruction.shape == losses.kl.shape == ()


def test_below_the_floor_kl_counts_as_the_floor_and_has_no_gradient() -> None:
    images, latent = random_images(2, 0), random_latent(2, scale=0.1)
    losses = mse(images, images, latent, kl_floor=0.5)
    assert losses.kl < 16
    assert losses.total.item() == 0.5 * 32
    assert all(gradient.count_nonzero() == 0 for gradient in gradients(losses.total, latent))


def test_above_the_floor_kl_has_its_whole_gradient() -> None:
    images, latent = random_images(2, 0), random_latent(2, scale=2.0)
    assert kl_divergence(latent).min() > 16
    got = gradients(mse(images, images, latent, kl_floor=0.5).total, latent)
    for gradient, expected in zip(got, gradients(kl_divergence(latent).mean(), latent), strict=True):
        torch.testing.assert_close(gradient, expected)


def test_the_floor_holds_for_each_frame_by_itself() -> None:
    images, near, far = random_images(2, 0), random_latent(1, scale=0.1), random_latent(1, scale=2.0)
    latent = Latent(torch.cat([near.mu, far.mu]), torch.cat([near.log_var, far.log_var]))
    losses = mse(images, images, latent, kl_floor=0.5)
    torch.testing.assert_close(losses.total, (16 + kl_divergence(far)[0]) / 2)
    assert all(gradient.count_nonzero() == 0 for gradient in gradients(losses.total, near))


def test_every_loss_reports_the_same_figures() -> None:
    a, b, latent = random_images(2, 0), random_images(2, 1), random_latent(2)
    for name, loss in LOSSES.items():
        losses = loss(a, b, latent, 0.5)
        torch.testing.assert_close(losses.reconstruction, squared_error(a, b).mean(), msg=name)
        torch.testing.assert_close(losses.kl, kl_divergence(latent).mean(), msg=name)
