"""Gymnasium tasks seen from 64×64 pixels."""

from worldmodels.envs.actions import ActionCodec, action_codec
from worldmodels.envs.config import TASKS, task_path
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
