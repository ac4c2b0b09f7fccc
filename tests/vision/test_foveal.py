"""The fovea: what is looked at, apart from where it is."""

import pytest
import torch
from torch import Tensor

from worldmodels.utils.errors import ConfigError
from worldmodels.vision.foveal import FovealVAE
from worldmodels.vision.scaling import to_unit

Place = tuple[int, int]


def picture(*places: Place | None) -> Tensor:
    """A flag of 4 × 4 pixels with its upper left corner at a place, on grey ground: (B, 64, 64, 3) uint8."""
    frames = torch.full((len(places), 64, 64, 3), 90, dtype=torch.uint8)
    for frame, place in zip(frames, places, strict=True):
        if place:
            row, column = place
            frame[row : row + 4, column : column + 4] = torch.tensor([250, 20, 180])
            frame[row : row + 2, column : column + 2] = torch.tensor([5, 240, 20])
    return frames


@pytest.fixture(scope="module")
def vision() -> FovealVAE:
    """A V that has seen the ground."""
    torch.manual_seed(0)
    network = FovealVAE(8, features=16)
    network.prepare([picture(None, None)])
    return network


@torch.no_grad()
def looked(vision: FovealVAE, *places: Place | None) -> Tensor:
    return vision.encoder.get_submodule("fovea")(to_unit(picture(*places)))


@pytest.mark.parametrize("batch", [1, 3])
def test_shapes(vision: FovealVAE, batch: int) -> None:
    frames = to_unit(picture(*[(20, 20)] * batch))
    assert vision.encoder(frames).shape == (batch, 1024 + 16 + 3)
    reconstruction, latent = vision(frames, torch.zeros(batch, 8))
    assert reconstruction.shape == (batch, 3, 64, 64)
    assert latent.mu.shape == latent.log_var.shape == (batch, 8)


def test_a_thing_looks_the_same_wherever_it_is(vision: FovealVAE) -> None:
    """Its place moves with it: 2 from edge to edge, which are 63 pixels apart."""
    places = [(20, 20), (21, 20), (20, 27), (41, 33), (33, 9)]
    seen = looked(vision, *places)
    what, where, there = seen.split([16, 2, 1], dim=1)
    assert there.flatten().tolist() == [1] * 5
    assert what.count_nonzero() > 5 and what.std() > 1e-3
    torch.testing.assert_close(what, what[:1].expand_as(what), atol=1e-4, rtol=0)
    centres = torch.tensor(places) + 1.5
    torch.testing.assert_close(where, centres * 2 / 63 - 1, atol=1e-4, rtol=0)


def test_different_things_look_different(vision: FovealVAE) -> None:
    one, other = picture((20, 20)), picture((20, 20)).flip(-1)
    with torch.no_grad():
        seen = vision.encoder.get_submodule("fovea")(to_unit(torch.cat([one, other])))
    assert (seen[0, :16] - seen[1, :16]).abs().max() > 0.01


def test_where_nothing_is_salient_the_fovea_is_silent(vision: FovealVAE) -> None:
    seen = looked(vision, None, (20, 20), None)
    assert seen[[0, 2]].count_nonzero() == 0 and seen[1, -1] == 1
    assert looked(vision, None).tolist() == [[0.0] * 19]


def test_what_is_looked_at_trains_the_encoder(vision: FovealVAE) -> None:
    fovea = vision.encoder.get_submodule("fovea")
    for place, trains in (((20, 20), True), (None, False)):
        total = fovea(to_unit(picture(place))).sum()
        gradients = torch.autograd.grad(total, list(fovea.parameters()))
        assert all(bool(gradient.any()) == trains for gradient in gradients)


@torch.no_grad()
def test_the_place_can_be_a_part_of_z() -> None:
    """63 pixels from edge to edge are 4; its deviation is a third of a pixel. What is learnt stays the others."""
    torch.manual_seed(0)
    network = FovealVAE(8, features=16, where=True)
    network.prepare([picture(None, None)])
    places = [(20, 20), (41, 33)]
    latent = network.encode(to_unit(picture(*places, None)))
    assert latent.mu.shape == latent.log_var.shape == (3, 8)
    expected = (torch.tensor(places) + 1.5) * 4 / 63 - 2
    torch.testing.assert_close(latent.mu[:2, :2], expected, atol=2e-4, rtol=0)
    assert latent.mu[2, :2].tolist() == [0, 0]
    torch.testing.assert_close(latent.log_var[:, :2].exp().sqrt(), torch.full((3, 2), 0.02))
    assert network.bottleneck.mu.out_features == 6
    network.encoder.to(torch.bfloat16)
    rounded = network.encode(to_unit(picture(*places, None)))
    assert (rounded.mu[:2, :2] - expected).abs().max() < 0.02


def test_a_place_leaves_room_for_what_is_there() -> None:
    with pytest.raises(ConfigError, match=r"vae.network.latent_size=2 leaves nothing .* expected 3 or more"):
        FovealVAE(2, where=True)
