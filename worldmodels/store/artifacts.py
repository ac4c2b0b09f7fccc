"""Content-addressed store: every stage's output in a folder named by what it is and a hash of all that went into it.

An artifact is ``outputs/artifacts/<stage>/<label>-<hash>-<code>/`` with ``manifest.json``: the hash is of its inputs,
``code`` is the fingerprint of the code that made it. While it is being made, the folder ends in ``.building`` and keeps
what is finished, so the same command goes on from there. One builder at a time holds the lock, on all machines that
share the folder. Files that later stages read are checksummed. ``record/`` (history, pictures) is for people and for
resuming an unfinished artifact, and does not count. Nothing here is a pickle.
"""

import functools
import hashlib
import json
import logging
import math
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from worldmodels import __version__
from worldmodels.store.fingerprint import Code, changes, digest
from worldmodels.store.locks import held
from worldmodels.utils.disk import writing
from worldmodels.utils.errors import DamagedFile

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
RECORD = "record"
CHECKPOINT = "checkpoint"  # of an unfinished training; dropped when the artifact is finished
BUILDING = ".building"
HASH = 10  # digits of the key in a folder's name
LISTED = 6  # changed files named in a line
CHANGES_RESULTS = False
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Artifact:
    """A finished artifact. ``content`` is the hash of its files and names it to the stages that read it."""

    path: Path
    manifest: dict[str, Any]
    cached: bool
    other_code: list[str] = field(default_factory=list)  # what changed since, where it was taken all the same

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def content(self) -> str:
        return self.manifest["content"]

    @property
    def summary(self) -> dict[str, Any]:
        return self.manifest["summary"]

    @property
    def weights(self) -> Path:
        """The parameters of V, M or C, as safetensors."""
        return self.path / WEIGHTS

    def parent(self, role: str) -> "Artifact":
        """The artifact that this one was made from, for example ``vision`` of a controller."""
        return load_artifact(self.parent_path(role))

    def parent_path(self, role: str) -> Path:
        """The folder of a parent."""
        entry = self.manifest["parents"][role]
        return self.path.parents[1] / entry["stage"] / entry["artifact"]


@dataclass(frozen=True)
class Length:
    """The setting of a stage whose larger values begin exactly as smaller ones do, by its ``path`` in the inputs.
    ``needs``: folders of a finished artifact that a longer one goes on from. ``keep``: whether this artifact keeps its
    last checkpoint, for a longer one.
    """

    path: tuple[str, ...]
    needs: tuple[str, ...] = (RECORD,)
    keep: bool = False


def load_artifact(path: Path) -> Artifact:
    """Read a finished artifact's manifest. Raises `FileNotFoundError` where there is none."""
    return Artifact(path, json.loads((path / MANIFEST).read_text(encoding="utf-8")), cached=True)


def verified(path: Path, fix: str = "run the training command again, and it is made anew") -> Artifact:
    """Read a finished artifact and check its files. Raises `DamagedFile`, which tells the ``fix``, or
    `FileNotFoundError` where there is none.
    """
    if not path.is_dir():
        raise FileNotFoundError(path)
    for damaged in _damaged(path):
        raise DamagedFile(f"{damaged} is damaged or missing: {fix}")
    return load_artifact(path)


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
        key = _digest(json.dumps({"stage": stage, **origin}, sort_keys=True).encode())
        stage_folder = self.root / stage
        with writing(f"{stage} {label}", stage_folder):
            stage_folder.mkdir(parents=True, exist_ok=True)
        suffix = f"{key[:HASH]}-{digest(code)}"
        folder = _folder_of(stage_folder, label, suffix)
        if folder.exists() and not _damaged(folder):  # without the lock, as the store may be one to read only
            log.info("%s: reused %s", stage, folder.name)
            return load_artifact(folder)
        with writing(f"{stage} {label}", stage_folder), held(_lock_of(folder), f"{stage} {label}"):
            folder = _folder_of(stage_folder, label, suffix)
            if not folder.exists() and (other := _newest(stage_folder, key)):
                changed = changes(other.manifest.get("code"), code)
                if reuse == "any":
                    log.info("%s: reused %s, made by other code: %s", stage, other.name, listed(changed))
                    return replace(other, other_code=changed)
                log.info(
                    "%s: made anew, because of what changed since %s: %s (reuse=any takes it as it is)",
                    *(stage, other.name, listed(changed)),
                )
            building = folder.with_name(folder.name + BUILDING)
            keep = length is not None and length.keep
            if folder.exists():
                damaged = _damaged(folder)
                if not damaged:
                    log.info("%s: reused %s", stage, folder.name)
                    return load_artifact(folder)
                folder.rename(building)
                for path in damaged:
                    log.warning("%s: %s is damaged or missing and is made anew", stage, path)
                    (building / path.relative_to(folder)).unlink(missing_ok=True)
            elif length and not building.exists() and (shorter := _shorter(stage_folder, origin, code, length)):
                log.info("%s: goes on from %s", stage, shorter.name)
                for name in length.needs:
                    shutil.copytree(shorter.path / name, building / name)
            building.mkdir(exist_ok=True)
            if (building / MANIFEST).exists() and not _damaged(building):  # ended just before its folder was renamed
                _finish(building, folder, keep)
                log.info("%s: reused %s", stage, folder.name)
                return load_artifact(folder)
            (building / MANIFEST).unlink(missing_ok=True)
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


def _finish(building: Path, folder: Path, keep: bool) -> None:
    """Take away what only an unfinished artifact needs, and give it its name."""
    if not keep:
        shutil.rmtree(building / CHECKPOINT, ignore_errors=True)
    building.rename(folder)


def describe_files(folder: Path) -> dict[str, Any]:
    """What a manifest says of the files that count: their hashes, and the hash of all of them."""
    files = {str(path.relative_to(folder)): _digest(path) for path in _content_files(folder)}
    return {"files": files, "content": _digest(json.dumps(files, sort_keys=True).encode())}


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that ``path`` holds either the old or the new text, also after a crash. It is JSON for any reader:
    what is not finite is null.
    """
    text = json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def finite(value: Any) -> Any:
    """A value for JSON, which knows no NaN and no infinity: they are None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` atomically: temporary file, fsync, rename."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _digest(data: bytes | Path) -> str:
    if isinstance(data, Path):
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(data).hexdigest()


def _content_files(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    contents = (path for path in paths if path.relative_to(folder).parts[0] not in (RECORD, MANIFEST, CHECKPOINT))
    return sorted(path for path in contents if path.suffix != ".partial")


def _damaged(folder: Path) -> list[Path]:
    """Files that are missing or are not what the manifest says; the manifest itself where it cannot be read, or names
    files elsewhere, which are neither read nor removed.
    """
    try:
        files = load_artifact(folder).manifest["files"]
        paths = {folder / name: digest for name, digest in files.items()}
        elsewhere = any(Path(name).is_absolute() or ".." in Path(name).parts for name in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [folder / MANIFEST]
    if elsewhere:
        return [folder / MANIFEST]
    return [path for path, digest in paths.items() if not path.exists() or _digest(path) != digest]


def _folder_of(stage_folder: Path, label: str, suffix: str) -> Path:
    """The folder of this key and code, whatever label it was made under, or a new name."""
    for path in stage_folder.glob(f"*-{suffix}*"):
        return path.with_name(path.name.removesuffix(BUILDING))
    return stage_folder / f"{label}-{suffix}"


def _newest(stage_folder: Path, key: str) -> Artifact | None:
    """The newest whole artifact of this key, by whatever code."""
    candidates = [
        path for path in stage_folder.glob(f"*-{key[:HASH]}*") if path.suffix != BUILDING and not _damaged(path)
    ]
    return max(map(load_artifact, candidates), key=lambda artifact: artifact.manifest["created"], default=None)


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
        if same and all((path / name).is_dir() for name in length.needs) and not _damaged(path):
            by_length[length_of_artifact] = artifact
    return by_length[max(by_length)] if by_length else None


def _without_length(inputs: Mapping[str, Any], path: tuple[str, ...]) -> tuple[Any, Any]:
    """The inputs without the value at ``path``, and this value."""
    rest = json.loads(json.dumps(inputs))
    node = rest
    for name in path[:-1]:
        node = node[name]
    return rest, node.pop(path[-1])


def listed(names: list[str]) -> str:
    """The first few of names, and how many there are more."""
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a finished artifact, to add to its record what people look at."""
    return held(_lock_of(folder), folder.name)


def _lock_of(folder: Path) -> Path:
    """Of an artifact that is called ``<label>-<key>-<code>``, whatever its label."""
    return folder.with_name(f".{'-'.join(folder.name.split('-')[-2:])}.lease")


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
