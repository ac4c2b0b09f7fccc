"""The losses of V against `torch.distributions` and plain sums."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from worldmodels.transfer.weights import save_weights
from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.config import LOSS, LOSSES
from worldmodels.vision.losses.base import Loss, Losses, TrainingContext, kl_divergence, squared_error
from worldmodels.vision.losses.mse import MSE
from worldmodels.vision.losses.perceptual import Perceptual
from worldmodels.vision.losses.salient import Salient
from worldmodels.vision.losses.sigma import Sigma
from worldmodels.vision.network import ConvVAE, Latent

BY_THEMSELVES = [name for name in LOSSES if name != "gan"]  # which a module of its own trains: test_gan.py


def random_latent(batch: int, scale: float = 1.0) -> Latent:
    """A latent that asks for gradients, (B, 32)."""
    rng = torch.Generator().manual_seed(batch)
    mu, log_var = (scale * torch.randn(batch, 32, generator=rng) for _ in range(2))
    return Latent(mu.requires_grad_(), log_var.requires_grad_())


def random_images(batch: int, seed: int) -> Tensor:
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def make(loss: str, context: TrainingContext, kl_floor: float = 0.5, **settings: float) -> Loss:
    """A loss by its short name, as V's training makes it."""
    facts = {"kl_floor": kl_floor, "context": context, "latent_size": 32}
    return parts.make(LOSS, {"_target_": loss, **settings}, "vae.loss", **facts)


def mse(reconstruction: Tensor, frames: Tensor, latent: Latent, kl_floor: float) -> Losses:
    return MSE(kl_floor, TrainingContext(seed=0))(reconstruction, frames, latent, latent.mu)


def rollouts(*lengths: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(5)
    return [torch.randint(0, 256, (length, 64, 64, 3), dtype=torch.uint8, generator=rng) for length in lengths]


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
    for name in BY_THEMSELVES:
        losses = make(name, TrainingContext(0, rollouts(3)))(a, b, latent, latent.mu)
        torch.testing.assert_close(losses.reconstruction, squared_error(a, b).mean(), msg=name)
        torch.testing.assert_close(losses.kl, kl_divergence(latent).mean(), msg=name)


@pytest.mark.parametrize("name", BY_THEMSELVES)
def test_nothing_of_a_loss_is_trained_unless_asked_for_and_it_is_prepared_alike_again(name: str) -> None:
    context, settings = TrainingContext(3, rollouts(1, 4)), {"glimpse": 1.0} if name == "salient" else {}
    assert not list(make(name, context).parameters())
    first, again = (make(name, context, **settings) for _ in range(2))
    assert bool(list(first.parameters())) == (name == "salient")
    for a, b in zip([*first.buffers(), *first.parameters()], [*again.buffers(), *again.parameters()], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("batch", [1, 3])
def test_sigma_is_the_likelihood_under_the_best_variance(batch: int) -> None:
    """Of many Gaussians with one variance for all values, none fits the batch better."""
    a, b, latent = random_images(batch, 0), random_images(batch, 1), random_latent(batch)
    total = Sigma(0.0, TrainingContext(seed=0))(a, b, latent, latent.mu).total
    variance = (a - b).square().mean().item()
    nll = [
        -Normal(a, (factor * variance) ** 0.5).log_prob(b).sum() / batch + kl_divergence(latent).mean()
        for factor in (0.9, 1.0, 1.1)
    ]
    torch.testing.assert_close(total, nll[1])
    assert total < nll[0] and total < nll[2]


def test_sigma_of_a_perfect_batch_is_finite_and_leaves_kl_its_gradient() -> None:
    images, latent = random_images(2, 0), random_latent(2, scale=2.0)
    perfect = images.clone().requires_grad_()
    losses = Sigma(0.0, TrainingContext(seed=0))(perfect, images, latent, latent.mu)
    gradient, *of_latent = torch.autograd.grad(losses.total, [perfect, *latent])
    assert losses.total.isfinite() and gradient.count_nonzero() == 0
    for got, expected in zip(of_latent, gradients(kl_divergence(latent).mean(), latent), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("batch", [1, 3])
def test_perceptual_mixes_features_of_a_finished_v_and_pixels(batch: int, tmp_path: Path) -> None:
    """The features by the V's own layers; their scale by NumPy over all frames of the rollouts."""
    torch.manual_seed(1)
    source = ConvVAE(32)
    save_weights(source, tmp_path / "v.safetensors")

    @torch.no_grad()
    def features(frames: Tensor) -> np.ndarray:
        first, second = source.encoder.layers[:2]
        return second(first(frames).relu()).relu().flatten(1).double().numpy()

    seen = rollouts(3, 1, 4)
    loss = Perceptual(0.5, TrainingContext(0, seen, tmp_path / "v.safetensors"), weight=0.3)
    pixels = torch.cat(seen).permute(0, 3, 1, 2) / 255
    scale = pixels.flatten(1).double().numpy().var(0).sum() / features(pixels).var(0).sum()
    a, b, latent = random_images(batch, 0), random_images(batch, 1), random_latent(batch)
    distance = 0.3 * scale * ((features(a) - features(b)) ** 2).sum(1) + 0.7 * squared_error(a, b).numpy()
    expected = distance.mean() + kl_divergence(latent).clamp(min=16).mean().item()
    assert loss(a, b, latent, latent.mu).total.item() == pytest.approx(expected, rel=1e-4)


def test_random_features_follow_the_seed_and_see_small_differences_in_any_precision() -> None:
    a, latent = random_images(2, 0), random_latent(2)
    b = a + 1e-3 * random_images(2, 1)
    first, other = (Perceptual(0.5, TrainingContext(seed, rollouts(3)), weight=1.0) for seed in (0, 1))
    assert first(b, a, latent, latent.mu).total != other(b, a, latent, latent.mu).total
    with torch.autocast("cpu", torch.bfloat16):
        low = first.distance(b, a, squared_error(b, a), latent.mu)
    torch.testing.assert_close(low, first.distance(b, a, squared_error(b, a), latent.mu))


def test_features_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(torch.nn.Linear(2, 2), tmp_path / "m.safetensors")
    with pytest.raises(ConfigError, match=r"vae\.loss\.run: .*m\.safetensors .*expected a run with vae=cvae"):
        Perceptual(0.5, TrainingContext(0, (), tmp_path / "m.safetensors"))


def flagged(*corners: tuple[int, int] | None) -> Tensor:
    """Grey frames, each with or without a square of 4 pixels at a place: (B, 64, 64, 3) uint8."""
    frames = torch.full((len(corners), 64, 64, 3), 90, dtype=torch.uint8)
    for frame, corner in zip(frames, corners, strict=True):
        if corner:
            frame[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = torch.tensor([250, 20, 180])
    return frames


def test_salient_without_weights_is_mse_to_the_last_bit() -> None:
    a, b, latent = random_images(3, 0), random_images(3, 1), random_latent(3)
    loss = Salient(0.5, TrainingContext(0, rollouts(3)), 32, weight=1.0)
    assert [value.item() for value in loss(a, b, latent, latent.mu)] == [v.item() for v in mse(a, b, latent, 0.5)]


@pytest.mark.parametrize("corners", [[(20, 30)], [None], [(20, 30), None, (58, 0)]])
def test_salient_weighs_the_unusual_and_asks_z_for_what_and_where_it_is(corners: list[tuple[int, int] | None]) -> None:
    """Pixel by pixel: the square was never seen (salience 1), the ground always (0.01 / 1.01). Around the square's
    middle the glimpse is a slice, black beyond the edge, its ground dimmed to the fourth root of its salience.
    """
    context = TrainingContext(0, [flagged(None, None)])
    loss = Salient(0.5, context, 32, weight=30.0, glimpse=5.0, place=7.0)
    frames = flagged(*corners).permute(0, 3, 1, 2) / 255
    guess, z = random_images(len(corners), 0), random_latent(len(corners)).mu
    ground, expected = 0.01 / 1.01, []
    for i, corner in enumerate(corners):
        salience = np.full((64, 64), ground)
        cost = 0.0
        if corner:
            row, column = corner
            salience[row : row + 4, column : column + 4] = 1
            framed = np.pad(frames[i].numpy() * salience**0.25, ((0, 0), (8, 8), (8, 8)))
            shown = framed[:, row + 4 : row + 16, column + 4 : column + 16]
            what, where = (layer(z[i]).detach().numpy() for layer in (loss.what, loss.where))
            place = np.array([(row + 1.5) / 31.5 - 1, (column + 1.5) / 31.5 - 1])
            cost = 5 * ((what - shown.flatten()) ** 2).sum() + 7 * ((where - place) ** 2).sum()
        for y, x in np.ndindex(64, 64):
            error = ((guess[i, :, y, x] - frames[i, :, y, x]) ** 2).sum().item()
            cost += (1 + 29 * salience[y, x]) * error
        expected.append(cost)
    got = loss.distance(guess, frames, squared_error(guess, frames), z)
    assert got.detach().numpy() == pytest.approx(np.array(expected), rel=1e-2)  # the ground pulls at the edge
    asks = any(corners)
    assert all(bool(g.any()) == asks for g in torch.autograd.grad(got.sum(), [z, *loss.parameters()]))


def test_readouts_follow_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(9)
    first, other = (Salient(0.5, TrainingContext(seed, rollouts(1)), 32, place=1.0) for seed in (0, 1))
    after = torch.rand(1)
    torch.manual_seed(9)
    assert torch.equal(after, torch.rand(1))
    assert not torch.equal(first.where.weight, other.where.weight)
