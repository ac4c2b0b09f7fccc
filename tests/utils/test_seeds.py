"""Random streams: repeatable, independent, and no episode of one stream in another."""

import numpy as np
import pytest
import torch

from worldmodels.utils.seeds import STREAMS, episode_seed, generator, sequence, torch_generator


def words(seed: int, stream: str, *keys: int) -> tuple[int, ...]:
    return tuple(generator(seed, stream, *keys).integers(2**63, size=2).tolist())


def test_a_stream_repeats_and_does_not_depend_on_others() -> None:
    first = words(3, "memory", 1, 2)
    for stream in STREAMS:
        words(3, stream)
    assert words(3, "memory", 1, 2) == first


def test_streams_are_the_spawned_children_of_one_seed_sequence() -> None:
    for stream, child in zip(STREAMS, np.random.SeedSequence(7).spawn(len(STREAMS)), strict=True):
        expected = np.random.default_rng(child.spawn(3)[2]).random(4)
        np.testing.assert_array_equal(generator(7, stream, 2).random(4), expected)


def test_seed_stream_and_every_key_matter() -> None:
    drawn = [
        words(seed, stream, *keys) for seed in (0, 1) for stream in STREAMS for keys in ((), (0,), (1,), (0, 1), (1, 0))
    ]
    assert len(set(drawn)) == len(drawn)


def test_torch_generators_repeat_and_differ() -> None:
    def draw(*key: int) -> list[float]:
        return torch.rand(3, generator=torch_generator(0, "vision", *key)).tolist()

    assert draw(0, 5) == draw(0, 5)
    values = [tuple(draw(0, step)) for step in range(200)]
    assert len(set(values)) == 200
    assert abs(np.mean(values) - 0.5) < 5 / np.sqrt(12 * 600)


def test_torch_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    torch_generator(0, "figures")
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_stream_is_an_error() -> None:
    with pytest.raises(ValueError):
        sequence(0, "nothing")


def test_no_stream_meets_an_episode_of_another_whatever_the_seeds() -> None:
    episodes = {s: {episode_seed(seed, s, i) for seed in range(20) for i in range(50)} for s in STREAMS}
    for stream, seeds in episodes.items():
        assert all(0 <= value < 2**52 for value in seeds)
        assert len(seeds) == 1000, f"episodes of {stream} repeat"
        for other in STREAMS:
            assert other == stream or not seeds & episodes[other]


def test_episode_seeds_of_one_stream_spread_over_their_range() -> None:
    seeds = np.array([episode_seed(0, "collect", i) for i in range(4000)])
    assert len(np.unique(seeds & 7)) == 1, "the lowest three bits name the stream"
    counts, _ = np.histogram(seeds, bins=8, range=(0, 2**52))
    assert ((counts - 500) ** 2 / 500).sum() < 24.3  # χ², df = 7, 99.9 %
