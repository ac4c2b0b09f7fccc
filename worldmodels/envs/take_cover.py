"""Take Cover of ViZDoom (extra ``doom``): step aside from the fireballs of imps at the far wall, ever more of them.

The second task of Ha & Schmidhuber 2018 (section 4). Each step of the game, a 35th of a second, pays 1.
"""

import functools
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections import defaultdict
from multiprocessing import util
from pathlib import Path
from typing import IO, Any
from weakref import WeakKeyDictionary

import numpy as np

from worldmodels.envs.config import EnvConfig
from worldmodels.envs.task import Task

FAR = 480.0  # from the player's wall to that of the imps, in the map's units
FIREBALL, IMP = "DoomImpBall", "DoomImp"
FOLDER = "worldmodels-doom"
LOCK = "in-use"  # held by the process whose folder it is
GAMES: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # every game, and the process that made it
IDLE: dict[str, list[Any]] = defaultdict(list)  # games that nobody plays, by what they were made with
LAUNCHER = """#!/bin/sh
# The game writes where it starts, and would outlive a process that was killed.
cd "$(dirname "$0")" || exit 1
if command -v setpriv > /dev/null; then exec setpriv --pdeathsig KILL {engine} "$@"; fi
exec {engine} "$@"
"""


class TakeCover(Task):
    """The picture is ViZDoom's ``screen``, 240×320. An action is held for all the steps it is repeated, of which the
    game draws the last one only. Choices are left, stay, right, in this order: ``env.discrete=threshold`` is the
    paper's action map.

    The true state tells of the nearest fireball how far before the player it is, how far to its left, and how fast it
    goes that way; without one it is `FAR` away.
    """

    name = "take_cover"
    state_names = ("y", "velocity_y", "health", "imps", "fireballs", "ball_distance", "ball_left", "ball_speed_left")
    visible_targets = ("y", "imps", "fireballs", "ball_distance", "ball_left")
    motions = ("velocity_y", "ball_speed_left")

    def __init__(self, config: EnvConfig, pictures: bool, drawn: bool) -> None:
        super().__init__(config, pictures, drawn)
        self.world.button_map = [[1, 0], [0, 0], [0, 1]]
        game = self.world.game
        game.set_objects_info_enabled(True)
        kind = json.dumps([dict(config.kwargs), drawn, os.getpid()], sort_keys=True)
        if os.name == "posix":
            folder = _folder(os.getpid())
            game.set_vizdoom_path(str(folder / "game"))
            game.set_doom_config_path(str(folder / "game.ini"))
        if IDLE[kind]:  # a game takes half a second to start, and begins an episode as a new one does
            self.world.game = IDLE[kind].pop()
        GAMES[self.world.game] = os.getpid()
        self.world.close = functools.partial(_leave, self.world.game, kind)

    def render_mode(self, config: EnvConfig, pictures: bool) -> str | None:
        """The observation is the picture, for people too."""
        return None

    def undrawn(self) -> None:
        import vizdoom

        self.world.game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)

    def advance(self, action: Any, steps: int) -> tuple[Any, float, bool, bool, dict[str, Any], int]:
        game = self.world.game
        before, self.world.frame_skip = game.get_episode_time(), steps
        observation, reward, terminated, truncated, info = self.env.step(action)
        # A limit of the game's own counts as an end there.
        return (
            observation,
            float(reward),
            terminated and not truncated,
            truncated,
            info,
            game.get_episode_time() - before,
        )

    def state(self, observation: Any) -> np.ndarray:
        import vizdoom

        variable = vizdoom.GameVariable
        y, velocity, health, x = (
            self.world.game.get_game_variable(each)
            for each in (variable.POSITION_Y, variable.VELOCITY_Y, variable.HEALTH, variable.POSITION_X)
        )
        objects = self.world.state.objects
        balls = [ball for ball in objects if ball.name == FIREBALL and ball.position_x > x]
        imps = sum(each.name == IMP for each in objects)
        nearest = (FAR, 0.0, 0.0)
        if balls:
            ball = min(balls, key=lambda ball: ball.position_x)
            nearest = (ball.position_x - x, ball.position_y - y, ball.velocity_y)
        return np.array([y, velocity, health, imps, len(balls), *nearest])

    @classmethod
    def shown(cls, states: np.ndarray, fps: float) -> np.ndarray:
        """Frames with a fireball."""
        return cls.column(states, "fireballs") > 0

    @classmethod
    def coverage(cls, rollouts: Any) -> dict[str, float]:
        """Fireballs in a frame, and the mean distance from the middle of the wall."""
        states = np.concatenate(rollouts)
        return {
            "fireballs": float(cls.column(states, "fireballs").mean()),
            "off_middle": float(np.abs(cls.column(states, "y") - 384).mean()),
        }


def _leave(game: Any, kind: str) -> None:
    """In the place of closing a game: it is kept for the next episode."""
    if game.is_running() and game not in IDLE[kind]:
        IDLE[kind].append(game)


@functools.lru_cache(maxsize=1)
def _folder(process: int) -> Path:
    """A folder for what the games of this process write, with their launcher. It goes with the process, a terminated
    worker's too; that of a process that was killed goes when another one makes its own.
    """
    import fcntl

    import vizdoom

    place = Path(tempfile.gettempdir())
    for old in place.glob(f"{FOLDER}-*"):
        if _left(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-{process}-", dir=place))
    lock = (folder / "locking").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "locking").rename(folder / LOCK)
    engine = Path(vizdoom.__file__).parent / "vizdoom"
    launcher = folder / "game"
    launcher.write_text(LAUNCHER.format(engine=shlex.quote(str(engine))), encoding="utf-8")
    launcher.chmod(0o700)
    # In multiprocessing's processes `atexit` does not run; in one that was forked off, neither does this.
    util.Finalize(None, _clean, (process, folder, lock), exitpriority=0)
    worker, main = multiprocessing.parent_process() is not None, threading.current_thread() is threading.main_thread()
    if worker and main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return folder


def _clean(process: int, folder: Path, lock: IO[bytes]) -> None:
    """Close the games of this process, which leave shared memory behind otherwise, and remove their folder."""
    for game in [game for game, owner in GAMES.items() if owner == process]:
        game.close()
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()


def _left(folder: Path) -> bool:
    """Whether the process that made the folder is gone, and its lock with it: numbers of processes mean nothing where
    containers share a folder.
    """
    import fcntl

    try:
        with (folder / LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
