"""Work for machines that share no folder with this one: the files that it reads go along, and those that it writes come
back.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldmodels.rollouts.engine import Feed
from worldmodels.rollouts.executor import Results, Work
from worldmodels.utils.files import write_bytes

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
WRITES = "folder"  # the field of a work that says where it writes


@dataclass(frozen=True)
class Parcel:
    """Work and, for each of its fields that is a path, the files there by their names: whatever `pack`'s ``put`` made
    of their bytes. ``places``: where they are put, relative to a folder of the other machine.
    """

    work: Any
    files: dict[str, dict[str, Any]]
    places: dict[str, str]


@dataclass(frozen=True)
class Returning:
    """Unpacked work whose results bring the files that they tell of: (result, bytes or None)."""

    work: Any
    folder: Path

    @property
    def slots(self) -> int:
        return self.work.slots

    def __call__(self, feed: Feed) -> Results:
        self.folder.mkdir(parents=True, exist_ok=True)
        for item, result in self.work(feed):
            path = self.folder / result.file
            yield item, (result, path.read_bytes())
            path.unlink()


def pack(work: Work, put: Callable[[Path], tuple[str, Any]]) -> Parcel:
    """``put`` takes a file, and gives the digest of its bytes and what stands for them."""
    files, places = {}, {}
    for name, path in _paths(work):
        found = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        base = path.parent if path.is_file() else path
        placed = {str(each.relative_to(base)): put(each) for each in found}
        folder = hashlib.sha256(repr([(each, digest) for each, (digest, _) in placed.items()]).encode()).hexdigest()
        places[name] = f"{folder}/{path.name}" if path.is_file() else folder
        files[name] = {each: standing for each, (_, standing) in placed.items()}
    return Parcel(work, files, places)


def unpack(parcel: Parcel, folder: Path, get: Callable[[Any], bytes]) -> Work:
    """The work as it is done on this machine, with its files in ``folder``, which other processes may fill as well."""
    paths = {}
    for name, place in parcel.places.items():
        paths[name] = folder / place
        base = folder / Path(place).parts[0]
        for each, standing in parcel.files[name].items():
            if not (base / each).exists():
                (base / each).parent.mkdir(parents=True, exist_ok=True)
                write_bytes(base / each, get(standing))
    if not isinstance(getattr(parcel.work, WRITES, None), Path):
        return dataclasses.replace(parcel.work, **paths) if paths else parcel.work
    written = folder / f"written-{os.getpid()}"
    return Returning(dataclasses.replace(parcel.work, **paths, **{WRITES: written}), written)


def landed(work: Work, result: Any) -> Any:
    """A result of what `unpack` gave, as the work itself would have given it here: its file is where it belongs."""
    target = getattr(work, WRITES, None)
    if not isinstance(target, Path):
        return result
    result, data = result
    write_bytes(target / result.file, data)
    return result


def _paths(work: Work) -> Iterator[tuple[str, Path]]:
    """What work reads: its fields that are paths, but for the one that it writes to."""
    for field in dataclasses.fields(work) if dataclasses.is_dataclass(work) else ():
        value = getattr(work, field.name)
        if isinstance(value, Path) and field.name != WRITES:
            yield field.name, value
