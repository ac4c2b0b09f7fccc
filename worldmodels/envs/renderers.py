"""The three ways to draw a task: Gymnasium's own, the same pixels sooner, and straight from the physics."""

import functools
from typing import Any, Protocol

import cv2
import numpy as np

from worldmodels.envs.config import EnvConfig
from worldmodels.envs.raster import Canvas
from worldmodels.envs.registry import registered
from worldmodels.envs.task import Task, task_class
from worldmodels.utils.errors import ConfigError

FRAME_SHAPE = (64, 64, 3)
LARGE_SAMPLES = 2


class Renderer(Protocol):
    """Draws one task."""

    def __init__(self, task: Task, config: EnvConfig) -> None: ...

    def reset(self) -> None:
        """Follow the task's reset."""
        ...

    def frame(self, observation: Any) -> np.ndarray:
        """What the agent sees now, (64, 64, 3) uint8. At most once a step: a drawing also ages what is only for show,
        such as particles.
        """
        ...

    def picture(self) -> np.ndarray:
        """The last frame as people see it, (H, W, 3) uint8."""
        ...


class GymnasiumRenderer:
    """The task's picture, or the window that ``env.view`` asks for, without its lowest ``crop_bottom`` share, scaled by
    area averaging; grey becomes RGB.
    """

    def __init__(self, task: Task, config: EnvConfig) -> None:
        self._task, self._config = task, config
        self._follows, self._crop_bottom = config.view == "follow", config.crop_bottom

    def reset(self) -> None: ...

    def frame(self, observation: Any) -> np.ndarray:
        picture = self._task.picture(observation)
        _check(picture, self._task.source, self._config)
        if self._follows:
            window = self._task.window()
            window.require_within(picture.shape[:2])
            picture = window.cut(picture)
        picture = picture[: round(len(picture) * (1 - self._crop_bottom))]
        return _rgb(cv2.resize(picture, FRAME_SHAPE[:2], interpolation=cv2.INTER_AREA))

    def picture(self) -> np.ndarray:
        return _rgb(self._task.large_picture())


def _check(picture: np.ndarray, source: str, config: EnvConfig) -> None:
    """Raise `ConfigError` unless it is (H, W, 3), (H, W, 1) or (H, W) uint8."""
    channels = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3))
    if picture.dtype == np.uint8 and channels and picture.size:
        return
    got = "nothing" if picture.ndim == 0 else f"{picture.dtype} of shape {picture.shape}"
    raise ConfigError(
        f"env.picture={config.picture} takes the picture from {source}, which is {got} with env.id={config.id}: "
        "expected uint8 of shape (H, W, 3), (H, W, 1) or (H, W); set env.picture to render, observation or a key of "
        "the observation, or have the task's render() give rgb_array"
    )


def _rgb(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3), (H, W, 1) or (H, W) -> (H, W, 3)."""
    if picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    return np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)


class FastRenderer:
    """Draws the task's scene with our own rasteriser, at the size asked for."""

    def __init__(self, task: Task, config: EnvConfig) -> None:
        if task.scene is None:
            raise ConfigError(
                f"env.renderer=fast has no scene for env.name={config.name}: expected a task with one; "
                "use env.renderer=auto, or give env.task a class with a scene"
            )
        if config.picture != "auto":
            raise ConfigError(
                f"env.renderer=fast draws its own picture and takes none from env.picture={config.picture}: expected "
                "env.picture=auto; or use env.renderer=auto"
            )
        self._task, self._follows = task, config.view == "follow"
        self._scene = task.scene(task.world)
        self._canvas = _canvas(*FRAME_SHAPE[:2], self._scene.samples, 1 - config.crop_bottom)
        self._large = _canvas(*self._scene.large_size, LARGE_SAMPLES, 1.0)

    def reset(self) -> None:
        self._scene.reset()

    def frame(self, observation: Any) -> np.ndarray:
        self._scene.update()
        self._canvas.show(self._part() if self._follows else None)  # other tasks draw on it too
        return self._scene.draw(self._canvas, large=False)

    def picture(self) -> np.ndarray:
        return self._scene.draw(self._large, large=True)

    def _part(self) -> tuple[float, float, float, float]:
        """The task's window, as shares of its picture."""
        height, width = self._scene.large_size
        window = self._task.window()
        window.require_within((height, width))
        return window.left / width, window.top / height, window.width / width, window.height / height


@functools.lru_cache
def _canvas(height: int, width: int, samples: int, visible_share: float) -> Canvas:
    """One canvas for all tasks of a process. It stays in the cache; every picture is drawn anew."""
    return Canvas(height, width, samples, visible_share)


RENDERERS: dict[str, type[Renderer]] = {
    "gymnasium": GymnasiumRenderer,
    "exact": GymnasiumRenderer,  # the task knows what it may leave out
    "fast": FastRenderer,
}


def drawn_by(config: EnvConfig) -> str:
    """Whose pictures a task has: ``fast``, or ``gymnasium``, whose pixels ``exact`` gives too."""
    if config.renderer == "auto":
        return "fast" if task_class(config).scene is not None and config.picture == "auto" else "gymnasium"
    return "fast" if config.renderer == "fast" else "gymnasium"


def make_renderer(task: Task, config: EnvConfig) -> Renderer:
    """The renderer that ``env.renderer`` names. Raises `ConfigError`."""
    name = drawn_by(config) if config.renderer == "auto" else config.renderer
    return RENDERERS[name](task, config)


def rollout_libraries(config: EnvConfig) -> list[str]:
    """The packages whose versions rollouts depend on, but for those that the task's classes name themselves."""
    scene = task_class(config).scene
    if drawn_by(config) == "fast":
        return ["gymnasium", "numpy", "numba", *getattr(scene, "libraries", ())]
    gymnasiums = str(registered(config).entry_point).startswith("gymnasium.")
    draws = gymnasiums and config.picture in ("auto", "render")
    return ["gymnasium", "numpy", "opencv-python-headless", *(["pygame-ce"] if draws else ())]
