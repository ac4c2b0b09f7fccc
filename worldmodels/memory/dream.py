"""The dream: M rolled forward on its own predictions, without the environment."""

from collections.abc import Sequence

import torch
from torch import Tensor

from worldmodels.memory import mixture
from worldmodels.memory.network import MDNLSTM


@torch.no_grad()
def dream_under(
    network: MDNLSTM, z: Tensor, actions: Tensor, context: int, temperature: float, generator: torch.Generator
) -> Tensor:
    """Follow reality for ``context`` frames, then only M's samples, under the real actions.

    z: (B, T, Z), actions: (B, T, A) -> (B, T, Z), equal to z in the first ``context`` frames (at least one).
    """
    assert 1 <= context <= z.shape[1]
    hidden, state = network.unroll(z[:, :context], actions[:, :context])
    dreamt = list(z[:, :context].unbind(1))
    latest = hidden[:, -1]
    for t in range(context, z.shape[1]):
        dreamt.append(mixture.sample(network.mixture(latest), temperature, generator))
        state = network.step(dreamt[-1], actions[:, t], state)
        latest = state.h
    return torch.stack(dreamt, dim=1)


def drift(
    network: MDNLSTM,
    z: Tensor,
    actions: Tensor,
    context: int,
    temperature: float,
    horizons: Sequence[int],
    generator: torch.Generator,
    stride: int = 5,
) -> list[float | None]:
    """How far dreams get from reality, relative to standing still: 1 is as far as the last real frame held, above 1
    farther. For each number of dreamt frames, or None where the episode is too short for it.

    z: (T, Z) and actions: (T, A) of one episode. Dreams begin ``stride`` frames apart, each after ``context`` frames of
    its own. The ratio is of root mean squared errors, over all of them and all dimensions.
    """
    possible = [horizon for horizon in horizons if context + horizon <= len(z)]
    if not possible:
        return [None for _ in horizons]
    windows = [torch.arange(context + max(possible)) + start for start in range(0, len(z), stride)]
    index = torch.stack([window for window in windows if window[-1] < len(z)])
    real = z[index]
    dreamt = dream_under(network, real, actions[index], context, temperature, generator)

    def error(prediction: Tensor, horizon: int) -> float:
        return float((prediction - real[:, context - 1 + horizon]).square().mean().sqrt())

    return [
        error(dreamt[:, context - 1 + k], k) / error(real[:, context - 1], k) if k in possible else None
        for k in horizons
    ]
