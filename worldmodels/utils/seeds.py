"""Explicit random streams: one seed, an independent stream for every use (`numpy.random.SeedSequence`)."""

import numpy as np
import torch

STREAMS = ("collect", "vision", "memory", "controller", "evaluate", "transfer", "figures", "heldout")


def sequence(seed: int, stream: str, *keys: int) -> np.random.SeedSequence:
    """Seed sequence of ``stream``; ``keys`` (an epoch, a rollout's number) select an independent child."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(STREAMS.index(stream), *keys))


def generator(seed: int, stream: str, *keys: int) -> np.random.Generator:
    """NumPy generator of a stream's child."""
    return np.random.default_rng(sequence(seed, stream, *keys))


def torch_generator(seed: int, stream: str, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Torch generator of a stream's child, on ``device``."""
    state = int(sequence(seed, stream, *keys).generate_state(1, np.uint64)[0])
    return torch.Generator(device=device).manual_seed(state & (2**63 - 1))


def episode_seed(seed: int, stream: str, *keys: int) -> int:
    """Seed in [0, 2⁵²) for ``env.reset``. Its lowest three bits name the stream, so an episode of one stream never
    occurs in another: no agent is scored on an episode that any run, of any seed, has trained on.
    """
    assert len(STREAMS) <= 8
    bits = int(sequence(seed, stream, *keys).generate_state(1, np.uint64)[0])
    return (bits >> 15 << 3) | STREAMS.index(stream)
