"""A window of a task's picture: what the agent sees with ``env.view=follow``."""

from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """A rectangle in whole pixels of the task's picture, from its upper left corner."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, column: float, row: float, side: int, picture: tuple[int, int]) -> "Window":
        """A square around a point, moved no further than into a picture of (height, width)."""
        height, width = picture
        left, top = round(column - side / 2), round(row - side / 2)
        return cls(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """What it shows of a picture, without copying: (H, W, …) -> (height, width, …)."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]
