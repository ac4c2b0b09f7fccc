"""The store: finds an artifact that is already there, or has it made, by one builder at a time.

While an artifact is being made, its folder ends in ``.building`` and keeps what is finished, so the same command goes
on from there. The builder holds the artifact's lock, on all machines that share the folder.
"""

import functools
import json
import logging
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from worldmodels import __version__
from worldmodels.store.artifacts import (
    CHECKPOINT,
    MANIFEST,
    RECORD,
    Artifact,
    damaged_files,
    describe_files,
    hash_of,
    load_artifact,
)
from worldmodels.store.fingerprint import Code, changes, digest
from worldmodels.store.locks import held
from worldmodels.utils.disk import writing
from worldmodels.utils.files import write_json
from worldmodels.utils.words import listed

log = logging.getLogger(__name__)
BUILDING = ".building"
HASH = 10  # digits of the key in a folder's name
CHANGES_RESULTS = False


@dataclass(frozen=True)
class Length:
    """The setting of a stage whose larger values begin exactly as smaller ones do, by its ``path`` in the inputs.
    ``needs``: folders of a finished artifact that a longer one goes on from. ``keep``: whether this artifact keeps its
    last checkpoint, for a longer one.
    """

    path: tuple[str, ...]
    needs: tuple[str, ...] = (RECORD,)
    keep: bool = False


class Store:
    """The artifacts under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def build(
        self,
        stage: str,
        label: str,
        inputs: Mapping[str, Any],
        parents: Mapping[str, Artifact],
        work: Callable[[Path], dict[str, Any]],
        facts: Mapping[str, Any],
        code: Code | None = None,
        reuse: str = "exact",
        length: Length | None = None,
    ) -> Artifact:
        """Find the artifact made from ``inputs`` and ``parents`` by this ``code``, or let ``work`` make it in the
        folder it is given. With ``reuse=any`` the newest one by other code will do.

        ``work`` returns the manifest's summary; called again on a folder it did not finish, it goes on. ``facts`` go
        into the manifest and do not count. A damaged file is named, dropped, and made anew. Where there is an artifact
        that differs in its ``length`` alone, and is shorter, ``work`` goes on from what it left.
        """
        code = code or {"files": {}, "versions": {}}
        origin = {"inputs": dict(inputs), "parents": {role: parent.content for role, parent in parents.items()}}
        key = hash_of({"stage": stage, **origin})
        suffix = f"{key[:HASH]}-{digest(code)}"
        what, stage_folder = f"{stage} {label}", self.root / stage
        with writing(what, stage_folder):
            stage_folder.mkdir(parents=True, exist_ok=True)
        folder = _folder_of(stage_folder, label, suffix)
        if not damaged_files(folder):  # without the lock, as the store may be one to read only
            return _reused(folder)
        with writing(what, stage_folder), held(_lock_of(folder), what):
            folder = _folder_of(stage_folder, label, suffix)  # made meanwhile, perhaps under another label
            damaged = damaged_files(folder)
            if not damaged:
                return _reused(folder)
            building = folder.with_name(folder.name + BUILDING)
            if folder.exists():
                _reopen(folder, building, damaged)
            elif other := _made_by_other_code(stage_folder, key, code, reuse):
                return other
            elif length and not building.exists():
                _begin_with_shorter(building, origin, code, length)
            keep = length is not None and length.keep
            if not damaged_files(building):  # a run ended just before the folder was renamed
                _finish(building, folder, keep)
                return _reused(folder)
            building.mkdir(exist_ok=True)
            for leftover in (building / MANIFEST, *building.rglob("*.partial")):  # of a run that was killed
                leftover.unlink(missing_ok=True)
            log.info("%s: building %s", stage, folder.name)
            started = time.perf_counter()
            summary = work(building)
            manifest = {
                "stage": stage,
                "label": label,
                "key": key,
                **origin,
                "parents": {
                    role: {"stage": parent.manifest["stage"], "artifact": parent.name, "content": parent.content}
                    for role, parent in parents.items()
                },
                "summary": summary,
                "seconds": round(time.perf_counter() - started, 2),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": _versions(),
                "code": code,
                "git": _git_revision(),
                **facts,
            }
            manifest |= describe_files(building)
            write_json(building / MANIFEST, manifest)
            _finish(building, folder, keep)
        return Artifact(folder, manifest, cached=False)


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a finished artifact, to add to its record what people look at."""
    return held(_lock_of(folder), folder.name)


def _lock_of(folder: Path) -> Path:
    """Of an artifact that is called ``<label>-<key>-<code>``, whatever its label."""
    return folder.with_name(f".{'-'.join(folder.name.split('-')[-2:])}.lease")


def _folder_of(stage_folder: Path, label: str, suffix: str) -> Path:
    """The folder of this key and code, whatever label it was made under, or a new name."""
    for path in stage_folder.glob(f"*-{suffix}*"):
        return path.with_name(path.name.removesuffix(BUILDING))
    return stage_folder / f"{label}-{suffix}"


def _reused(folder: Path) -> Artifact:
    log.info("%s: reused %s", folder.parent.name, folder.name)
    return load_artifact(folder)


def _reopen(folder: Path, building: Path, damaged: list[Path]) -> None:
    """A finished artifact is one to be made again, without its damaged files."""
    folder.rename(building)
    for path in damaged:
        log.warning("%s: %s is damaged or missing and is made anew", folder.parent.name, path)
        (building / path.relative_to(folder)).unlink(missing_ok=True)


def _made_by_other_code(stage_folder: Path, key: str, code: Code, reuse: str) -> Artifact | None:
    """With ``reuse=any`` the newest whole artifact of this key. Says what changed since that one in any case."""
    candidates = [
        path for path in stage_folder.glob(f"*-{key[:HASH]}*") if path.suffix != BUILDING and not damaged_files(path)
    ]
    newest = max(map(load_artifact, candidates), key=lambda artifact: artifact.manifest["created"], default=None)
    if newest is None:
        return None
    changed = changes(newest.manifest.get("code"), code)
    if reuse == "any":
        log.info("%s: reused %s, made by other code: %s", stage_folder.name, newest.name, listed(changed))
        return replace(newest, other_code=changed)
    log.info(
        "%s: made anew, because of what changed since %s: %s (reuse=any takes it as it is)",
        *(stage_folder.name, newest.name, listed(changed)),
    )
    return None


def _begin_with_shorter(building: Path, origin: Mapping[str, Any], code: Code, length: Length) -> None:
    """Copy what a longer artifact goes on from, where there is a shorter one."""
    if shorter := _shorter(building.parent, origin, code, length):
        log.info("%s: goes on from %s", building.parent.name, shorter.name)
        for name in length.needs:
            shutil.copytree(shorter.path / name, building / name)


def _shorter(stage_folder: Path, origin: Mapping[str, Any], code: Code, length: Length) -> Artifact | None:
    """The longest whole artifact that differs from ``origin`` in its length alone, and is shorter."""
    other_inputs, target_length = _without_length(origin["inputs"], length.path)
    by_length: dict[float, Artifact] = {}
    for path in stage_folder.glob(f"*-{digest(code)}"):
        try:
            artifact = load_artifact(path)
            inputs, length_of_artifact = _without_length(artifact.manifest["inputs"], length.path)
            parents = {role: entry["content"] for role, entry in artifact.manifest["parents"].items()}
        except (OSError, ValueError, KeyError):
            continue
        same = inputs == other_inputs and parents == origin["parents"] and length_of_artifact < target_length
        if same and all((path / name).is_dir() for name in length.needs) and not damaged_files(path):
            by_length[length_of_artifact] = artifact
    return by_length[max(by_length)] if by_length else None


def _without_length(inputs: Mapping[str, Any], path: tuple[str, ...]) -> tuple[Any, Any]:
    """The inputs without the value at ``path``, and this value."""
    rest = json.loads(json.dumps(inputs))
    node = rest
    for name in path[:-1]:
        node = node[name]
    return rest, node.pop(path[-1])


def _finish(building: Path, folder: Path, keep: bool) -> None:
    """Take away what only an unfinished artifact needs, and give it its name."""
    if not keep:
        shutil.rmtree(building / CHECKPOINT, ignore_errors=True)
    building.rename(folder)


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("torch", "lightning", "numpy", "gymnasium", "box2d", "opencv-python-headless", "h5py", "cma")
    versions = {"worldmodels": __version__, "python": platform.python_version()}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


@functools.cache
def _git_revision() -> str | None:
    """Revision of the checkout that the package lies in, or None outside one; "+" marks uncommitted changes."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--dirty=+", "--match="]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
