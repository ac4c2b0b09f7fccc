"""A Gaussian decoder with the best variance."""

import math

import torch
from torch import Tensor

from worldmodels.vision.losses.base import Loss


class Sigma(Loss):
    """Negative log-likelihood of a Gaussian whose variance, shared by all values, is the best one for the batch: its
    mean squared error. In nats per frame, so KL has the weight that the evidence lower bound gives it. Rybkin,
    Daniilidis & Levine 2021 (arXiv:2006.13202), section 4.

    The smallest variance is that of rounding to 8 bits; below it there is nothing to be gained.
    """

    SMALLEST = 1 / (12 * 255**2)

    def distance(self, reconstruction: Tensor, frames: Tensor, error: Tensor, z: Tensor) -> Tensor:
        values = frames[0].numel()
        variance = (error.mean() / values).clamp(min=self.SMALLEST)
        return values / 2 * (torch.log(2 * math.pi * variance) + 1)
