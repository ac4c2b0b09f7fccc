"""Collect: random rollouts of a task."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config import Config, config_from_json, config_to_json
from worldmodels.envs import make_env
from worldmodels.errors import DamagedFile
from worldmodels.progress import Progress
from worldmodels.rollouts.episode import record
from worldmodels.rollouts.executor import Executor
from worldmodels.rollouts.policies import random_policy
from worldmodels.rollouts.storage import Entry, read_entry, write_index, write_rollout
from worldmodels.seeds import episode_seed, generator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CollectRollout:
    """Collects rollout number i, which depends on the config and i alone."""

    config: str
    folder: Path

    def __call__(self, number: int) -> Entry:
        config = config_from_json(self.config)
        seed = episode_seed(config.collect.seed, "collect", number)
        env = make_env(config.env, max_steps=config.collect.max_steps or config.env.max_steps)
        try:
            policy = random_policy(config.collect, env.task_spec, generator(config.collect.seed, "collect", number, 0))
            rollout = record(env, policy, seed)
        finally:
            env.close()
        total = float(rollout.rewards.sum(dtype=np.float64))
        return write_rollout(_path(self.folder, number), rollout.arrays(), seed, total)


def run(config: Config, executor: Executor, folder: Path) -> dict[str, Any]:
    """Write rollouts and their index; keep those that are there. Returns the summary."""
    done = _finished(folder)
    wanted = config.collect.frames or config.collect.rollouts * (config.collect.max_steps or config.env.max_steps)
    kept = sum(entry.length for entry in done.values())
    with Progress("collect", wanted, "frames", kept) as progress:
        if (size := _size(done, config)) is None:
            rollouts = executor.map(CollectRollout(config_to_json(config), folder), _missing(done, config))
            for number, entry in rollouts:
                done[number] = entry
                progress.advance(entry.length)
                if (size := _size(done, config)) is not None:
                    rollouts.close()
    assert size is not None
    for path in [*folder.glob("*.partial"), *(_path(folder, number) for number in done if number >= size)]:
        path.unlink(missing_ok=True)
    for path in folder.glob("[0-9]*.h5"):  # rollouts that were under way when there were enough
        if int(path.stem) >= size:
            path.unlink()
    entries = [done[number] for number in range(size)]
    write_index(folder, entries)
    returns = [entry.total_reward for entry in entries]
    summary = {
        "rollouts": size,
        "frames": sum(entry.length for entry in entries),
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns, ddof=1)),
    }
    log.info("  %(rollouts)d rollouts, %(frames)d frames, return %(return_mean).1f ± %(return_std).1f", summary)
    return summary


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.h5"


def _finished(folder: Path) -> dict[int, Entry]:
    done = {}
    for path in sorted(folder.glob("[0-9]*.h5")):
        try:
            done[int(path.stem)] = read_entry(path)
        except DamagedFile as error:
            log.warning("%s", error)
            path.unlink()
    if done:
        log.info("  kept %d rollouts that were there", len(done))
    return done


def _missing(done: dict[int, Entry], config: Config) -> Iterator[int]:
    return (number for number in range(config.collect.rollouts) if number not in done)


def _size(done: dict[int, Entry], config: Config) -> int | None:
    """Rollouts in the data set: the first n, as few as hold the frames asked for, two at least; None while one is
    missing.
    """
    frames = 0
    for number in range(config.collect.rollouts):
        if number not in done:
            return None
        frames += done[number].length
        if config.collect.frames is not None and frames >= config.collect.frames and number >= 1:
            return number + 1
    return config.collect.rollouts
