"""The dream: M rolled forward on its own predictions, without the environment."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from worldmodels.memory import mixture
from worldmodels.memory.interface import Memory


@torch.no_grad()
def dream_under(
    network: Memory, z: Tensor, actions: Tensor, context: int, temperature: float, generator: torch.Generator
) -> Tensor:
    """Follow reality for ``context`` frames, then only M's samples, under the real actions.

    z: (B, T, Z), actions: (B, T, A) -> (B, T, Z), equal to z in the first ``context`` frames (at least one).
    """
    assert 1 <= context <= z.shape[1]
    hidden, state = network.unroll(z[:, :context], actions[:, :context])
    dreamt = list(z[:, :context].unbind(1))
    latest = hidden[:, -1]
    for t in range(context, z.shape[1]):
        dreamt.append(mixture.sample(network.mixture(latest, dreamt[-1]), temperature, generator))
        state = network.step(dreamt[-1], actions[:, t], state)
        latest = state.h
    return torch.stack(dreamt, dim=1)


class Drift(NamedTuple):
    """Root mean squared errors over dreams and latent dimensions: of the dream, and of persistence, which repeats the
    last real frame.
    """

    dream: float
    persistence: float


def drift(
    network: Memory,
    z: Tensor,
    actions: Tensor,
    context: int,
    temperature: float,
    horizons: Sequence[int],
    generator: torch.Generator,
    stride: int = 5,
) -> list[Drift | None]:
    """How far dreams are from reality after each number of dreamt frames; None where the episode is too short for it.

    z: (T, Z) and actions: (T, A) of one episode. Dreams begin ``stride`` frames apart, each after ``context`` frames of
    its own. They are samples, so even a perfect M's are as far from reality as two possible futures from each other.
    """
    possible = [horizon for horizon in horizons if context + horizon <= len(z)]
    if not possible:
        return [None for _ in horizons]
    length = context + max(possible)
    windows = torch.stack([torch.arange(start, start + length) for start in range(0, len(z) - length + 1, stride)])
    real = z[windows]
    dreamt = dream_under(network, real, actions[windows], context, temperature, generator)

    def error(prediction: Tensor, frame: int) -> float:
        return float((prediction - real[:, frame]).square().mean().sqrt())

    last = context - 1
    return [
        Drift(error(dreamt[:, last + k], last + k), error(real[:, last], last + k)) if k in possible else None
        for k in horizons
    ]
