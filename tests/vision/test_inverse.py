"""Inverse dynamics: its error by hand, what it asks of z, and what is refused."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from worldmodels.pipeline.stages import vision
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import torch_generator
from worldmodels.vision.config import VisionConfig
from worldmodels.vision.interface import Latent
from worldmodels.vision.inverse import InverseDynamics
from worldmodels.vision.losses.base import Loss, TrainingContext
from worldmodels.vision.module import VisionModule
from worldmodels.vision.scaling import to_unit


def test_the_error_is_that_of_a_linear_read_out() -> None:
    inverse, rng = InverseDynamics(latent_size=3, action_size=2, seed=0), np.random.default_rng(0)
    before, after, actions = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    weight, bias = (parameter.detach().double().numpy() for parameter in inverse.parameters())
    read = np.concatenate([before, after - before], axis=1) @ weight.T + bias
    expected = ((read - actions) ** 2).sum(1).mean()
    given = inverse(*(torch.tensor(each, dtype=torch.float32) for each in (before, after, actions)))
    assert float(given.detach()) == pytest.approx(expected, rel=1e-5)


def test_its_first_weights_follow_from_the_seed_and_disturb_no_stream() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (InverseDynamics(4, 2, seed).action.weight for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, again) and not torch.equal(first, other)


def inverted(weight: float) -> VisionConfig:
    return VisionConfig(loss={"_target_": "mse"}, inverse=weight, batch_size=6)


class Halves(nn.Module):
    """z is the mean brightness of a frame's left and right half, scaled by a weight each: it trains in no time."""

    latent_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 1.0]))

    def encode(self, frames: torch.Tensor) -> Latent:
        halves = torch.stack([half.mean(dim=(1, 2, 3)) for half in frames.chunk(2, dim=3)], dim=1)
        return Latent(halves * self.scale, torch.full((len(frames), 2), -20.0))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z), 3, 64, 64) + 0 * z.sum()


def test_the_weight_times_the_error_is_added_and_pulls_at_z() -> None:
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8))
    actions = torch.from_numpy(rng.normal(size=(3, 2)).astype(np.float32))
    gradients, totals = [], []
    for weight in (0.0, 2.0):
        module = VisionModule(Halves(), inverted(weight), TrainingContext(0), False, action_size=2)  # pyright: ignore[reportArgumentType]
        losses = module._step((frames, actions) if weight else frames, "", 0, 0)
        losses.total.backward()
        gradients.append(module.network.scale.grad)
        totals.append(losses)
    plain, asked = totals
    assert module.inverse is not None
    _, z = module._losses_and_z(to_unit(frames), torch_generator(module.seed, "vision", 0, 0))
    error = module.inverse(z[:3], z[3:], actions)
    assert (asked.total - plain.total).item() == pytest.approx(2 * error.item(), rel=1e-3)
    assert torch.equal(asked.reconstruction, plain.reconstruction) and torch.equal(asked.kl, plain.kl)
    assert not torch.allclose(*gradients)


class WithEdges(NamedTuple):
    total: torch.Tensor
    reconstruction: torch.Tensor
    kl: torch.Tensor
    edges: torch.Tensor


class Edges(Loss):
    """A loss with a figure of its own."""

    def forward(self, reconstruction, frames, latent, z) -> Any:
        zero = torch.zeros(())
        return WithEdges(z.sum(), zero, zero, torch.ones(()))


def test_a_loss_keeps_its_own_figures(monkeypatch) -> None:
    module = VisionModule(Halves(), inverted(1.0), TrainingContext(0), False, action_size=1)  # pyright: ignore[reportArgumentType]
    module.loss, logged = Edges(0.0, TrainingContext(0)), {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    module._step((torch.zeros(2, 64, 64, 3, dtype=torch.uint8), torch.ones(1, 1)), "val_", 1, 0)
    assert logged.keys() == {"val_total", "val_reconstruction", "val_kl", "val_edges", "val_inverse"}


def test_actions_have_numbers() -> None:
    with pytest.raises(ConfigError, match=r"^vae.inverse=1 reads actions: expected action_size"):
        VisionModule(Halves(), inverted(1.0), TrainingContext(0))  # pyright: ignore[reportArgumentType]


def test_a_loss_that_trains_v_in_a_way_of_its_own_is_refused(compose) -> None:
    with pytest.raises(ConfigError, match=r"^vae.loss=gan trains V in a way of its own: expected vae.inverse=0"):
        vision.check(compose("vae=vae_gan", "vae.inverse=1"))


def test_pairs_need_an_even_batch(compose) -> None:
    with pytest.raises(ConfigError, match=r"^vae.batch_size=51: with vae.inverse=1 a batch is of pairs of frames"):
        compose("vae.inverse=1", "vae.batch_size=51")
