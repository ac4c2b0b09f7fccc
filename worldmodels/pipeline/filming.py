"""The film of an episode, for people: the task, what the agent sees, V's reconstruction, the score and the actions."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file

from worldmodels.config import Config
from worldmodels.controller.agent import Agent
from worldmodels.controller.policy import agent_parameters
from worldmodels.envs import PixelEnv, TaskSpec, make_env
from worldmodels.envs.keys import ACTIONS, KEYS
from worldmodels.rollouts.executor import one_thread
from worldmodels.store.journal import Journal
from worldmodels.transfer.weights import left_out
from worldmodels.utils import interrupts, media
from worldmodels.utils.disk import writing
from worldmodels.utils.errors import Failure
from worldmodels.vision.scaling import to_pixels

CHANGES_RESULTS = False  # shows what is done
log = logging.getLogger(__name__)
Seen = TypeVar("Seen")
FILM = "episode.mp4"
FPS = 25  # pictures cost as much as the task itself
SECONDS = 6.0  # that a film takes at least: an episode of a second is shown slowly
SLOWEST = 4.0  # pictures a second
GIF_FRAMES = 120
HEIGHT, GIF_HEIGHT = 256, 128  # of a picture of the film
TITLE = 24  # pixels above the pictures
ROW = 22  # pixels of an action below them
TITLES = ("the task", "what the agent sees", "V's reconstruction")
INK, GROUND, FILL, EMPTY = (20, 20, 20), (255, 255, 255), (0, 114, 178), (228, 228, 228)


def there(folder: Path) -> bool:
    """Whether a folder has a whole film."""
    return media.playable(folder / FILM)


def try_film(
    config: Config,
    seed: int,
    vision: Path | None,
    memory: Path | None,
    controller: Path,
    journal: Journal,
    lock: AbstractContextManager,
) -> None:
    """`film` under ``lock``, unless there is a whole one. A film that fails is a warning: the score stands."""
    try:
        with writing(f"the film {FILM}", journal.folder), lock:
            if not there(journal.folder):
                log.info("  filming an episode")
                film(config, seed, vision, memory, controller, journal)
    except Exception as error:
        interrupts.check()
        if isinstance(error, Failure):
            log.warning("no film, and the score stands: %s", error)
        else:
            log.warning("no film, and the score stands", exc_info=error)


def film(
    config: Config, seed: int, vision: Path | None, memory: Path | None, controller: Path, journal: Journal
) -> None:
    """Record the episode of a ``seed`` as mp4 and GIF: the task, the frame the agent sees and, where V has its decoder,
    V's reconstruction of it; above them what they are, below them the step, the score and the action as bars.
    """
    with one_thread(), torch.inference_mode():  # as it was scored, bit for bit
        pictures, fps = _play(config, seed, vision, memory, agent_parameters(load_file(controller)))
    fps = shown_at(len(pictures), fps)
    _animate(journal, "episode", config.evaluate.episodes, pictures, GIF_HEIGHT / HEIGHT, fps)
    media.write_mp4(journal.folder / FILM, pictures, fps)  # last: where it is, all of it is


def film_mean(
    config: Config,
    seed: int,
    vision: Path | None,
    memory: Path | None,
    parameters: np.ndarray,
    journal: Journal,
    generation: int,
) -> None:
    """Record an episode of the search's mean as a GIF of what it sees. One that fails is a warning."""
    with journal.drawing("the search's mean"), one_thread(), torch.inference_mode():
        env = make_env(config.env)
        try:
            spec = env.task_spec
            agent = _agent(config, spec, vision, memory, parameters)
            frames = [seen for seen, _, _ in _steps(env, agent, seed, lambda step, frame: frame)]
        finally:
            env.close()
        _animate(journal, "film", generation, frames, GIF_HEIGHT / frames[0].shape[0], shown_at(len(frames), spec.fps))


def _animate(journal: Journal, tag: str, step: int, pictures: Sequence[np.ndarray], scale: float, fps: float) -> None:
    """A GIF of some of the pictures, in another size."""
    every = -(-len(pictures) // GIF_FRAMES)
    small = [media.beside([picture], height=round(picture.shape[0] * scale)) for picture in pictures[::every]]
    journal.animation(tag, step, small, fps / every)


def shown_at(count: int, fps: float) -> float:
    """Pictures a second of a film of ``count``: those of the task, or fewer, so that there is time to watch it."""
    return max(min(fps, SLOWEST), min(fps, count / SECONDS))


def _play(
    config: Config, seed: int, vision: Path | None, memory: Path | None, parameters: np.ndarray
) -> tuple[list[np.ndarray], float]:
    """The pictures of an episode, and how many of them are a second of the task."""
    decodes = vision is not None and not left_out(vision)
    env = make_env(config.env, max_steps=config.evaluate.max_steps, pictures=True)
    try:
        spec = env.task_spec
        agent = _agent(config, spec, vision, memory, parameters)
        skip = max(1, round(spec.fps / FPS))

        def look(step: int, frame: np.ndarray) -> list[np.ndarray] | None:
            if step % skip:
                return None
            decoded = [to_pixels(agent.vision.decode(agent.z))[0].numpy()] if decodes else []
            return [env.render(), frame, *decoded]

        pictures, score = [], 0.0
        for step, (seen, action, reward) in enumerate(_steps(env, agent, seed, look), start=1):
            score += reward
            if seen is not None:
                pictures.append(picture(seen, step, score, action, spec))
    finally:
        env.close()
    return pictures, spec.fps / skip


def _agent(config: Config, spec: TaskSpec, vision: Path | None, memory: Path | None, parameters: np.ndarray) -> Agent:
    agent = Agent(config, spec, vision, memory)
    agent.begin(0, parameters)
    return agent


def _steps(
    env: PixelEnv, agent: Agent, seed: int, look: Callable[[int, np.ndarray], Seen]
) -> Iterator[tuple[Seen, np.ndarray, float]]:
    """What ``look`` gives of each step's number and frame, once the agent has seen it; the action; its reward."""
    frame, _ = env.reset(seed=seed)
    step, done = 0, False
    while not done:
        known = [env.known()[None]] if agent.knows else []
        action = agent.act([0], frame[None], *known)[0]
        seen = look(step, frame)
        frame, reward, terminated, truncated, _ = env.step(action)
        yield seen, action, reward
        step, done = step + 1, terminated or truncated


def picture(seen: Sequence[np.ndarray], step: int, score: float, action: np.ndarray, spec: TaskSpec) -> np.ndarray:
    """A picture of the film (H, W, 3), both even. ``seen``: (H, W, 3) each, as in `TITLES`."""
    row = media.beside(seen, height=HEIGHT)
    names = action_names(spec.name, len(action))
    sheet = Image.new("RGB", (row.shape[1], TITLE + HEIGHT + ROW * (len(action) + 1) + 2), GROUND)
    sheet.paste(Image.fromarray(row), (0, TITLE))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    left = 0
    for image, title in zip(seen, TITLES, strict=False):
        pen.text((left + 2, 3), title, INK, font)
        left += round(image.shape[1] * HEIGHT / image.shape[0]) + 4  # as `media.beside` sets them
    top = TITLE + HEIGHT + 3
    pen.text((2, top), f"step {step:,}    score {score:,.1f}", INK, font)
    for index, (name, value) in enumerate(zip(names, action, strict=True)):
        low, high = float(spec.action_low[index]), float(spec.action_high[index])
        _bar(pen, font, (2, top + ROW * (index + 1)), name, float(value), low, high, sheet.width)
    image = np.asarray(sheet)
    return image[: len(image) // 2 * 2]


def action_names(task: str, size: int) -> Sequence[str]:
    """What the numbers of an action are called."""
    if len(known := ACTIONS.get(task, ())) == size:
        return known
    for keys in KEYS.get(task, []):  # of a choice they are its options
        options = {option: words for words, option in keys.held.values() if isinstance(option, int)}
        if options and max(options) < size:
            return [options.get(i, f"option {i}") for i in range(size)]
    return [f"action {i + 1}" for i in range(size)]


def _bar(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    corner: tuple[int, int],
    name: str,
    value: float,
    low: float,
    high: float,
    width: int,
) -> None:
    """An action's number as a bar from 0, or from its lowest value, on what it may be."""
    x, y = corner
    first, last = x + 100, min(width - 70, x + 420)
    share = (last - first) / (high - low)
    zero = first + share * (min(max(0.0, low), high) - low)
    end = first + share * (min(max(value, low), high) - low)
    pen.text((x, y), name, INK, font)
    pen.rectangle((first, y + 3, last, y + 15), EMPTY)
    pen.rectangle((min(zero, end), y + 3, max(zero, end), y + 15), FILL)
    pen.text((last + 8, y), f"{value:+.2f}", INK, font)
