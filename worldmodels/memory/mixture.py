"""The mixture density: one mixture of K Gaussians for each latent dimension (Bishop 1994; Ha & Schmidhuber 2018, App.
A.2).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
LARGEST_EXPONENT = 80.0  # exp(-80) is a normal number in float32


class Mixture(NamedTuple):
    """(..., Z, K) each; ``log_pi`` is normalised over K."""

    log_pi: Tensor
    mu: Tensor
    log_sigma: Tensor


def nll(mixture: Mixture, z: Tensor) -> Tensor:
    """Negative log-likelihood in nats per latent dimension. z: (..., Z) -> (..., Z)."""
    standard = (z.unsqueeze(-1) - mixture.mu) * torch.exp(-mixture.log_sigma)
    log_density = -0.5 * standard.square() - mixture.log_sigma - HALF_LOG_TWO_PI
    return -torch.logsumexp(mixture.log_pi + log_density, dim=-1)


def cdf(mixture: Mixture, z: Tensor) -> Tensor:
    """Probability of a value up to z, in each dimension: (..., Z) -> (..., Z)."""
    standard = (z.unsqueeze(-1) - mixture.mu) * torch.exp(-mixture.log_sigma)
    return (mixture.log_pi.exp() * torch.special.ndtr(standard)).sum(-1)


def mean(mixture: Mixture) -> Tensor:
    """Expected z: (..., Z)."""
    return (mixture.log_pi.exp() * mixture.mu).sum(-1)


def entropy(mixture: Mixture) -> Tensor:
    """Entropy of the component weights in nats, between 0 and log K: (..., Z)."""
    return -(mixture.log_pi.exp() * mixture.log_pi).sum(-1)


def sample(mixture: Mixture, temperature: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw z: (..., Z). ``temperature`` τ divides the logits of the weights and multiplies the variances (Ha & Eck
    2017, eq. 8): τ → 0 takes the likeliest component's mean.
    """
    weights = torch.softmax(mixture.log_pi / temperature, dim=-1)
    flat = weights.reshape(-1, weights.shape[-1])
    chosen = torch.multinomial(flat, 1, generator=generator).reshape(*weights.shape[:-1], 1)
    noise = torch.randn(chosen.shape[:-1], generator=generator, device=chosen.device, dtype=mixture.mu.dtype)
    return _value(mixture, chosen, temperature, noise)


def draw(mixture: Mixture, temperature: float, uniform: Tensor, noise: Tensor) -> Tensor:
    """As `sample`, from random numbers of the caller's: ``uniform`` in [0, 1) chooses the component, ``noise`` is
    standard normal; (..., Z) each.
    """
    # Weights up to a factor, and nothing is done with the components that are not chosen: a dream does little else.
    logits = mixture.log_pi / temperature
    if math.log(logits.shape[-1]) / temperature > LARGEST_EXPONENT:  # the likeliest weight could be 0 in float32
        logits = logits - logits.amax(-1, keepdim=True)
    edges = logits.exp().cumsum(-1)
    below = edges[..., :-1] <= (uniform * edges[..., -1]).unsqueeze(-1)
    return _value(mixture, below.sum(-1, keepdim=True), temperature, noise)


def _value(mixture: Mixture, chosen: Tensor, temperature: float, noise: Tensor) -> Tensor:
    mu, log_sigma = (part.gather(-1, chosen).squeeze(-1) for part in (mixture.mu, mixture.log_sigma))
    return mu + log_sigma.exp() * math.sqrt(temperature) * noise
