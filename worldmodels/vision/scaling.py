"""Between stored frames and what the networks see."""

import torch
from torch import Tensor


def to_unit(frames: Tensor) -> Tensor:
    """uint8 (..., 64, 64, 3) -> float32 (..., 3, 64, 64) in 0–1. The memory stays in channels-last order."""
    return frames.movedim(-1, -3).to(torch.float32) / 255


def to_pixels(frames: Tensor) -> Tensor:
    """Inverse of `to_unit`, rounded: float (..., 3, 64, 64) -> uint8 (..., 64, 64, 3)."""
    return (frames.float().movedim(-3, -1).clamp(0, 1) * 255).round().to(torch.uint8)
