"""The MDN-LSTM of Ha & Schmidhuber 2018 (App. A.2)."""

import math
import warnings
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.memory.heads import REWARD_HEAD, End
from worldmodels.memory.interface import Memory, Prediction, predict
from worldmodels.memory.mixture import Mixture
from worldmodels.utils import parts
from worldmodels.utils.settings import Setting

# On a GPU cuDNN copies the weights together at every call. They are few, and one of the biases is a constant.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


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

    def forward(self, z: Tensor) -> Tensor:
        return self.PACE * self.gain * z


def adapter(latent_size: int, action_size: int, width: int) -> nn.Linear:
    """A layer [z, a] -> (``width``,) that at first lets z pass as it is, so that what reads z does so from the start;
    the other outputs begin as a random mix of the actions.
    """
    layer = nn.Linear(latent_size + action_size, width)
    with torch.no_grad():
        layer.weight[:latent_size] = torch.eye(latent_size + action_size)[:latent_size][:width]
        layer.weight[latent_size:, :latent_size] = 0
        layer.bias.zero_()
    return layer


class MDNLSTM(Memory):
    """P(z_{t+1} | z_t, a_t, h_t) as a mixture for each latent dimension. Inputs are z and a, in this order.

    With ``skip_gain`` the means are those of the dense layer plus z_t times a learnt gain of each dimension: what stays
    as it was does not have to pass through h, whose gates hand on no number exactly (a shortcut, He et al. 2016). The
    paper's M is without, and so does M start.

    Optional heads predict the reward of a_t (``gaussian``, ``categorical``, a class of one's own; ``none``) and the
    end. Their weights are drawn last, so that with and without them everything else starts alike.

    With an ``adapter_width``, the LSTM is that wide whatever the task's actions, and an `adapter` takes [z, a] there.
    """

    INPUT_LAYERS = ("lstm.weight_input",)
    OPTIONAL = ("reward_head.", "end_head.")
    ADDED = ("skip_gain.",)
    ADAPTERS = ("adapter.",)
    RENAMED = {"carry.": "skip_gain."}  # noqa: RUF012 - as `Memory` declares it

    def __init__(
        self,
        latent_size: int,
        action_size: int,
        hidden_size: Annotated[int, Setting("Numbers in h, and as many in c.", at_least=1)] = 256,
        mixtures: Annotated[int, Setting("Gaussians of each latent dimension.", at_least=1)] = 5,
        reward_head: Annotated[Any, REWARD_HEAD] = "none",
        end_head: Annotated[bool, Setting("Whether M also predicts the end of the episode.")] = False,
        skip_gain: Annotated[
            bool,
            Setting(
                "Whether the predicted mean starts from z times a learnt gain; not the paper's.",
                counts="unless default",
                key="carry",
            ),
        ] = False,
        adapter_width: int | None = None,
    ) -> None:
        super().__init__()
        self.latent_size, self.action_size, self.hidden_size = latent_size, action_size, hidden_size
        self.mixtures, self.adapter_width = mixtures, adapter_width
        self.lstm = LSTM(adapter_width or latent_size + action_size, hidden_size)
        self.mdn = nn.Linear(hidden_size, 3 * mixtures * latent_size)
        self.reward_head = parts.make(REWARD_HEAD, reward_head, "memory.network.reward_head", hidden_size=hidden_size)
        self.end_head: End | None = End(hidden_size) if end_head else None
        self.skip_gain: SkipGain | None = SkipGain(latent_size) if skip_gain else None
        self.adapter = None if adapter_width is None else adapter(latent_size, action_size, adapter_width)

    def initial_state(self, batch_size: int) -> State:
        """Zeros: the state before the first step of a rollout."""
        zeros = self.mdn.weight.new_zeros(batch_size, self.hidden_size)
        return State(zeros, zeros)

    def mixture(self, h: Tensor, z: Tensor) -> Mixture:
        """h: (..., H) after the step that was given z: (..., Z) -> mixtures of the next z (..., Z, K), in float32
        whatever the precision of the dense layer.
        """
        log_pi, mu, log_sigma = self.mdn(h).float().unflatten(-1, (3, self.latent_size, self.mixtures)).unbind(-3)
        if self.skip_gain is not None:
            mu = mu + self.skip_gain(z.float()).unsqueeze(-1)
        return Mixture(log_pi.log_softmax(-1), mu, log_sigma)

    def unroll(self, z: Tensor, actions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """z: (B, T, Z), actions: (B, T, A) -> h after every step (B, T, H), and the last state."""
        x = torch.cat([z, actions], dim=-1)
        if self.adapter is not None:
            x = self.adapter(x)
        return self.lstm(x, state or self.initial_state(len(z)))

    def forward(self, z: Tensor, actions: Tensor, state: State | None = None) -> Prediction:
        """As `predict`."""
        return predict(self, z, actions, state)

    def step(self, z: Tensor, action: Tensor, state: State) -> State:
        """One step: z: (B, Z), action: (B, A) -> the next state."""
        return self.unroll(z.unsqueeze(1), action.unsqueeze(1), state)[1]
