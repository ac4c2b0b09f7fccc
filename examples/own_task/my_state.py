"""What worldmodels may know of the task, if one likes: the names of its true state, which probes look for in V and M.

No agent ever sees it. Without this file the task trains and is scored all the same, and nothing is probed.
"""

from worldmodels.envs import Task


class CatchState(Task):
    """The state is what the environment observes (`Task.state`); override ``state`` where it is not."""

    name = "mine"
    state_names = ("ball_x", "ball_y", "paddle_x")
    visible_targets = ("ball_x", "ball_y", "paddle_x")  # in every picture: probed in V
