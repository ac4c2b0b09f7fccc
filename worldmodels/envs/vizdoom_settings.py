"""What of ViZDoom a finished run may name, without ViZDoom: `worldmodels.store.runs` asks before anything is loaded."""

from collections.abc import Mapping
from typing import Any

CHANGES_RESULTS = False  # what is refused
WRAPPER, TASK = "vizdoom.gymnasium_wrapper", "VizdoomTakeCover-v1"
HARMLESS = ("episode_timeout", "episode_start_time", "doom_skill", "living_reward", "death_penalty")


def foreign(name: str, kwargs: Any) -> bool:
    """Whether an ``env.id`` is a task of ViZDoom whose ``kwargs`` could do more than play Take Cover: others of its
    settings name files and programs, as ``vizdoom_path`` does.
    """
    module, _, task = name.partition(":") if ":" in name else ("", "", name)
    if not (f"{module}.".startswith("vizdoom.") or task.startswith("Vizdoom")):
        return False
    known = module == WRAPPER and task == TASK and isinstance(kwargs, Mapping) and set(kwargs) <= set(HARMLESS)
    return not known or not all(isinstance(value, int | float) for value in kwargs.values())
