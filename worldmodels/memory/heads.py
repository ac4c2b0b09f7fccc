"""What else M predicts from h_t: the reward r_t of action a_t, and whether it ends the episode.

Each head is one dense layer, as the mixture's is. h_t is the hidden state after the inputs z_t and a_t. A reward head
of one's own is an ``nn.Module`` made with ``hidden_size``, with `mean`, `nll` and `sample` as here; where it has
`standardise`, it is given the mean and deviation of the training rewards.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from worldmodels.memory.mixture import HALF_LOG_TWO_PI
from worldmodels.utils.settings import Part

LEAST_LOG_STD = -3.0  # in units of the training deviation; a reward that repeats exactly would drive it to -∞
BINS = 255
HIGHEST_SYMLOG = 10.0  # the outermost bins are at ±22,025


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp |x| - 1), the inverse of symlog (Hafner et al. 2023, on robust predictions)."""
    return x.sign() * x.abs().expm1()


class GaussianReward(nn.Module):
    """r ~ N(mean, std²), both from h. Works on rewards standardised by the mean and deviation of the training rewards,
    which are kept with the weights (`standardise`); what goes in and comes out is in the task's units.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, 2)
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def standardise(self, mean: float, std: float) -> None:
        """Set the mean and deviation of the training rewards; a deviation of 0 counts as 1."""
        self.offset.fill_(mean)
        self.scale.fill_(std if std > 0 else 1.0)

    def _parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.dense(h).float().unbind(-1)
        log_std = LEAST_LOG_STD + functional.softplus(raw - LEAST_LOG_STD)
        return self.offset + self.scale * mean, self.scale.log() + log_std

    def mean(self, h: Tensor) -> Tensor:
        """Expected reward. h: (..., H) -> (...)."""
        return self._parts(h)[0]

    def nll(self, h: Tensor, reward: Tensor) -> Tensor:
        """Negative log-density of the reward in nats. h: (..., H), reward: (...) -> (...)."""
        mean, log_std = self._parts(h)
        return 0.5 * ((reward - mean) * torch.exp(-log_std)).square() + log_std + HALF_LOG_TWO_PI

    def sample(self, h: Tensor, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """Draw a reward: (..., H) -> (...). ``temperature`` multiplies the variance, as in `mixture.sample`."""
        mean, log_std = self._parts(h)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + math.sqrt(temperature) * log_std.exp() * noise


class CategoricalReward(nn.Module):
    """A distribution over fixed bins, dense near 0 and sparse far from it: symlog two-hot (Hafner et al. 2023, on
    robust predictions). A reward between two bins is shared by them; rewards beyond the outermost bins count as these.

    Starts with equal weights, a mean of 0.
    """

    bins: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, BINS)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        bins = symexp(torch.linspace(-HIGHEST_SYMLOG, HIGHEST_SYMLOG, BINS, dtype=torch.float64)).float()
        self.register_buffer("bins", bins, persistent=False)

    def _log_p(self, h: Tensor) -> Tensor:
        return self.dense(h).float().log_softmax(-1)

    def _neighbours(self, reward: Tensor) -> tuple[Tensor, Tensor]:
        """The bin below each reward, and the share of the bin above it: (...) each."""
        reward = reward.clamp(self.bins[0], self.bins[-1])
        below = (torch.searchsorted(self.bins, reward.contiguous(), right=True) - 1).clamp(0, BINS - 2)
        return below, (reward - self.bins[below]) / (self.bins[below + 1] - self.bins[below])

    def mean(self, h: Tensor) -> Tensor:
        """Expected reward. h: (..., H) -> (...). Bins ±b are added first, so that equal weights cancel exactly."""
        p = self._log_p(h).exp()
        half = BINS // 2
        return ((p[..., half + 1 :] - p[..., :half].flip(-1)) * self.bins[half + 1 :]).sum(-1)

    def nll(self, h: Tensor, reward: Tensor) -> Tensor:
        """Two-hot cross-entropy in nats, made comparable with a density's. h: (..., H), reward: (...) -> (...).

        Each bin spread as a triangle up to its neighbours makes a density that is linear between the bins. The
        cross-entropy plus the triangles' log areas bounds its negative log from above (Jensen), and has the
        cross-entropy's gradient.
        """
        below, above = self._neighbours(reward)
        edges = functional.pad(self.bins, (1, 1), value=0.0)
        edges[0], edges[-1] = self.bins[0], self.bins[-1]
        log_density = self._log_p(h) - ((edges[2:] - edges[:-2]) / 2).log()
        low, high = (log_density.gather(-1, i.unsqueeze(-1)).squeeze(-1) for i in (below, below + 1))
        return -((1 - above) * low + above * high)

    def sample(self, h: Tensor, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """Draw one of the bins: (..., H) -> (...). ``temperature`` divides the logits, as in `mixture.sample`."""
        p = torch.softmax(self._log_p(h) / temperature, dim=-1)
        chosen = torch.multinomial(p.reshape(-1, BINS), 1, generator=generator)
        return self.bins[chosen.reshape(p.shape[:-1])]


class End(nn.Module):
    """Bernoulli: whether the task ends after this action (``terminated``, not a limit of steps)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, 1)

    def _logit(self, h: Tensor) -> Tensor:
        return self.dense(h).float().squeeze(-1)

    def probability(self, h: Tensor) -> Tensor:
        """P(end). h: (..., H) -> (...)."""
        return self._logit(h).sigmoid()

    def nll(self, h: Tensor, terminated: Tensor) -> Tensor:
        """Cross-entropy in nats. h: (..., H), terminated: (...) of 0 and 1, or bool -> (...)."""
        return functional.binary_cross_entropy_with_logits(self._logit(h), terminated.float(), reduction="none")


def no_reward(hidden_size: int) -> None:
    """No reward head."""


RewardHead = GaussianReward | CategoricalReward
REWARD_HEAD = Part(
    "Whether M also predicts the reward of an action, and how.",
    names={
        "none": f"{__name__}.no_reward",
        "gaussian": f"{__name__}.GaussianReward",
        "categorical": f"{__name__}.CategoricalReward",
    },
    fits="torch.nn.Module",
)
