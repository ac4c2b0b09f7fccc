"""Episodes of an evaluation that was interrupted, for the next one of the same agent to go on from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldmodels.store.artifacts import RECORD, write_bytes, write_json

CHANGES_RESULTS = False
AGENT, EPISODES = "agent.json", "episodes.jsonl"


def take_over(folder: Path, where: Path, result: str, agent: Mapping[str, Any]) -> None:
    """Prepare ``folder`` for an evaluation of ``agent``, which is all that the return of an episode depends on. The
    episodes it has are kept if they are this agent's. If it has none, those of the latest evaluation below ``where``
    that is this agent's and has no file ``result``, because it did not end, are copied.
    """
    record = folder / RECORD
    record.mkdir(parents=True, exist_ok=True)
    own = record / EPISODES
    if _read(record / AGENT) != agent:
        own.unlink(missing_ok=True)
    if not own.exists():
        others = [path.parent for path in where.glob(f"**/{RECORD}/{AGENT}") if _read(path) == agent]
        unfinished = [path / EPISODES for path in others if not (path.parent / result).exists()]
        found = [path for path in unfinished if path.exists()]
        if found:
            write_bytes(own, max(found, key=lambda path: path.stat().st_mtime_ns).read_bytes())
    write_json(record / AGENT, agent)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
