"""Inverse dynamics: which action led from one z to the next, read linearly (Agrawal et al. 2016, arXiv:1606.07419,
section 3; Pathak et al. 2017, arXiv:1705.05363, eq. 2). Where the policy that collected acts at random, only what an
action changed tells it, so z has to show that. Where it acts on the frame, the action can be read from z before it.
"""

import torch
from torch import Tensor, nn

from worldmodels.utils.seeds import sequence


class InverseDynamics(nn.Module):
    """A linear read-out of the action from z and from how z changed. It is thrown away after training."""

    def __init__(self, latent_size: int, action_size: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(sequence(seed, "vision", 8).generate_state(1)[0]))
            self.action = nn.Linear(2 * latent_size, action_size)

    def forward(self, before: Tensor, after: Tensor, actions: Tensor) -> Tensor:
        """z (N, Z) twice, and the actions between (N, A), as M reads them -> the squared error, summed over A, ()."""
        with torch.autocast(before.device.type, enabled=False):
            read = self.action(torch.cat([before.float(), after.float() - before.float()], dim=1))
            assert read.shape == actions.shape
            return (read - actions).square().sum(1).mean()
