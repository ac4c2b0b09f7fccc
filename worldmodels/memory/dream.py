"""The dream: M rolled forward on its own predictions, without the environment."""

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
