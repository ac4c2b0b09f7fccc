"""What a V and a loss of one's own get wrong is told before they are trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.pipeline.stages import vision
from worldmodels.store.journal import Journal
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.config import LOSSES
from worldmodels.vision.interface import Latent
from worldmodels.vision.losses.base import Loss, Losses

HERE = __name__


class Plain(nn.Module):
    """A small V with one mistake of those that a first one has, ``fault``."""

    def __init__(self, latent_size: int = 4, fault: str = "") -> None:
        super().__init__()
        self.latent_size, self.fault = latent_size, fault
        layers = [nn.Linear(3, 2 * latent_size), nn.Linear(latent_size, 3)]
        self.layers: Any = layers if fault == "in a list" else nn.ModuleList(layers)

    def encode(self, frames: Tensor) -> Any:
        mu, log_var = self.layers[0](frames.mean((2, 3))).chunk(2, dim=1)
        if self.fault == "raises":
            raise IndexError("no such layer")
        given = {"tensor": mu, "short": Latent(mu[:, 1:], log_var[:, 1:]), "double": Latent(mu.double(), log_var)}
        return given.get(self.fault, Latent(mu / 0 if self.fault == "broken" else mu, log_var))

    def decode(self, z: Tensor) -> Any:
        size = 32 if self.fault == "small" else 64
        given = torch.sigmoid(self.layers[1](z))[:, :, None, None].expand(-1, -1, size, size)
        return (
            given.detach().numpy() if self.fault == "numpy" else given.detach() if self.fault == "detached" else given
        )


class Counting(Plain):
    """A V that cannot see before it has counted."""

    counted = False

    def prepare(self, rollouts: Any) -> None:
        self.counted = True

    def encode(self, frames: Tensor) -> Any:
        assert self.counted
        return super().encode(frames)


class CountingToo(Counting):
    """It inherits what it counts."""


class Mistaken(Loss):
    """A loss with one mistake, ``fault``."""

    def __init__(self, kl_floor: float, context: Any, fault: str = "") -> None:
        super().__init__(kl_floor, context)
        self.fault = fault

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Any:
        given = {
            "pixels": (reconstruction - frames).abs(),
            "nothing": None,
            "column": error[:, None],
            "broken": error / 0 * 0,
        }
        return given.get(self.fault, error)


class Signature(Loss):
    def distance(self, reconstruction: Tensor, frames: Tensor) -> Tensor:  # type: ignore[override]
        return (reconstruction - frames).abs().flatten(1).sum(1)


class Detached(Loss):
    def forward(self, reconstruction: Tensor, frames: Tensor, latent: Latent, z: Tensor) -> Losses:
        return Losses(*(part.detach() for part in super().forward(reconstruction, frames, latent, z)))

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        return error


class Alone(Loss):
    """It gives the total alone."""

    def forward(self, reconstruction: Tensor, frames: Tensor, latent: Latent, z: Tensor) -> Any:
        return (reconstruction - frames).square().sum()


NETWORKS = {
    "in a list": "has no parameters, so that nothing can be trained: expected an nn.Module",
    "tensor": r"encode\(\) gave torch.float32 of shape \(3, 4\) for 3 frames: expected Latent\(mu, log_var\)",
    "short": r"encode\(\) gave Latent of torch.float32 of shape \(3, 3\) and .* expected .* of shape \(3, 4\)",
    "double": r"encode\(\) gave Latent of torch.float64 of shape \(3, 4\) and .* and torch.float32",
    "broken": r"encode\(\) gave numbers that are not finite on a few frames, before any training",
    "raises": r"encode fails on a few frames \(IndexError: no such layer at test_trial.py:\d+\): expected a V as",
    "small": r"decode\(\) gave torch.float32 of shape \(3, 3, 32, 32\) for 3 latents: expected .* \(3, 3, 64, 64\)",
    "numpy": r"decode\(\) gave ndarray for 3 latents",
}
LOSS_FAULTS = {
    "Mistaken, fault: pixels": r"distance\(\) gave \(2, 3, 64, 64\) for 2 frames: expected a value for each frame",
    "Mistaken, fault: nothing": r"distance\(\) gave NoneType for 2 frames",
    "Mistaken, fault: column": r"distance\(\) gave \(2, 1\) for 2 frames",
    "Mistaken, fault: broken": "gave numbers that are not finite on a few frames, before any training",
    "Signature": r"fails on a few frames \(TypeError: .*takes 3 positional arguments but 5 were .*\): expected a loss",
    "Detached": f"has no gradient for any parameter of vae.network={HERE}.Plain: expected one computed from",
    "Alone": r"gave torch.float32 of shape \(\): expected Losses\(total, reconstruction, kl\)",
}


@pytest.mark.parametrize("fault", NETWORKS)
def test_a_v_of_ones_own_is_tried_before_any_work(compose: Callable[..., Config], fault: str) -> None:
    config = compose(f"vae.network={{_target_: {HERE}.Plain, fault: {fault}}}")
    with pytest.raises(ConfigError, match=rf"^vae.network={HERE}.Plain:? {NETWORKS[fault]}"):
        vision.check_network(config, make_vision(config))


@pytest.mark.parametrize("kind", ["Counting", "CountingToo"])
def test_a_v_that_first_has_to_count_is_not_tried_before(compose: Callable[..., Config], kind: str) -> None:
    config = compose(f"vae.network={{_target_: {HERE}.{kind}}}")
    vision.check_network(config, make_vision(config))


def small(compose: Callable[..., Config], *overrides: str) -> Config:
    return compose(f"vae.network={{_target_: {HERE}.Plain}}", "scale=smoke", "trainer=cpu", "vae.epochs=1", *overrides)


@pytest.mark.parametrize("loss", LOSS_FAULTS)
def test_a_loss_of_ones_own_is_tried_before_it_is_trained(
    compose: Callable[..., Config], frames_dataset: Callable[..., Path], tmp_path: Path, loss: str
) -> None:
    config = small(compose, f"vae.loss={{_target_: {HERE}.{loss}}}")
    with pytest.raises(ConfigError, match=rf"^vae.loss={HERE}.\w+:? {LOSS_FAULTS[loss]}") as told:
        vision.run(config, frames_dataset(), None, None, tmp_path, Journal(tmp_path, None, "vision"))
    assert "\n" not in str(told.value) and not (tmp_path / "weights.safetensors").exists()


def test_a_v_that_detaches_what_it_draws_is_no_fault_where_its_encoder_learns(
    compose: Callable[..., Config], frames_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    config = small(compose, "+vae.network.fault=detached", "vae.kl_floor=0", "vae.loss=mse")
    vision.run(config, frames_dataset(), None, None, tmp_path, Journal(tmp_path, None, "vision"))


@pytest.mark.parametrize("loss", LOSSES)
def test_to_be_tried_changes_nothing(compose: Callable[..., Config], loss: str) -> None:
    """Neither weights, nor what is counted, nor torch's global stream."""
    config = compose(f"vae.loss={loss}", "vae=foveal")
    network = make_vision(config)
    frames = vision.noise()
    context = vision.TrainingContext(0, [torch.zeros(2, 64, 64, 3, dtype=torch.uint8)])
    make_module = getattr(vision.parts.find(vision.LOSS, config.vae.loss, "vae.loss"), "module", None)
    module = (make_module or vision.VisionModule)(network, config.vae, context)
    torch.manual_seed(3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    vision.try_training(module, "vae.network=ConvVAE", f"vae.loss={loss}", frames)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
