"""Random numbers that a page's JavaScript and Python draw alike: the same dream in both for the same seed.

Number i of a seed is MurmurHash3's finaliser (Appleby 2011) of s + i · 0x9E3779B9 modulo 2³², where s is that of the
seed XOR 0x6A09E667: a generator that counts, as Steele, Lea & Flood's (2014), with the 32 bits that JavaScript can
multiply. All seeds walk one cycle of 2³² numbers, each from another place. The upper 24 bits of a number make a uniform
one, two of these a normal one (Box & Muller 1958).
"""

from typing import Any

import numpy as np

CHANGES_RESULTS = False
STEP = np.uint32(0x9E3779B9)
SALT = 0x6A09E667  # the finaliser of 0 is 0, with which no usual seed shall begin
SMALLEST = 2.0**-24


def mixed(x: np.ndarray) -> np.ndarray:
    """MurmurHash3's finaliser: uint32 -> uint32."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


class Noise:
    """What a dream needs of `numpy.random.Generator`. ``seed`` counts modulo 2³²."""

    def __init__(self, seed: int) -> None:
        self._origin = mixed(np.array([seed % 2**32 ^ SALT], np.uint32))
        self._drawn = 0

    def _uniform(self, count: int) -> np.ndarray:
        """In [0, 1), multiples of 2⁻²⁴: float64, which float32 holds exactly."""
        places = np.arange(self._drawn, self._drawn + count, dtype=np.uint64).astype(np.uint32)
        self._drawn += count
        return (mixed(self._origin + places * STEP) >> np.uint32(8)) * SMALLEST

    def random(self, size: int | None = None, dtype: Any = np.float64, out: np.ndarray | None = None) -> Any:
        """Uniform in [0, 1)."""
        drawn = self._uniform(size or (1 if out is None else out.size))
        return _given(drawn, size, dtype, out)

    def standard_normal(self, size: int | None = None, dtype: Any = np.float64, out: np.ndarray | None = None) -> Any:
        """Normal, of two uniform numbers each."""
        radius, angle = self._uniform(2 * (size or (1 if out is None else out.size))).reshape(-1, 2).T
        drawn = np.sqrt(-2 * np.log(radius + SMALLEST)) * np.cos(2 * np.pi * angle)
        return _given(drawn, size, dtype, out)

    def integers(self, high: int) -> int:
        """Uniform from 0 to below ``high``; of one, nothing is drawn."""
        return int(self.random() * high) if high > 1 else 0


def _given(drawn: np.ndarray, size: int | None, dtype: Any, out: np.ndarray | None) -> Any:
    if out is not None:
        out[...] = drawn
        return out
    return float(drawn[0]) if size is None else drawn.astype(dtype)
