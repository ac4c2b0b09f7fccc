"""Gymnasium tasks seen from 64×64 pixels."""

import gymnasium

from worldmodels.utils.errors import ConfigError

try:
    from worldmodels.envs.actions import ActionMap
    from worldmodels.envs.env import FRAME_SHAPE, TASKS, PixelEnv, TaskSpec, make_env, task_spec
except gymnasium.error.DependencyNotInstalled as error:
    raise ConfigError(
        f"the tasks need a package that is missing ({' '.join(str(error).split())}): "
        "expected Box2D; run pip install 'gymnasium[box2d]'"
    ) from error

__all__ = ["FRAME_SHAPE", "TASKS", "ActionMap", "PixelEnv", "TaskSpec", "make_env", "task_spec"]
