"""What a score is measured by: the one that counts as solved, and what was published."""

from collections.abc import Mapping
from typing import Any, NamedTuple

CHANGES_RESULTS = False


class Published(NamedTuple):
    """A published score of World Models: mean ± standard deviation over 100 episodes."""

    mean: float
    std: float
    source: str


PUBLISHED = {  # by the task's name; of versions of the tasks that are older than ours
    "car_racing": Published(906, 21, "Ha & Schmidhuber 2018"),
    "take_cover": Published(1092, 556, "Ha & Schmidhuber 2018"),
}


def solved_at(config: Mapping[str, Any]) -> float | None:
    """The score from which the task of a run's plain ``config`` counts as solved: ``env.solved``, or else what
    Gymnasium says of the task (``reward_threshold``); None where nobody says.
    """
    env = config["env"]
    if env.get("solved") is not None:
        return float(env["solved"])
    if ":" in env["id"]:  # would import a package
        return None
    import gymnasium

    try:
        threshold = gymnasium.spec(env["id"]).reward_threshold
    except gymnasium.error.Error:
        return None
    return None if threshold is None else float(threshold)


def published(config: Mapping[str, Any]) -> Published | None:
    """The published score of a run's task, if there is one."""
    return PUBLISHED.get(config["env"]["name"])
