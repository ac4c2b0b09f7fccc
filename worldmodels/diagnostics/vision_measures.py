"""How good is V? Its reconstruction error and KL on rollouts that it never trained on."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from worldmodels.utils.devices import device_of
from worldmodels.utils.seeds import torch_generator
from worldmodels.utils.statistics import ratio_estimates
from worldmodels.vision.interface import Latent, Vision
from worldmodels.vision.losses.base import kl_divergence, squared_error
from worldmodels.vision.scaling import to_unit

BATCH = 64
FIGURES = ("reconstruction", "kl")


class EncodedFrames(NamedTuple):
    """One rollout of T frames as V sees it."""

    frames: np.ndarray  # (T, 64, 64, 3) uint8
    mu: np.ndarray  # (T, Z)
    log_var: np.ndarray  # (T, Z)


@torch.inference_mode()
def measure(network: Vision, rollouts: Iterable[EncodedFrames], seed: int = 0) -> dict[str, Any]:
    """``reconstruction``: squared error summed over a frame's 12,288 values in 0–1, through z ~ N(μ, σ²) as in
    validation; ``kl``: nats per frame. Both are means over all frames, ``{"value", "interval"}`` with a 95 % interval
    over rollouts (None of a single one). The noise of a rollout follows from ``seed`` and its number, so that every V
    meets the same. Decoded in float32.
    """
    where = device_of(network)
    sums: list[tuple[float, float]] = []
    counts: list[int] = []
    for number, rollout in enumerate(rollouts):
        mu, log_var = (torch.from_numpy(array).float() for array in (rollout.mu, rollout.log_var))
        noise = torch.randn(mu.shape, generator=torch_generator(seed, "figures", 5, number))
        latent = Latent(mu, log_var)
        columns = (torch.from_numpy(rollout.frames).split(BATCH), latent.sample(noise).split(BATCH))
        error = sum(
            squared_error(network.decode(z.to(where)), to_unit(frames.to(where))).double().sum().item()
            for frames, z in zip(*columns, strict=True)
        )
        sums.append((error, kl_divergence(latent).double().sum().item()))
        counts.append(len(mu))
    below = np.repeat(np.array(counts, np.float64)[:, None], len(FIGURES), axis=1)
    estimates = ratio_estimates(np.array(sums), below)
    return {"rollouts": len(counts), "frames": sum(counts), **dict(zip(FIGURES, estimates, strict=True))}
