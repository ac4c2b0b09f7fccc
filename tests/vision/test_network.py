"""V against the published table, and against the equations of the variational autoencoder."""

import pytest
import torch
from torch import Tensor, nn

from worldmodels.vision.network import ConvVAE
from worldmodels.vision.scaling import to_pixels, to_unit


def make_vae(latent_size: int = 32) -> ConvVAE:
    torch.manual_seed(0)
    return ConvVAE(latent_size)


def random_frames(batch: int) -> Tensor:
    """(B, 64, 64, 3) uint8"""
    return torch.randint(0, 256, (batch, 64, 64, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shapes(layers: nn.ModuleList, run: nn.Module, x: Tensor) -> list[tuple[int, ...]]:
    """Height, width and channels that each layer puts out."""
    seen: list[tuple[int, ...]] = []
    for layer in layers:
        layer.register_forward_hook(lambda _module, _inputs, y: seen.append((*y.shape[2:], y.shape[1])))
    run(x)
    return seen


def test_parameter_counts_are_the_published_ones() -> None:
    encoder = make_vae().encoder
    assert [parameters(layer) for layer in encoder.layers] == [1_568, 32_832, 131_200, 524_544]
    assert parameters(encoder) == 690_144


def test_every_parameter_trains_and_gets_a_gradient() -> None:
    vae = make_vae()
    reconstruction, latent = vae(to_unit(random_frames(2)), torch.randn(2, 32))
    (reconstruction.square().sum() + latent.mu.sum() + latent.log_var.sum()).backward()
    for name, parameter in vae.named_parameters():
        assert parameter.requires_grad, name
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("batch", [1, 3])
def test_layer_shapes_are_the_published_ones(batch: int) -> None:
    vae = make_vae()
    encoder = shapes(vae.encoder.layers, vae.encoder, torch.rand(batch, 3, 64, 64))
    assert encoder == [(31, 31, 32), (14, 14, 64), (6, 6, 128), (2, 2, 256)]
    decoder = shapes(vae.decoder.layers, vae.decoder, torch.randn(batch, 32))
    assert decoder == [(5, 5, 128), (13, 13, 64), (30, 30, 32), (64, 64, 3)]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("latent_size", [1, 32])
def test_shapes_and_range_of_the_whole(batch: int, latent_size: int) -> None:
    reconstruction, latent = make_vae(latent_size)(torch.rand(batch, 3, 64, 64), torch.zeros(batch, latent_size))
    assert reconstruction.shape == (batch, 3, 64, 64)
    assert latent.mu.shape == latent.log_var.shape == (batch, latent_size)
    assert reconstruction.min() >= 0 and reconstruction.max() <= 1


def test_a_frame_is_treated_alike_alone_and_in_a_batch() -> None:
    vae, frames = make_vae().eval(), to_unit(random_frames(4))
    together = vae.encode(frames)
    for i in range(4):
        alone = vae.encode(frames[i : i + 1])
        torch.testing.assert_close(alone.mu[0], together.mu[i], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.log_var[0], together.log_var[i], rtol=1e-4, atol=1e-5)


def test_reconstruction_goes_through_a_reparameterised_sample() -> None:
    """z = μ + σ·noise, its distribution from `torch.distributions.Normal`."""
    vae, frames = make_vae(), to_unit(random_frames(2))
    with torch.no_grad():
        vae.bottleneck.log_var.bias.fill_(1.5)  # σ far from 1, so that σ, σ² and log σ² cannot be mistaken
    noise = torch.randn(2, 32, generator=torch.Generator().manual_seed(2))
    reconstruction, latent = vae(frames, noise)
    normal = torch.distributions.Normal(latent.mu, latent.log_var.exp().sqrt())
    z = normal.icdf(torch.distributions.Normal(0.0, 1.0).cdf(noise.double())).float()
    torch.testing.assert_close(reconstruction, vae.decode(z), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(reconstruction, vae.decode(latent.mu), atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 64, 3), (1, 64, 64, 3), (2, 3, 64, 64, 3)])
def test_pixels_survive_the_way_to_the_networks_and_back(shape: tuple[int, ...]) -> None:
    count = int(torch.tensor(shape).prod())
    frames = (torch.arange(count) % 256).to(torch.uint8).reshape(shape)  # every value occurs
    unit = to_unit(frames)
    assert unit.shape == (*shape[:-3], 3, 64, 64) and unit.dtype == torch.float32
    torch.testing.assert_close(unit[..., 1, 5, 7], frames[..., 5, 7, 1].float() / 255)
    assert torch.equal(to_pixels(unit), frames)


def test_pixels_outside_the_range_are_clamped() -> None:
    values = torch.tensor([-0.2, 0.0, 1.0, 1.7])[:, None, None, None].expand(4, 3, 64, 64)
    assert to_pixels(values)[:, 0, 0, 0].tolist() == [0, 0, 255, 255]
