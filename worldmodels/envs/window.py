"""A window of a task's picture: what the agent sees with ``env.view=follow``."""

from typing import NamedTuple

import numpy as np

from worldmodels.utils.checks import require


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

    def require_within(self, picture: tuple[int, int]) -> None:
        """Raise `ConfigError` where it reaches beyond a picture of (height, width), or shows nothing of it."""
        height, width = picture
        require(
            0 <= self.left < self.left + self.width <= width and 0 <= self.top < self.top + self.height <= height,
            f"env.view=follow has {self} on a picture of {width}×{height}: expected a window within it; see the task's "
            "window()",
        )

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """What it shows of a picture, without copying: (H, W, …) -> (height, width, …)."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]
