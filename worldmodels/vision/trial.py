"""A V and a loss tried on a few frames before they are trained: the mistakes of a class of one's own, in a line."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError, described
from worldmodels.vision.interface import Latent, reconstruct
from worldmodels.vision.module import VisionModule

CHANGES_RESULTS = False  # it looks at a copy
FRAMES = 3
LIKE_LOSS = "expected a loss as worldmodels/vision/losses/base.py says"


def noise(count: int = FRAMES) -> Tensor:
    """Frames of no task: (count, 3, 64, 64) in 0–1."""
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def try_network(network: nn.Module, named: str, frames: Tensor) -> None:
    """Raise `ConfigError` where V is not as its interface says. ``named``: the setting and the class; ``frames``: (B,
    3, 64, 64) in 0–1, on V's device. V may change by it.
    """
    require(
        any(True for _ in network.parameters()),
        f"{named} has no parameters, so that nothing can be trained: expected an nn.Module with layers as attributes; "
        "a list of them is an nn.ModuleList",
    )
    network_: Any = network
    count, size = len(frames), network_.latent_size
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        latent = _called(f"{named}: encode", network_.encode, frames)
        pair = isinstance(latent, tuple | list) and len(latent) == 2
        require(
            pair and all(_is(part, (count, size), torch.float32) for part in latent),
            f"{named}: encode() gave {_kind(latent)} for {count} frames: expected Latent(mu, log_var), each of shape "
            f"({count}, {size}), which is latent_size, and torch.float32",
        )
        _finite(f"{named}: encode()", *latent)
        drawn = _called(f"{named}: decode", network_.decode, latent[0])
        require(
            _is(drawn, tuple(frames.shape)),
            f"{named}: decode() gave {_kind(drawn)} for {count} latents: expected frames of shape "
            f"{tuple(frames.shape)}, floats in 0 to 1",
        )
        _finite(f"{named}: decode()", drawn)


def try_training(module: VisionModule, network: str, loss: str, frames: Tensor) -> None:
    """Raise `ConfigError` where V or its loss cannot be trained: one step on frames (B, 3, 64, 64) in 0–1, of a copy of
    the `VisionModule`. What cannot be copied is not tried, nor is a loss with a module of its own.
    """
    try:
        module = copy.deepcopy(module)
    except Exception:  # whatever a class of somebody's holds
        return
    try_network(module.network, network, frames)
    if type(module) is not VisionModule:
        return
    module._reconstruct = reconstruct  # compiling takes longer than all of this
    with torch.random.fork_rng(devices=[]):
        losses: Any = _called(loss, module._losses, frames, torch.Generator().manual_seed(0), otherwise=LIKE_LOSS)
        require(hasattr(losses, "total"), f"{loss} gave {_kind(losses)}: expected Losses(total, reconstruction, kl)")
        total = losses.total
        require(_is(total, ()), f"{loss} gave {_kind(total)} as total: expected a number, a tensor of shape ()")
        _finite(loss, total)
        if not any(parameter.requires_grad for parameter in module.network.parameters()):
            return
        reached = total.requires_grad
        if reached:
            _called(loss, total.backward, otherwise=LIKE_LOSS)
            reached = any(parameter.grad is not None for parameter in module.network.parameters())
        require(
            reached,
            f"{loss} has no gradient for any parameter of {network}: expected one computed from the reconstruction; "
            "look for detach(), no_grad() or numbers of NumPy in both",
        )


def _called(what: str, function: Any, *arguments: Any, otherwise: str = "") -> Any:
    """What it gives. Whatever it raises is the fault of the class that was chosen."""
    try:
        return function(*arguments)
    except ConfigError:
        raise
    except Exception as error:
        otherwise = otherwise or "expected a V as worldmodels/vision/interface.py says"
        raise ConfigError(f"{what} fails on a few frames ({described(error)}): {otherwise}") from error


def _finite(what: str, *tensors: Tensor) -> None:
    require(
        all(bool(torch.isfinite(tensor).all()) for tensor in tensors),
        f"{what} gave numbers that are not finite on a few frames, before any training: expected finite ones",
    )


def _is(given: Any, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> bool:
    return (
        isinstance(given, Tensor)
        and tuple(given.shape) == shape
        and (given.is_floating_point() if dtype is None else given.dtype == dtype)
    )


def _kind(given: Any) -> str:
    """What it is, for people."""
    if isinstance(given, Tensor):
        return f"{given.dtype} of shape {tuple(given.shape)}"
    if isinstance(given, Latent | tuple | list):
        return f"{type(given).__name__} of {' and '.join(map(_kind, given)) or 'nothing'}"
    return type(given).__name__
