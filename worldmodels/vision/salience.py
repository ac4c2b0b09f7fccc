"""What is unusual in a frame, and where: pixels whose colour is rare at their position."""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 64
BLOCK = 4  # pixels: colours are counted in blocks of this edge
LEVELS = 8  # of each of red, green and blue
RARE = 0.01  # share at which a colour counts half as unusual
SAMPLE = 20_000  # frames, at most, that are counted
WINDOW = 5  # pixels: the most salient window of this edge is the place
REACH = 9  # pixels: edge of the window whose centre of salience refines the place
ROUNDS = 3  # of refining
SOMETHING = 0.25  # mean salience of the window from which on there is something to look at
GLIMPSE = 12  # pixels: edge of what is looked at closely


def sampled(rollouts: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Every n-th frame of all rollouts in a row, at most ``count``, rollout by rollout: (T, ...) -> (t, ...) each.

    Every rollout's own n-th would show first frames far too often.
    """
    lengths = [len(rollout) for rollout in rollouts]
    every = max(1, math.ceil(sum(lengths) / count))
    for rollout, before in zip(rollouts, itertools.accumulate(lengths, initial=0), strict=False):
        yield rollout[-before % every :: every]


class Fixation(NamedTuple):
    """The most salient place of a frame: ``row`` and ``column`` of its centre in pixels, and the mean salience
    ``strength`` of the window there, 0–1; (B,) each.
    """

    row: Tensor
    column: Tensor
    strength: Tensor

    @property
    def present(self) -> Tensor:
        """1 where there is something to look at, else 0: (B,)."""
        return (self.strength > SOMETHING).float()

    @property
    def position(self) -> Tensor:
        """Row and column in -1 to 1 from edge to edge: (B, 2)."""
        return torch.stack([self.row, self.column], dim=1) * (2 / (SIZE - 1)) - 1


class Salience(nn.Module):
    """Frames (B, 3, 64, 64) in 0–1 -> salience (B, 1, 64, 64) in 0–1: how far a pixel departs from the task's usual
    picture, ε / (ε + p) with ε = `RARE`. 0 is usual; 1 was never seen.

    p is the geometric mean of two shares of its colour: among the pixels seen around its place, and among all. The
    first alone is background subtraction with several backgrounds at each place (Stauffer & Grimson 1999), for which a
    thing is usual where every episode begins; with the second it stays unusual there. Both also suit a moving camera:
    road and grass are usual everywhere, a car in the middle of the picture is half usual. Counts are smoothed over
    neighbouring blocks and colours.
    """

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones((SIZE // BLOCK) ** 2 * LEVELS**3))

    @torch.no_grad()
    def prepare(self, rollouts: Iterable[Tensor]) -> None:
        """Count the colours of ``rollouts``, (T, 64, 64, 3) uint8 each."""
        counts = torch.zeros_like(self.table, device="cpu", dtype=torch.float64)
        for frames in sampled(rollouts, SAMPLE):
            for part in frames.split(1000):
                cells = _cells(part.permute(0, 3, 1, 2).float() / 255)
                counts += torch.bincount(cells.flatten(), minlength=len(counts))
        if total := counts.sum().item():
            blocks = (SIZE // BLOCK) ** 2
            local = _smooth((counts / total * blocks).float()).view(blocks, -1)
            self.table.copy_((RARE / (RARE + (local * local.mean(0)).sqrt())).flatten())

    def forward(self, frames: Tensor) -> Tensor:
        cells = _cells(frames)
        return self.table.index_select(0, cells.flatten()).view(len(frames), 1, SIZE, SIZE)


def _cells(frames: Tensor) -> Tensor:
    """(B, 3, 64, 64) in 0–1 -> (B, 64, 64), the index of each pixel's block and colour in the table."""
    red, green, blue = (frames.float() * 255 + 0.5).to(torch.uint8).div(256 // LEVELS, rounding_mode="floor").unbind(1)
    colour = (red.int() * LEVELS + green) * LEVELS + blue
    block = torch.arange(SIZE, device=frames.device, dtype=torch.int32) // BLOCK
    area = block[:, None] * (SIZE // BLOCK) + block
    return area * LEVELS**3 + colour


def _smooth(share: Tensor) -> Tensor:
    """Each colour's neighbours count half as much for each step away, so do the blocks beside a block."""
    kernel = torch.tensor([0.5, 1.0, 0.5])
    cube = kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :]
    blocks = SIZE // BLOCK
    colours = functional.conv3d(share.view(-1, 1, LEVELS, LEVELS, LEVELS), cube[None, None], padding=1)
    areas = colours.view(blocks, blocks, LEVELS**3).permute(2, 0, 1).unsqueeze(1)
    square = (kernel[:, None] * kernel / 4)[None, None]
    padded = functional.pad(areas, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, square).squeeze(1).permute(1, 2, 0).flatten()


@torch.no_grad()
def fixate(salience: Tensor) -> Fixation:
    """Winner takes all (Itti, Koch & Niebur 1998): the most salient window, and its centre of salience."""
    means = functional.avg_pool2d(salience, WINDOW, 1, WINDOW // 2).squeeze(1)
    strength, pixel = means.flatten(1).max(1)
    row, column = (pixel // SIZE).float(), (pixel % SIZE).float()
    offsets = torch.arange(REACH, device=salience.device) - (REACH - 1) / 2
    for _ in range(ROUNDS):
        window = glimpse(salience, Fixation(row, column, strength), REACH).squeeze(1)
        total = window.sum((1, 2)).clamp(min=1e-6)
        row = row + (window.sum(2) * offsets).sum(1) / total
        column = column + (window.sum(1) * offsets).sum(1) / total
    return Fixation(row, column, strength)


def glimpse(image: Tensor, fixation: Fixation, size: int) -> Tensor:
    """The square of ``size`` pixels about a place, between pixels by interpolation, 0 beyond the edge: (B, C, 64, 64)
    -> (B, C, size, size).
    """
    offsets = torch.arange(size, device=image.device) - (size - 1) / 2
    y, x = ((centre[:, None] + offsets) * 2 / SIZE + 1 / SIZE - 1 for centre in (fixation.row, fixation.column))
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1)
    return functional.grid_sample(image.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
