"""Rollouts that were recorded elsewhere, as the data set: a folder of ``.npz`` files, or a Minari data set.

A rollout is an episode of T steps. Row t holds the picture before action t, the action, and the reward and the ends
that it led to::

    frames      (T, H, W, 3), (T, H, W, 1) or (T, H, W) uint8; one row more, the last picture, is left out
    actions     (T, A) numbers; (T,) where A is 1; of choices, the task's own numbers or one-hot
    rewards     (T,) numbers
    terminated  (T,) bool, optional: the task's own end
    truncated   (T,) bool, optional: cut off; without either, the last step is
"""

import functools
import hashlib
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from worldmodels.config import Config
from worldmodels.envs import TaskSpec
from worldmodels.envs.actions import ChoiceCodec
from worldmodels.envs.config import EnvConfig
from worldmodels.envs.renderers import FRAME_SHAPE
from worldmodels.rollouts.storage import Entry, write_index, write_rollout
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.progress import Progress

log = logging.getLogger(__name__)
MINARI = "minari:"
NEEDED = ("frames", "actions", "rewards")
ENDS = ("terminated", "truncated")
BLOCK = 1 << 20  # bytes
SEED_BITS = 52  # as of other rollouts' seeds


class Recording(NamedTuple):
    """A recorded rollout: its name in messages, and its arrays."""

    name: str
    arrays: Mapping[str, np.ndarray]


def write(config: Config, spec: TaskSpec, folder: Path) -> dict[str, Any]:
    """Write the recorded rollouts that ``collect`` names as ours, the first as they hold ``collect.frames`` frames, and
    their index. Returns the summary of a collection. Raises `ConfigError` where an array is not as it should be.
    """
    settings = config.collect
    source = str(settings.recorded)
    entries: list[Entry] = []
    frames = 0
    with Progress("recorded", settings.frames or 0, "frames") as progress:
        for recording in _recordings(source, settings.recorded_key):
            arrays = _rollout(recording, spec, config.env)
            total = float(arrays["rewards"].sum(dtype=np.float64))
            entry = write_rollout(folder / f"{len(entries):06d}.h5", arrays, _seed(arrays), total)
            entries.append(entry)
            frames += entry.length
            progress.advance(entry.length)
            enough = settings.frames is not None and frames >= settings.frames and len(entries) >= 2
            if enough or len(entries) == settings.rollouts:
                break
    require(
        len(entries) >= 2,
        f"collect.recorded={source} holds {len(entries)} rollouts: expected two at least, one to learn from and one to "
        "check by",
    )
    write_index(folder, entries)
    returns = [entry.total_reward for entry in entries]
    summary = {
        "rollouts": len(entries),
        "frames": frames,
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns, ddof=1)),
        "coverage": {},  # which takes the task's true state
    }
    log.info("  %(rollouts)d rollouts, %(frames)d frames, return %(return_mean).1f ± %(return_std).1f", summary)
    return summary


def digest(source: str) -> str:
    """What ``collect.recorded`` counts as: a hash of its files, in their order. Raises `ConfigError`."""
    total = hashlib.sha256()
    for path in _files(source):
        status = path.stat()
        total.update(_file_digest(path, status.st_size, status.st_mtime_ns))
    return total.hexdigest()[:16]


@functools.cache
def _file_digest(path: Path, size: int, changed: int) -> bytes:
    file_hash = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            file_hash.update(block)
    return file_hash.digest()


def _files(source: str) -> list[Path]:
    """The files of a recording, in the order of their names. Raises `ConfigError` where there are none."""
    if source.startswith(MINARI):
        return sorted(path for path in _minari_folder(source).rglob("*") if path.is_file())
    folder = Path(source).expanduser()
    require(
        folder.is_dir(),
        f"collect.recorded={source} is no folder: expected one with .npz files, or {MINARI} and the name or folder of "
        "a Minari data set",
    )
    files = sorted(folder.glob("*.npz"))
    require(bool(files), f"collect.recorded={source} holds no .npz files: expected one for each rollout")
    return files


def _recordings(source: str, key: str | None) -> Iterator[Recording]:
    if source.startswith(MINARI):
        yield from _minari(source, key)
        return
    require(
        key is None,
        f"collect.recorded_key={key} is for Dict observations of Minari data sets, and collect.recorded={source} is a "
        "folder of .npz files: expected null; leave collect.recorded_key away",
    )
    for path in _files(source):
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*NEEDED, *ENDS) if name in file}
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{path} cannot be read ({error}): expected arrays of numbers saved by numpy.savez or savez_compressed"
            ) from error
        yield Recording(str(path), arrays)


def _minari_folder(source: str) -> Path:
    """The folder of a Minari data set, given as itself, as the data set's folder above it, or as a name."""
    name = source.removeprefix(MINARI)
    try:
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError as error:
        raise ConfigError(
            f"collect.recorded={source} needs the package minari, which is not there ({error}): expected the extra "
            "minari; run pip install 'worldmodels[minari]'"
        ) from error
    candidates = (Path(name).expanduser(), Path(get_dataset_path(name)))
    for candidate in candidates:
        for folder in (candidate / "data", candidate):
            if (folder / "metadata.json").is_file():
                return folder
    raise ConfigError(
        f"collect.recorded={source} is no Minari data set in {' or '.join(map(str, candidates))}: expected a "
        f"folder with one, or the name of one that is there; for example run minari download {name}"
    )


def _minari(source: str, key: str | None) -> Iterator[Recording]:
    folder = _minari_folder(source)
    from minari import MinariDataset

    for episode in MinariDataset(folder):
        name, observations = f"{source} episode {episode.id}", episode.observations
        if isinstance(observations, Mapping):
            require(
                key in observations,
                f"{name} has observations of {', '.join(observations)}: expected the key of its pictures; set "
                f"collect.recorded_key=… (it is {'null' if key is None else key})",
            )
            observations = observations[key]
        yield Recording(
            name,
            {
                "frames": np.asarray(observations),
                "actions": np.asarray(episode.actions),
                "rewards": np.asarray(episode.rewards),
                "terminated": np.asarray(episode.terminations),
                "truncated": np.asarray(episode.truncations),
            },
        )


def _rollout(recording: Recording, spec: TaskSpec, env: EnvConfig) -> dict[str, np.ndarray]:
    """A recorded rollout's arrays in our format. Raises `ConfigError`."""
    name, arrays = recording
    missing = [array for array in NEEDED if array not in arrays]
    require(
        not missing,
        f"{name} lacks {', '.join(missing)}: expected the arrays {', '.join(NEEDED)} and, if known, {', '.join(ENDS)}",
    )
    rewards = _numbers(name, "rewards", arrays["rewards"])
    length = len(rewards)
    require(
        rewards.ndim == 1 and length >= 2,
        f"{name}: rewards has shape {rewards.shape}: expected (T,), two steps at least",
    )
    actions = _actions(name, arrays["actions"], length, spec)
    ends = {array: _flags(name, array, arrays[array], length) for array in ENDS if array in arrays}
    terminated = ends.get("terminated", np.zeros(length, dtype=bool))
    truncated = ends.get("truncated", np.zeros(length, dtype=bool))
    if not ends:
        truncated[-1] = True
    early = np.flatnonzero((terminated | truncated)[:-1])
    require(
        not len(early),
        f"{name} ends at step {early[0] if len(early) else 0} and goes on: expected one episode a file, {length} steps "
        "long",
    )
    return {
        "frames": _frames(name, arrays["frames"], length, env),
        "actions": actions,
        "rewards": rewards,
        "terminated": terminated,
        "truncated": truncated,
    }


def _actions(name: str, recorded: np.ndarray, length: int, spec: TaskSpec) -> np.ndarray:
    """Actions as vectors, (T, A) float32: as they are, or the task's own choices one-hot."""
    actions, width = _numbers(name, "actions", recorded), spec.action_size
    if isinstance(spec.actions, ChoiceCodec) and len(recorded) == length and recorded.shape != (length, width):
        try:
            return np.stack([spec.actions.encode(choice) for choice in recorded.astype(np.int64)])
        except ValueError as error:
            raise ConfigError(f"{name}: actions: {error}: expected choices of {spec.name}, or these one-hot") from error
    if actions.shape == (length,):
        actions = actions[:, None]
    require(
        actions.shape == (length, width),
        f"{name}: actions has shape {recorded.shape}: expected ({length}, {width}), a row for each reward and "
        f"as many numbers as an action of {spec.name} has; choose the env that was recorded",
    )
    return actions


def _numbers(name: str, array: str, values: np.ndarray) -> np.ndarray:
    """``values`` as float32."""
    require(values.dtype.kind in "biuf", f"{name}: {array} is {values.dtype}: expected numbers")
    require(bool(np.isfinite(values).all()), f"{name}: {array} has values that are not finite: expected numbers")
    return values.astype(np.float32)


def _flags(name: str, array: str, values: np.ndarray, length: int) -> np.ndarray:
    require(
        values.shape == (length,) and values.dtype.kind in "biu" and bool(np.isin(values, (0, 1)).all()),
        f"{name}: {array} is {values.dtype} {values.shape}: expected bool ({length},), a value for each reward",
    )
    return values.astype(bool)


def _frames(name: str, frames: np.ndarray, length: int, env: EnvConfig) -> np.ndarray:
    """As the agent sees them, (T, 64, 64, 3) uint8: without their lowest ``crop_bottom`` share and scaled by area
    averaging, unless they have that size already. Raises `ConfigError` where a window would have to be cut from them.
    """
    channels = frames.shape[3] if frames.ndim == 4 else 1
    require(
        frames.dtype == np.uint8
        and frames.ndim in (3, 4)
        and channels in (1, 3)
        and len(frames) in (length, length + 1)
        and frames.size > 0,
        f"{name}: frames is {frames.dtype} {frames.shape}: expected uint8 ({length}, H, W, 3), or grey, a picture for "
        "each reward and at most one more",
    )
    frames = frames[:length].reshape(*frames[:length].shape[:3], channels)
    height, width = FRAME_SHAPE[:2]
    if frames.shape[1:3] != (height, width):
        require(
            env.view == "whole",
            f"{name}: frames of {frames.shape[1]}×{frames.shape[2]} do not tell where the window of "
            f"env.view={env.view} lies: expected frames of {height}×{width} that show it; or use env.view=whole",
        )
        rows = max(1, round(frames.shape[1] * (1 - env.crop_bottom)))
        scaled = [cv2.resize(frame[:rows], (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
        frames = np.stack(scaled).reshape(length, height, width, channels)
    return np.ascontiguousarray(np.broadcast_to(frames, (length, *FRAME_SHAPE)))


def _seed(arrays: Mapping[str, np.ndarray]) -> int:
    """In place of an episode's seed: a hash of the rollout, so that the split follows from the data."""
    rollout_hash = hashlib.sha256()
    for array in arrays.values():
        rollout_hash.update(array.tobytes())
    return int.from_bytes(rollout_hash.digest()[:8], "big") >> (64 - SEED_BITS)
