"""What a frame shows, in a few numbers that nobody labelled: where its most salient thing is, and what it looks like.

The place is that of `worldmodels.vision.salience`; the looks are principal components of a glimpse of it. A linear
read-out of both, and of how they are about to change, is to a controller what a true state would be, and a search in so
few numbers is a short one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from worldmodels.utils.files import replacing
from worldmodels.vision.losses.salient import OUTLINE
from worldmodels.vision.salience import GLIMPSE, Salience, fixate, glimpse

COMPONENTS = 8  # of the glimpse
LEAST = 1e-6  # of the first component's variance: one that has less is 0
AHEAD = 3  # frames in which a change shows
SEEN = 2 + COMPONENTS  # numbers of a frame
READ = 2 * SEEN  # and with their changes


@dataclass(frozen=True)
class Look:
    """Where and what. ``table``: the counts of `Salience`. ``mean`` (G,) and ``components`` (`COMPONENTS`, G) are of
    the glimpse's G = 3 · 12² numbers; a component is scaled to deviation 1, or 0 where nothing varies along it.
    """

    table: np.ndarray
    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def prepare(cls, rollouts: Iterable[np.ndarray]) -> tuple["Look", list[np.ndarray]]:
        """Count the usual colours of these frames, (T, 64, 64, 3) uint8 of each rollout, and look at what is not: what
        each of them shows, (T, `SEEN`), is the second value.
        """
        kept = [torch.from_numpy(frames) for frames in rollouts]
        salience = Salience()
        salience.prepare(kept)
        places, glimpses = zip(*(_glimpses(salience, frames) for frames in kept), strict=True)
        known = np.concatenate(glimpses).astype(np.float64)
        known = known[~np.isnan(known[:, 0])]
        if len(known) == 0:  # nothing is unusual: no component tells anything
            known = np.zeros((1, 3 * GLIMPSE**2))
        mean = known.mean(0)
        variances, vectors = np.linalg.eigh((known - mean).T @ (known - mean) / len(known))
        chosen = vectors[:, ::-1][:, :COMPONENTS].T
        chosen *= np.sign(chosen[np.arange(COMPONENTS), np.abs(chosen).argmax(1)])[:, None]  # one of two directions
        along = variances[::-1][:COMPONENTS, None]
        varies = along > max(LEAST * along[0, 0], 1e-12)  # the others would be noise, blown up
        scaled = np.where(varies, chosen / np.sqrt(np.where(varies, along, 1.0)), 0.0)
        look = cls(salience.table.numpy(), mean, np.ascontiguousarray(scaled))
        return look, [look._numbers(*pair) for pair in zip(places, glimpses, strict=True)]

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """frames: (T, 64, 64, 3) uint8 -> (T, `SEEN`): row and column in -1 to 1, then the components; NaN where
        nothing is salient.
        """
        salience = Salience()
        salience.table.copy_(torch.from_numpy(self.table))
        return self._numbers(*_glimpses(salience, torch.from_numpy(frames)))

    def _numbers(self, places: np.ndarray, glimpses: np.ndarray) -> np.ndarray:
        return np.concatenate([places, (glimpses - self.mean) @ self.components.T], axis=1)

    def save(self, path: Path) -> None:
        with replacing(path) as partial:
            save_file({name: np.ascontiguousarray(values) for name, values in vars(self).items()}, partial)

    @classmethod
    def load(cls, path: Path) -> "Look":
        return cls(**load_file(path))


def changes(seen: np.ndarray) -> np.ndarray:
    """By how much each number is another one `AHEAD` frames later: (T, N) -> (T, N), NaN where that is not known."""
    ahead = np.full_like(seen, np.nan)
    ahead[:-AHEAD] = seen[AHEAD:]
    return ahead - seen


@torch.inference_mode()
def _glimpses(salience: Salience, frames: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Places (T, 2) and glimpses (T, G) of frames (T, 64, 64, 3); NaN where nothing is salient."""
    places, glimpses = [], []
    for part in frames.split(500):
        pixels = part.permute(0, 3, 1, 2).float() / 255
        unusual = salience(pixels)
        fixation = fixate(unusual)
        hidden = torch.where(fixation.present.bool(), 0.0, torch.nan)[:, None]
        places.append(fixation.position + hidden)
        glimpses.append(glimpse(pixels * unusual**OUTLINE, fixation, GLIMPSE).flatten(1) + hidden)
    return torch.cat(places).numpy(), torch.cat(glimpses).numpy()
