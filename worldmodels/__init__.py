"""World Models (Ha & Schmidhuber 2018) and transfer between tasks, as a small experiment framework.

From Python::

    import worldmodels as wm

    run = wm.train("env=lunar_lander", "scale=smoke")  # what the command does
    run = wm.load("outputs/runs/…/…")                  # a finished run
    z = run.vision.encode(frames).mu                   # (N, 64, 64, 3) -> (N, 32)
    agent, env = run.agent(), wm.make_env("lunar_lander")
    dream = run.dream(temperature=1.15)

See `worldmodels.api`. Nothing heavy is imported before it is used.
"""

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any


def _interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A Ctrl-C while a command's imports are under way, before `worldmodels.utils.interrupts` can take it."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


ours = sys.argv[:1] == ["-m"] and any(argument.partition(".")[0] == "worldmodels" for argument in sys.orig_argv)
if ours or os.path.basename(sys.argv[0] if sys.argv else "") == "worldmodels":
    # Python is looking for the module of python -m worldmodels.…, or begins our script: nobody else's program.
    sys.excepthook = _interrupted

# No file is written while another process reads it, and not every network file system has locks.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

import gymnasium  # noqa: E402

if TYPE_CHECKING:
    from worldmodels.api import Run, compose, load, make_env, train
    from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False
__version__ = "0.1.0"
__all__ = ["ConfigError", "Run", "__version__", "compose", "load", "make_env", "train"]

# By name only: nothing of ours is imported before somebody makes one.
gymnasium.register(
    "worldmodels/Dream-v0",
    entry_point="worldmodels.dreams.env:DreamEnv",
    vector_entry_point="worldmodels.dreams.env:DreamVectorEnv",
)


def __getattr__(name: str) -> Any:
    if name == "ConfigError":
        from worldmodels.utils.errors import ConfigError

        return ConfigError
    if name in __all__:
        from worldmodels import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
