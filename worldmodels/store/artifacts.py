"""Artifacts: every stage's output, in a folder named by what it is and a hash of all that went into it.

An artifact is ``outputs/artifacts/<stage>/<label>-<hash>-<code>/`` with ``manifest.json``: the hash is of its inputs,
``code`` is the fingerprint of the code that made it. Files that later stages read are checksummed. ``record/``
(history, pictures) is for people and for resuming an unfinished artifact, and does not count. Nothing here is a pickle.
`worldmodels.store.building` makes them.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldmodels.utils.errors import DamagedFile

MANIFEST = "manifest.json"
RECORD = "record"
CHECKPOINT = "checkpoint"  # of an unfinished training; dropped when the artifact is finished
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


def load_artifact(path: Path) -> Artifact:
    """Read a finished artifact's manifest. Raises `FileNotFoundError` where there is none."""
    return Artifact(path, json.loads((path / MANIFEST).read_text(encoding="utf-8")), cached=True)


def verified(path: Path, fix: str = "run the training command again, and it is made anew") -> Artifact:
    """Read a finished artifact and check its files. Raises `DamagedFile`, which tells the ``fix``, or
    `FileNotFoundError` where there is none.
    """
    if not path.is_dir():
        raise FileNotFoundError(path)
    for damaged in damaged_files(path):
        raise DamagedFile(f"{damaged} is damaged or missing: {fix}")
    return load_artifact(path)


def damaged_files(folder: Path) -> list[Path]:
    """Files that are missing or are not what the manifest says; the manifest itself where it cannot be read, or names
    files elsewhere, which are neither read nor removed. None: the artifact is finished and whole.
    """
    try:
        files = load_artifact(folder).manifest["files"]
        hashes = {folder / name: expected for name, expected in files.items()}
        elsewhere = any(Path(name).is_absolute() or ".." in Path(name).parts for name in files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [folder / MANIFEST]
    if elsewhere:
        return [folder / MANIFEST]
    return [path for path, expected in hashes.items() if not path.exists() or _hash_of_file(path) != expected]


def describe_files(folder: Path) -> dict[str, Any]:
    """What a manifest says of the files that count: their hashes, and the hash of all of them."""
    files = {str(path.relative_to(folder)): _hash_of_file(path) for path in _content_files(folder)}
    return {"files": files, "content": hash_of(files)}


def hash_of(value: Any) -> str:
    """The hash of a value for JSON, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content_files(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    contents = (path for path in paths if path.relative_to(folder).parts[0] not in (RECORD, MANIFEST, CHECKPOINT))
    return sorted(path for path in contents if path.suffix != ".partial")
