"""Gymnasium tasks seen from 64×64 pixels."""

from typing import TYPE_CHECKING, Any

from worldmodels.envs.config import TASKS, task_path

if TYPE_CHECKING:
    from worldmodels.envs.actions import ActionCodec, action_codec
    from worldmodels.envs.env import FRAME_SHAPE, PixelEnv, TaskSpec, checked_spec, make_env, task_spec
    from worldmodels.envs.task import Task, task_class

__all__ = [
    "FRAME_SHAPE",
    "TASKS",
    "ActionCodec",
    "PixelEnv",
    "Task",
    "TaskSpec",
    "action_codec",
    "checked_spec",
    "make_env",
    "task_class",
    "task_path",
    "task_spec",
]


def __getattr__(name: str) -> Any:
    """What needs libraries is imported when it is first asked for: a command reads a task's settings before they
    load.
    """
    if name in __all__:
        from worldmodels.envs import actions, env, task

        for module in (actions, env, task):
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
