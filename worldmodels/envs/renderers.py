"""The three ways to draw a task: Gymnasium's own, the same pixels sooner, and straight from the physics."""

import functools
from typing import Protocol

import cv2
import numpy as np

from worldmodels.envs.config import EnvConfig
from worldmodels.envs.raster import Canvas
from worldmodels.envs.task import Task
from worldmodels.utils.errors import ConfigError

FRAME_SHAPE = (64, 64, 3)
LARGE_SAMPLES = 2


class Renderer(Protocol):
    """Draws one task."""

    def __init__(self, task: Task, config: EnvConfig) -> None: ...

    def reset(self) -> None:
        """Follow the task's reset."""
        ...

    def frame(self, observation: np.ndarray) -> np.ndarray:
        """What the agent sees now, (64, 64, 3) uint8. At most once a step: a drawing also ages what is only for show,
        such as particles.
        """
        ...

    def picture(self) -> np.ndarray:
        """The last frame as people see it, (H, W, 3) uint8."""
        ...


class GymnasiumRenderer:
    """Gymnasium's picture without its lowest ``crop_bottom`` share, scaled by area averaging."""

    def __init__(self, task: Task, config: EnvConfig) -> None:
        self._task = task
        self._crop_bottom = config.crop_bottom

    def reset(self) -> None: ...

    def frame(self, observation: np.ndarray) -> np.ndarray:
        picture = self._task.picture(observation)
        picture = picture[: round(len(picture) * (1 - self._crop_bottom))]
        return cv2.resize(picture, FRAME_SHAPE[:2], interpolation=cv2.INTER_AREA)

    def picture(self) -> np.ndarray:
        return self._task.large_picture()


class FastRenderer:
    """Draws the task's scene with our own rasteriser, at the size asked for."""

    def __init__(self, task: Task, config: EnvConfig) -> None:
        if task.scene is None:
            raise ConfigError(
                f"env.renderer=fast has no scene for env.name={config.name}: expected a task with one; "
                "use env.renderer=gymnasium, or add a scene to worldmodels/envs/scenes"
            )
        self._scene = task.scene(task.world)
        self._canvas = _canvas(*FRAME_SHAPE[:2], self._scene.samples, 1 - config.crop_bottom)
        self._large = _canvas(*self._scene.large_size, LARGE_SAMPLES, 1.0)

    def reset(self) -> None:
        self._scene.reset()

    def frame(self, observation: np.ndarray) -> np.ndarray:
        self._scene.update()
        return self._scene.draw(self._canvas, large=False)

    def picture(self) -> np.ndarray:
        return self._scene.draw(self._large, large=True)


@functools.lru_cache
def _canvas(height: int, width: int, samples: int, kept: float) -> Canvas:
    """One canvas for all tasks of a process: it stays in the cache, and nothing on it outlives a picture."""
    return Canvas(height, width, samples, kept)


RENDERERS: dict[str, type[Renderer]] = {
    "gymnasium": GymnasiumRenderer,
    "exact": GymnasiumRenderer,  # the task knows what it may leave out
    "fast": FastRenderer,
}
