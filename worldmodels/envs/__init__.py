"""Gymnasium tasks seen from 64×64 pixels."""

from worldmodels.envs.actions import ActionMap
from worldmodels.envs.pixels import FRAME_SHAPE, PixelEnv, TaskSpec, make_env, task_spec

__all__ = ["FRAME_SHAPE", "ActionMap", "PixelEnv", "TaskSpec", "make_env", "task_spec"]
