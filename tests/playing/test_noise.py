"""The generator that JavaScript shares; `test_export` has both draw the same."""

import numpy as np
import pytest
from scipy import stats

from worldmodels.playing.noise import Noise, mixed

COUNT = 20_000


def test_the_finaliser_is_that_of_murmurhash3():
    """Its published step on three numbers, computed by hand with Python's integers."""
    for x in (1, 0xDEADBEEF, 0xFFFFFFFF):
        h = x
        h = (h ^ (h >> 16)) * 0x85EBCA6B % 2**32
        h = (h ^ (h >> 13)) * 0xC2B2AE35 % 2**32
        assert mixed(np.array([x], np.uint32)).tolist() == [h ^ (h >> 16)]


def test_small_seeds_begin_with_usual_numbers():
    """The finaliser of 0 is 0, of which a normal number of size 5.8 would be made."""
    assert max(np.abs(Noise(seed).standard_normal(32)).max() for seed in range(21)) < 4


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_numbers_are_distributed_as_they_should_be(seed):
    uniform, normal = Noise(seed).random(COUNT), Noise(seed).standard_normal(COUNT, np.float32)
    assert uniform.min() >= 0 and uniform.max() < 1 and normal.dtype == np.float32
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    assert stats.kstest(normal, "norm").pvalue > 0.01
    for numbers in (uniform, normal):
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(uniform, Noise(seed + 1).random(COUNT))[0, 1]) < 0.02


def test_numbers_come_one_after_the_other_however_they_are_asked_for():
    """In the ways in which a dream asks NumPy's generators."""
    one, other = Noise(7), Noise(7)
    drawn = np.empty(5, np.float32)
    one.random(out=drawn, dtype=np.float32)
    assert [other.random() for _ in range(5)] == drawn.tolist()
    assert one.integers(1) == 0
    one.standard_normal(out=drawn, dtype=np.float32)
    assert np.array_equal(other.standard_normal(5, np.float32), drawn)
    assert one.random() == other.random()
    assert {one.integers(3) for _ in range(50)} == {0, 1, 2}
