"""One HDF5 file per rollout: written atomically, checksummed, read in slices; and the index of a folder of them."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from worldmodels.utils.disk import writing
from worldmodels.utils.errors import DamagedFile
from worldmodels.utils.files import write_bytes

FRAMES_PER_CHUNK = 4
OPEN_FILES = 128
INDEX = "index.json"


@dataclass(frozen=True)
class Entry:
    """A rollout in the index: its file, frames, episode seed and return."""

    file: str
    length: int
    seed: int
    total_reward: float


def write_rollout(path: Path, arrays: Mapping[str, np.ndarray], seed: int, total_reward: float) -> Entry:
    """Write one rollout's ``arrays``, each (T, ...), so that ``path`` is either whole or absent."""
    length = len(next(iter(arrays.values())))
    entry = Entry(path.name, length, seed, total_reward)
    # In memory first: HDF5 cannot be left after a write that failed, say on a full disk; it may even crash at exit.
    with h5py.File(path.name, "w", libver="latest", driver="core", backing_store=False) as file:
        for name, array in arrays.items():
            assert len(array) == length
            if array.size == 0:  # the state of a task that has none: no chunks
                file.create_dataset(name, data=array)
                continue
            rows = FRAMES_PER_CHUNK if array.ndim > 2 else length
            file.create_dataset(
                name,
                data=array,
                chunks=(min(rows, length), *array.shape[1:]),
                fletcher32=True,
                **hdf5plugin.Zstd(clevel=3),
            )
        file.attrs.update({key: value for key, value in asdict(entry).items() if key != "file"})
        file.flush()
        data = file.id.get_file_image()
    with writing(f"a rollout, {path.name},", path.parent):
        write_bytes(path, data)
    return entry


def read_entry(path: Path) -> Entry:
    """Read every byte of a rollout's file, so that its checksums are tried. Raises `DamagedFile`."""
    try:
        with h5py.File(path, "r") as file:
            for dataset in file.values():
                dataset[()]
            attributes = {key: value.item() for key, value in file.attrs.items()}
        return Entry(file=path.name, **attributes)
    except Exception as error:  # a flipped byte can surface as nearly any exception of h5py's
        raise DamagedFile(f"{path} is damaged ({error}): run the same command again, and it is made anew") from error


def write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Write the list of the folder's rollouts, which is what makes them a data set."""
    (folder / INDEX).write_text(json.dumps([asdict(entry) for entry in entries], indent=0), encoding="utf-8")


def read_index(folder: Path) -> list[Entry]:
    """The list of the folder's rollouts. Raises `DamagedFile` where it is none, or names files elsewhere."""
    path = folder / INDEX
    try:
        entries = [Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        whole = all(isinstance(entry.length, int) and entry.length >= 1 for entry in entries)
        inside = all(Path(entry.file).name == entry.file for entry in entries)
    except (ValueError, TypeError) as error:
        raise DamagedFile(f"{path} is no list of rollouts ({error}): expected one that this package wrote") from error
    if not (whole and inside):
        raise DamagedFile(f"{path} names rollouts of no length, or files elsewhere: expected those beside it")
    return entries


class RolloutStore:
    """The rollouts of a folder with an index. Keeps the `OPEN_FILES` last used files open; can be sent to another
    process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.entries = read_index(self.folder)
        self._open: OrderedDict[int, h5py.File] = OrderedDict()

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    @property
    def lengths(self) -> np.ndarray:
        """Frames of each rollout, (N,)."""
        return np.array([entry.length for entry in self.entries])

    def _file(self, rollout: int) -> h5py.File:
        if rollout in self._open:
            self._open.move_to_end(rollout)
        else:
            if len(self._open) >= OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[rollout] = h5py.File(self.folder / self.entries[rollout].file, "r")
        return self._open[rollout]

    def read(self, rollout: int, name: str, where: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Array ``name`` of a rollout at ``where`` (a slice, or increasing frame numbers). Raises `DamagedFile`."""
        path = self.folder / self.entries[rollout].file
        try:
            dataset = self._file(rollout)[name]
            assert isinstance(dataset, h5py.Dataset)
            return dataset[where]
        except (OSError, KeyError, RuntimeError) as error:
            raise DamagedFile(
                f"{path} is damaged ({error}): run the same command again, and it is made anew"
            ) from error


def split(seeds: Iterable[int], validation_fraction: float, budget: float = 1.0) -> tuple[list[int], list[int]]:
    """Rollouts for training and validation, as positions in ``seeds``, neither list empty.

    Ordered by a hash of the episode seed, so that frames of a rollout never straddle the two and membership does not
    depend on where a rollout lies. ``budget`` is the share of the training rollouts used; validation is the same for
    every budget.
    """
    seeds = list(seeds)
    assert len(seeds) >= 2, "collect.rollouts is at least 2"
    order = sorted(range(len(seeds)), key=lambda i: (hashlib.sha256(str(seeds[i]).encode()).digest(), i))
    validation_count = min(max(1, round(len(order) * validation_fraction)), len(order) - 1)
    training = order[validation_count:]
    used = max(1, round(len(training) * budget))
    return sorted(training[:used]), sorted(order[:validation_count])
