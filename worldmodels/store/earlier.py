"""Episodes of earlier evaluations of an agent, for the next one to go on from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodels.store.artifacts import RECORD
from worldmodels.utils.files import write_bytes, write_json

CHANGES_RESULTS = False
AGENT, EPISODES = "agent.json", "episodes.jsonl"


def take_over(folder: Path, where: Path, agent: Mapping[str, Any]) -> None:
    """Prepare ``folder`` for an evaluation of ``agent``, which describes all that the return of an episode depends on.
    Episodes in the folder stay if they are this agent's. If there are none, those of this agent's longest evaluation
    below ``where``, finished or not, are copied.
    """
    record = folder / RECORD
    record.mkdir(parents=True, exist_ok=True)
    episodes = record / EPISODES
    if _read(record / AGENT) != agent:
        episodes.unlink(missing_ok=True)
    if not episodes.exists():
        evaluations = [path.with_name(EPISODES) for path in where.glob(f"**/{RECORD}/{AGENT}") if _read(path) == agent]
        evaluations = [path for path in evaluations if path.exists()]
        if evaluations:
            write_bytes(episodes, max(evaluations, key=lambda path: path.stat().st_size).read_bytes())
    write_json(record / AGENT, agent)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
