"""Salience against a recount pixel by pixel, and where it is found and shown against squares of known place."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from worldmodels.vision.salience import GLIMPSE, Fixation, Salience, fixate, glimpse, sampled
from worldmodels.vision.scaling import to_unit


def counted(*rollouts: Tensor) -> Salience:
    salience = Salience()
    salience.prepare(rollouts)
    return salience


def square(row: float, column: float, edge: float = 3.0, level: float = 1.0) -> Tensor:
    """A square about a place, in any part of a pixel as much as it covers of it: (1, 1, 64, 64)."""
    pixels = torch.arange(64)
    sides = [
        (torch.minimum(pixels + 0.5, torch.tensor(place + edge / 2)) - (pixels - 0.5).clamp(min=place - edge / 2))
        for place in (row, column)
    ]
    return level * torch.outer(*(side.clamp(min=0) for side in sides))[None, None]


def at(*places: tuple[float, float]) -> Fixation:
    row, column = torch.tensor(places).float().T
    return Fixation(row, column, torch.ones(len(places)))


def test_salience_is_that_of_a_recount_pixel_by_pixel() -> None:
    """Of each pixel asked for, the colours of all blocks are compared with its own, one at a time. A step to a
    neighbour, of colour or block, halves what a pixel counts; a block beyond the edge is the one at it. What counts is
    the geometric mean of its own block and of all.
    """
    rng = np.random.default_rng(0)
    seen = rng.choice(np.array([0, 31, 32, 100, 130, 255], np.uint8), (3, 64, 64, 3))
    asked = rng.choice(np.array([0, 40, 70, 101, 150, 255], np.uint8), (2, 64, 64, 3))
    asked[0, 20:40] = seen[1, 20:40]
    got = counted(*torch.from_numpy(seen).split([1, 2]))(to_unit(torch.from_numpy(asked)))
    assert got.shape == (2, 1, 64, 64) and got.dtype == torch.float32
    blocks = seen.reshape(3, 16, 4, 16, 4, 3).transpose(1, 3, 0, 2, 4, 5).reshape(16, 16, -1, 3) // 32
    places = [(0, 0), (63, 63), (0, 63), (30, 0), *map(tuple, rng.integers(0, 64, (60, 2)))]
    for frame, (y, x) in itertools.product(range(2), places):
        steps = np.abs(blocks.astype(int) - asked[frame, y, x] // 32)
        alike = np.pad(np.where(steps.max(-1) <= 1, 0.5 ** steps.sum(-1), 0).mean(-1), 1, mode="edge")
        share = np.zeros((16, 16))
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            share += alike[1 + down : 17 + down, 1 + right : 17 + right] * 0.5 ** (abs(down) + abs(right)) / 4
        usual = math.sqrt(share[y // 4, x // 4] * share.mean())
        assert got[frame, 0, y, x].item() == pytest.approx(0.01 / (0.01 + usual), rel=1e-4)


def test_frames_are_sampled_evenly_however_short_the_rollouts() -> None:
    frames = torch.arange(1000)
    for lengths in ([3] * 100, [1, 250, 7], [10], [40, 0, 13]):
        rollouts = frames[: sum(lengths)].split(lengths)
        for count in (7, 60, 1000):
            every = max(1, math.ceil(sum(lengths) / count))
            assert torch.cat(list(sampled(rollouts, count))).tolist() == list(range(0, sum(lengths), every))


def test_what_was_never_seen_is_salient_and_what_was_always_seen_is_not() -> None:
    """A colour's usual place is its own: red below is unusual where only above was red."""
    seen = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    seen[:, :32, :, 0] = 200
    asked = seen[:1].clone()
    asked[:, 10, 10] = asked[:, 50, 50] = 255
    asked[:, 60, 5, 0] = 200
    salience = counted(seen)(to_unit(asked))[0, 0]
    new = torch.zeros(64, 64, dtype=torch.bool)
    new[10, 10] = new[50, 50] = new[60, 5] = True
    assert salience[new].tolist() == [1.0, 1.0, 1.0]
    assert salience[~new].max() < 0.03
    assert Salience()(to_unit(asked)).unique().tolist() == [1.0], "before counting everything is new"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_256_levels_are_found_again(dtype: torch.dtype) -> None:
    """A table that holds each cell's own number tells which one is read, level by level, in each colour."""
    levels = torch.arange(256, dtype=torch.uint8)
    salience = Salience()
    salience.table.copy_(torch.arange(len(salience.table)))
    for colour, step in enumerate((64, 8, 1)):
        frames = torch.zeros(256, 64, 64, 3, dtype=torch.uint8)
        frames[..., colour] = levels[:, None, None]
        got = salience(to_unit(frames).to(dtype))[:, 0, 0, 0]
        assert torch.equal(got, (levels // 32).float() * step)


@pytest.mark.parametrize(
    ("row", "column"),
    [(30, 30), (31.5, 20.25), (12.8, 50.37), (1, 1), (1.3, 61.6), (62, 40.5), (33.3, 62), (62, 62)],
)
@pytest.mark.parametrize("edge", [3.0, 3.4])
def test_a_square_is_found_to_a_third_of_a_pixel_also_at_the_edge(row: float, column: float, edge: float) -> None:
    found = fixate((square(row, column, edge) + 0.003).clamp(max=1))
    assert found.row.shape == found.column.shape == found.present.shape == (1,)
    assert found.present.item() == 1
    assert found.row.item() == pytest.approx(row, abs=0.3)
    assert found.column.item() == pytest.approx(column, abs=0.3)
    assert found.position[0].tolist() == pytest.approx([row / 31.5 - 1, column / 31.5 - 1], abs=0.01)


def test_the_more_salient_of_two_wins_frame_by_frame_and_nothing_is_not_there() -> None:
    first = square(10, 12, level=0.9) + square(40, 50, level=0.7)
    other = square(10, 12, level=0.6) + square(40, 50, level=0.7)
    found = fixate(torch.cat([first, torch.full((1, 1, 64, 64), 0.05), other, torch.zeros(1, 1, 64, 64)]))
    assert found.present.tolist() == [1, 0, 1, 0]
    assert found.row[[0, 2]].tolist() == pytest.approx([10, 40], abs=1e-3)
    assert found.column[[0, 2]].tolist() == pytest.approx([12, 50], abs=1e-3)
    torch.testing.assert_close(found.strength, torch.tensor([0.9 * 9 / 25, 0.05, 0.7 * 9 / 25, 0.0]))
    assert found.position.isfinite().all()


@pytest.mark.parametrize("size", [9, GLIMPSE])
@pytest.mark.parametrize("places", [[(30, 20)], [(0, 0), (63, 63), (3, 60), (31, 31)]])
def test_a_glimpse_is_a_slice_of_the_frame_in_black_and_halfway_the_mean_of_two(
    size: int, places: list[tuple[int, int]]
) -> None:
    """An even square has its middle between two pixels."""
    image = torch.rand(len(places), 3, 64, 64, generator=torch.Generator().manual_seed(0))
    framed = torch.nn.functional.pad(image, (16, 16, 16, 16))
    half = 0.5 - size % 2 / 2

    def sliced(down: int, right: int) -> Tensor:
        first = 16 - (size - 1) // 2
        rows = [(first + row + down, first + column + right) for row, column in places]
        return torch.stack([framed[i, :, y : y + size, x : x + size] for i, (y, x) in enumerate(rows)])

    def seen(down: float, right: float) -> Tensor:
        return glimpse(image, at(*((row + half + down, column + half + right) for row, column in places)), size)

    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(seen(0, 0), sliced(0, 0), **close)
    torch.testing.assert_close(seen(0.5, 0), (sliced(0, 0) + sliced(1, 0)) / 2, **close)
    torch.testing.assert_close(seen(0, 0.5), (sliced(0, 0) + sliced(0, 1)) / 2, **close)
