"""Rollouts of an earlier run in a data set beside new ones."""

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from worldmodels.rollouts.storage import Entry, read_index
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require
from worldmodels.utils.files import replacing

MIXED = "mixed-"  # begins the names of their files


def content_of(run: str) -> str:
    """What ``collect.mix`` counts as: the content of the run's data set."""
    return FinishedRun(Path(run)).manifest("collect")["content"]


def mix(run: str, env: dict[str, Any], seeds: Collection[int], folder: Path) -> list[Entry]:
    """Put all rollouts of a finished run's data set into ``folder``, linked where that can be. ``env``: the settings of
    the task that count; ``seeds``: those of the new episodes. Returns their entries. Raises `ConfigError` where they
    are of another task, or begin as new ones do.
    """
    artifact = FinishedRun(Path(run)).artifact("collect")
    theirs = artifact.manifest["inputs"].get("env")
    require(
        theirs == json.loads(json.dumps(env)),
        f"collect.mix={run} has rollouts of another task or other settings of it ({theirs}): expected those of this "
        f"run ({env})",
    )
    same = len({entry.seed for entry in read_index(artifact.path)}.intersection(seeds))
    require(
        same == 0,
        f"collect.mix={run} has {same} episodes with the seeds of new ones, which begin alike: expected other seeds; "
        "set collect.seed to another number than that run's",
    )
    return linked(artifact.path, folder)


def linked(source: Path, folder: Path) -> list[Entry]:
    """Put all rollouts of ``source``, as they are or as V sees them, into ``folder``, linked where that can be. Returns
    their entries.
    """
    entries = []
    for number, entry in enumerate(read_index(source)):
        target = folder / f"{MIXED}{number:06d}.h5"
        if not target.exists():
            _link(source / entry.file, target)
        entries.append(Entry(target.name, entry.length, entry.seed, entry.total_reward))
    return entries


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        with replacing(target) as partial:
            shutil.copyfile(source, partial)
