"""V's figures on held-out rollouts, against sums of another hand."""

import numpy as np
import pytest
import torch
from torch import nn

from worldmodels.diagnostics.vision_measures import BATCH, EncodedFrames, measure


class Painter(nn.Module):
    """A V whose decoder paints every pixel with the first number of z: its error is known without a network."""

    latent_size = 3

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, 0, None, None, None].expand(-1, 3, 64, 64)


def rollout(rng: np.random.Generator, length: int, log_var: float) -> EncodedFrames:
    frames = rng.integers(0, 256, (length, 64, 64, 3), dtype=np.uint8)
    mu = rng.uniform(0, 1, (length, 3)).astype(np.float32)
    return EncodedFrames(frames, mu, np.full((length, 3), log_var, np.float32))


def test_frames_count_alike_whatever_their_rollout():
    """σ is e⁻²⁰: z is μ. Rollouts of one frame, and of more than a batch."""
    rng = np.random.default_rng(0)
    given = [rollout(rng, length, -40.0) for length in (1, 5, BATCH + 3)]
    found = measure(Painter(), given)
    errors = [
        ((frames.astype(np.float64) / 255 - mu[:, 0].astype(np.float64)[:, None, None, None]) ** 2).sum((1, 2, 3))
        for frames, mu, _ in given
    ]
    every = np.concatenate(errors)
    assert (found["rollouts"], found["frames"]) == (3, len(every)) == (3, BATCH + 9)
    assert found["reconstruction"]["value"] == pytest.approx(every.mean(), rel=1e-5)
    low, high = found["reconstruction"]["interval"]
    assert low < every.mean() < high


def test_the_kl_is_the_sum_over_z_of_torchs():
    rng = np.random.default_rng(1)
    given = [rollout(rng, 4, -1.0), rollout(rng, 9, 0.5)]
    normal = torch.distributions.Normal(0.0, 1.0)
    parts = [
        torch.distributions.kl_divergence(
            torch.distributions.Normal(torch.from_numpy(mu), torch.from_numpy(np.exp(log_var / 2))), normal
        ).sum(1)
        for _, mu, log_var in given
    ]
    assert measure(Painter(), given)["kl"]["value"] == pytest.approx(torch.cat(parts).mean().item(), rel=1e-5)


def test_z_is_sampled_as_in_validation():
    """Of a painted pixel p and a frame of x, E (z - x)² is (μ - x)² + σ²."""
    length, sigma = 4000, 0.3
    frames = np.zeros((length, 64, 64, 3), np.uint8)
    mu = np.full((length, 3), 0.5, np.float32)
    given = EncodedFrames(frames, mu, np.full((length, 3), 2 * np.log(sigma), np.float32))
    expected = 12_288 * (0.5**2 + sigma**2)
    found = measure(Painter(), [given])
    assert found["reconstruction"]["value"] == pytest.approx(expected, rel=0.05)
    assert found["reconstruction"]["interval"] is None, "one rollout has none"
    assert measure(Painter(), [given]) == found, "every V meets the same noise"
    assert measure(Painter(), [given], seed=1) != found
