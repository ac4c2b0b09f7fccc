"""The frozen encoder against V's own, and against itself in other company."""

import numpy as np
import pytest
import torch

from worldmodels.vision.foveal import FovealVAE
from worldmodels.vision.inference import FrameEncoder
from worldmodels.vision.interface import Latent
from worldmodels.vision.network import ConvVAE

PRECISIONS = ["32-true", "bf16-mixed"]


@pytest.fixture(scope="module", params=[ConvVAE, FovealVAE])
def vision(request: pytest.FixtureRequest, frames: np.ndarray) -> ConvVAE:
    """A V whose latents are as large as trained ones: a fresh one's hardly leave 0."""
    torch.manual_seed(0)
    network = request.param(32)
    network.prepare([torch.from_numpy(frames)])
    with torch.no_grad():
        for layer in network.encoder.layers:
            layer.weight *= 2
    return network


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Smooth pictures and noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    noise = rng.integers(0, 256, coarse.shape, dtype=np.uint8)
    return np.where(np.arange(20)[:, None, None, None] % 2, coarse, noise)


@torch.no_grad()
def by_the_network(vision: ConvVAE, frames: np.ndarray) -> list[torch.Tensor]:
    """μ and log σ² of one frame at a time, in float32."""
    latents = [vision.encode(torch.from_numpy(frame[None]).permute(0, 3, 1, 2) / 255) for frame in frames]
    return [torch.cat(column) for column in zip(*latents, strict=True)]


@pytest.mark.parametrize("count", [1, 4, 5, 20])
def test_in_float32_it_is_vs_own_encoder(vision: ConvVAE, frames: np.ndarray, count: int) -> None:
    latent = FrameEncoder(vision, "32-true", rows=5)(frames[:count])
    for ours, theirs in zip(latent, by_the_network(vision, frames[:count]), strict=True):
        assert ours.shape == (count, 32)
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert latent.mu.abs().mean() > 0.05


def test_in_bf16_it_differs_by_a_rounding(vision: ConvVAE, frames: np.ndarray) -> None:
    """A bf16 has 8 bits, so a rounding is up to 0.4 %; four layers of them make 0.7 % here."""
    latent = FrameEncoder(vision, "bf16-mixed", rows=16)(frames)
    for ours, theirs in zip(latent, by_the_network(vision, frames), strict=True):
        assert ours.dtype == torch.float32
        difference = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
        assert difference.max() < 0.015
        assert difference.min() > 1e-4, "it must have been bf16"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [1, 5, 16])
def test_a_latent_is_the_same_to_the_last_bit_in_any_company_and_place(
    vision: ConvVAE, frames: np.ndarray, precision: str, rows: int
) -> None:
    encode, rng = FrameEncoder(vision, precision, rows), np.random.default_rng(1)
    alone = [torch.cat(column) for column in zip(*(encode(frame[None]) for frame in frames), strict=True)]
    for count in range(1, 21):
        chosen = rng.permutation(20)[:count]
        for ours, expected in zip(encode(frames[chosen]), alone, strict=True):
            assert torch.equal(ours, expected[chosen])
    assert len(alone[0].unique(dim=0)) == 20


@pytest.mark.parametrize("precision", PRECISIONS)
def test_vs_own_weights_stay_as_they_are(vision: ConvVAE, frames: np.ndarray, precision: str) -> None:
    """Decoding and saving go on in float32, and nothing trains here."""
    before = {name: value.clone() for name, value in vision.state_dict().items()}
    latent = FrameEncoder(vision, precision, rows=4)(frames[:2])
    assert {value.dtype for value in vision.state_dict().values()} == {torch.float32}
    assert all(torch.equal(value, before[name]) for name, value in vision.state_dict().items())
    assert not latent.mu.requires_grad


def test_counts_are_not_rounded_to_bf16() -> None:
    torch.manual_seed(0)
    vision = FovealVAE(32)
    table = vision.encoder.get_buffer("fovea.salience.table")
    table.fill_(0.10002)
    assert table.bfloat16().float().max() != table.max()
    encode = FrameEncoder(vision, "bf16-mixed", rows=2)
    encoder = encode._network.get_submodule("encoder")
    assert torch.equal(encoder.get_buffer("fovea.salience.table"), table)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    assert encode._network.get_submodule("bottleneck.mu").weight.dtype == torch.float32


class Ellipse(torch.nn.Module):
    """A V that has nothing but `encode`, of which its only layer is a part."""

    latent_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 6)

    def encode(self, frames: torch.Tensor) -> Latent:
        mu, log_var = self.layer(frames.square().mean((2, 3))).chunk(2, dim=1)
        return Latent(mu.sin(), log_var)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_foreign_v_encodes_as_it_says_in_float32(frames: np.ndarray, precision: str) -> None:
    torch.manual_seed(0)
    network = Ellipse()
    colours = torch.from_numpy(frames).permute(0, 3, 1, 2).double().div(255).square().mean((2, 3))
    mu, log_var = (colours @ network.layer.weight.double().T + network.layer.bias.double()).chunk(2, dim=1)
    latent = FrameEncoder(network, precision, rows=7)(frames)  # type: ignore[arg-type]
    torch.testing.assert_close(latent.mu.double(), mu.sin(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(latent.log_var.double(), log_var, rtol=1e-5, atol=1e-6)
    assert latent.mu.dtype == torch.float32
