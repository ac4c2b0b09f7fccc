"""The MDN-LSTM of Ha & Schmidhuber 2018 (App. A.2)."""

import math
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.memory.heads import REWARD_HEAD, End
from worldmodels.memory.interface import Memory, Prediction, predict
from worldmodels.memory.mixture import Mixture
from worldmodels.utils import parts
from worldmodels.utils.settings import Setting


class State(NamedTuple):
    """Hidden state h and cell state c of the LSTM: (B, H) each."""

    h: Tensor
    c: Tensor


class LSTM(nn.Module):
    """One LSTM layer with one bias vector, as published: 4H(I + H + 1) parameters.

    PyTorch's own layer adds a second, redundant bias; here it is a constant zero. As there, weights and bias start
    uniform within ±1/√H, without a bonus for the forget gate. Gates are ordered input, forget, cell, output.

    It runs in float32, also under autocast: cuDNN would take float16 whatever was asked for, and a step's small
    gradients would be 0. A frozen layer has gradients to pass on too, for which cuDNN must be told that it trains; the
    flag changes nothing else, since there is no dropout.
    """

    zero: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_input = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.register_buffer("zero", torch.zeros(4 * hidden_size), persistent=False)
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x: (B, T, I) -> h of every step (B, T, H), and the state after the last."""
        weights = [self.weight_input, self.weight_hidden, self.bias, self.zero]
        start = (state.h.float().unsqueeze(0), state.c.float().unsqueeze(0))
        train = self.training or torch.is_grad_enabled()
        with torch.autocast(x.device.type, enabled=False):
            outputs, h, c = torch.lstm(x.float(), start, weights, True, 1, 0.0, train, False, True)
        return outputs, State(h.squeeze(0), c.squeeze(0))


class SkipGain(nn.Module):
    """z times a gain of each latent dimension, `PACE` times its parameter: (..., Z) -> (..., Z). Z parameters.

    Gains start at 0 and belong between 0 (a dimension that is noise) and 1 (one that stays). Adam moves a parameter by
    about the learning rate in a step, so a gain by itself would need a thousand steps to get there.
    """

    PACE = 10.0

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(latent_size))

    def forward(self, z: Tensor, actions: Tensor, state: State | None = None) -> Prediction:
        """As `predict`."""
        return predict(self, z, actions, state)

    def step(self, z: Tensor, action: Tensor, state: State) -> State:
        """One step: z: (B, Z), action: (B, A) -> the next state."""
        return self.unroll(z.unsqueeze(1), action.unsqueeze(1), state)[1]
