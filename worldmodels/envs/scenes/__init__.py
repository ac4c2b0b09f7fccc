"""What each task shows, as shapes for the rasteriser."""

from typing import Any, Protocol

import numpy as np

from worldmodels.envs.raster import Canvas


class Scene(Protocol):
    """A task's picture. ``reset`` follows the task's own reset; ``update`` comes before a drawing of another moment."""

    @property
    def samples(self) -> int:
        """Along each side of an agent's pixel."""
        ...

    @property
    def large_size(self) -> tuple[int, int]:
        """Height and width of the task's own picture."""
        ...

    def __init__(self, world: Any) -> None: ...

    def reset(self) -> None: ...

    def update(self) -> None: ...

    def draw(self, canvas: Canvas, large: bool) -> np.ndarray:
        """The picture, (height, width, 3) uint8 as the canvas is; ``large`` is the one for people."""
        ...
