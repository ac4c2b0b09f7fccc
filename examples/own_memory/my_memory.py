"""An M of one's own: a GRU, and one Gaussian for each latent dimension."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.memory.mixture import Mixture
from worldmodels.utils.settings import Setting


class State(NamedTuple):
    """What M carries from step to step, batch first. C reads ``h``."""

    h: Tensor  # (B, H)
    steps: Tensor  # (B,), since the rollout began


class GRUMemory(nn.Module):
    """It has nothing but the interface. ``learnt_start`` makes the first h a parameter; without it h starts at 0."""

    INPUT_LAYERS = ("cell.weight_ih",)  # its columns are [z, a]: fresh where the source task has other actions

    def __init__(
        self,
        latent_size: int,
        action_size: int,
        hidden_size: Annotated[int, Setting("Numbers in h.", at_least=1)] = 48,
        learnt_start: Annotated[bool, Setting("Whether the first h is learnt.")] = True,
    ) -> None:
        super().__init__()
        self.latent_size, self.action_size, self.hidden_size = latent_size, action_size, hidden_size
        self.cell = nn.GRUCell(latent_size + action_size, hidden_size)
        self.gaussian = nn.Linear(hidden_size, 2 * latent_size)
        self.start = nn.Parameter(torch.zeros(hidden_size), requires_grad=learnt_start)

    def initial_state(self, batch_size: int) -> State:
        return State(self.start.expand(batch_size, -1), self.start.new_zeros(batch_size, dtype=torch.long))

    def step(self, z: Tensor, action: Tensor, state: State) -> State:
        """z: (B, Z), action: (B, A) -> the next state."""
        return State(self.cell(torch.cat([z, action], dim=1), state.h), state.steps + 1)

    def unroll(self, z: Tensor, actions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """z: (B, T, Z), actions: (B, T, A) -> h after every step (B, T, H), and the last state."""
        state = self.initial_state(len(z)) if state is None else state
        hidden = [z.new_empty(len(z), 0, self.hidden_size)]  # of no step, where there is none
        for t in range(z.shape[1]):
            state = self.step(z[:, t], actions[:, t], state)
            hidden.append(state.h.unsqueeze(1))
        return torch.cat(hidden, dim=1), state

    def mixture(self, h: Tensor, z: Tensor) -> Mixture:
        """h: (..., H), z: (..., Z) -> the next z as mixtures (..., Z, 1), here the change of z as one Gaussian."""
        change, log_sigma = self.gaussian(h).float().unsqueeze(-1).chunk(2, dim=-2)
        return Mixture(torch.zeros_like(change), z.unsqueeze(-1) + change, log_sigma)
