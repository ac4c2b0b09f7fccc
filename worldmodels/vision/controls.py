"""Controls of V's training: frames from which nothing about the task can be learnt, or nothing about shapes."""

from pathlib import Path

import numpy as np

from worldmodels.rollouts.storage import RolloutStore
from worldmodels.utils.seeds import generator


def frame_store(folder: Path, kind: str, seed: int) -> RolloutStore:
    """The rollouts of a folder; their frames as they are (``real``), or in place of each ``noise`` or the same pixels
    ``shuffled``.
    """
    return RolloutStore(folder) if kind == "real" else ControlFrames(folder, kind, seed)


class ControlFrames(RolloutStore):
    """Rollouts whose frames are something else, made anew at every reading and always the same for the same seed.

    ``noise``: every value uniform in 0–255. ``shuffled``: the pixels of a frame change places, by a permutation of each
    frame's own: colours and their shares stay, structure and what is alike in neighbouring frames are gone.
    """

    def __init__(self, folder: Path, kind: str, seed: int) -> None:
        super().__init__(folder)
        self.kind, self.seed = kind, seed

    def read(self, rollout: int, name: str, where: slice | np.ndarray = slice(None)) -> np.ndarray:
        """As `RolloutStore.read`."""
        if name != "frames":
            return super().read(rollout, name, where)
        frames, rng = super().read(rollout, name), generator(self.seed, "vision", 7, rollout)
        if self.kind == "noise":
            return rng.integers(0, 256, frames.shape, dtype=np.uint8)[where]
        pixels = frames.reshape(len(frames), -1, 3)
        return np.stack([rng.permutation(frame) for frame in pixels]).reshape(frames.shape)[where]
