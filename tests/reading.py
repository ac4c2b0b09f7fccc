"""Hydra reads a file of a config tree once for a process and its forks, and not once for every config that it composes,
which is half of what composing takes.
"""

import pickle
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType

_read = ConfigRepository.load_config
_known: dict[tuple[Any, ...], bytes] = {}


def once() -> None:
    ConfigRepository.load_config = _load  # type: ignore[method-assign]
    ConfigStore.__deepcopy__ = lambda store, _: store  # type: ignore[attr-defined]  # it hands out copies of what it has


def _load(repository: ConfigRepository, config_path: str) -> Any:
    source = repository._find_object_source(config_path, ObjectType.CONFIG)
    if source is None or source.scheme() not in ("file", "pkg"):
        return _read(repository, config_path)
    key = (config_path, source.provider, source.path, *_state(source, config_path))
    if key not in _known:
        _known[key] = pickle.dumps(_read(repository, config_path))
    return pickle.loads(_known[key])  # composing changes what it is given


def _state(source: Any, config_path: str) -> tuple[int, ...]:
    """Of a file, which a test may change."""
    if source.scheme() != "file":
        return ()
    state = (Path(source.path) / source._normalize_file_name(config_path)).stat()
    return state.st_mtime_ns, state.st_size, state.st_ino
