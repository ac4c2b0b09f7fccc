"""Collect: rollouts of a task by a policy, to train on or to be held out."""

import dataclasses
import functools
import importlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.config import Config, config_from_json, config_to_json
from worldmodels.envs import make_env, task_class, task_spec
from worldmodels.envs.registry import task_parts
from worldmodels.envs.renderers import rollout_libraries
from worldmodels.pipeline.stage import Stage, Work
from worldmodels.rollouts.config import POLICIES, POLICY, CollectConfig, RolloutsConfig
from worldmodels.rollouts.engine import Episode, Feed, play
from worldmodels.rollouts.executor import Executor, Results
from worldmodels.rollouts.mixing import mix
from worldmodels.rollouts.policies.base import make_players, sees
from worldmodels.rollouts.storage import Entry, RolloutStore, read_entry, write_index, write_rollout
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import DamagedFile
from worldmodels.utils.progress import Progress
from worldmodels.utils.seeds import episode_seed, generator
from worldmodels.utils.settings import counted
from worldmodels.utils.words import number_of

log = logging.getLogger(__name__)
COVERED = 500  # rollouts
AGENT = "worldmodels.rollouts.policies.agent"  # imported by its name: its code counts for agents' rollouts alone
RECORDED = "worldmodels.rollouts.recorded"  # imported by its name: its code counts for recorded rollouts alone


@dataclass(frozen=True)
class CollectRollouts:
    """Collects rollouts by number, each of which depends on the config and its number alone: work for an executor.
    ``node`` of the config says which rollouts.
    """

    config: str
    folder: Path
    slots: int = 1  # what does not see gains nothing from company, and a rollout fills 12 MB
    node: str = CollectConfig.node

    def __call__(self, feed: Feed) -> Results:
        config = config_from_json(self.config)
        settings = _node(config, self.node)
        assert settings.seed is not None
        limit, seed = settings.max_steps, settings.seed
        env = functools.partial(make_env, config.env, max_steps=limit, scatter=settings.scatter)
        spec = task_spec(config.env)

        def stream(number: int) -> np.random.Generator:
            return generator(seed, self.node, number, 0)

        players = make_players(settings, spec, self.slots, stream, config.allow)
        for episode, played in play(feed, env, players, self.slots, record=True):
            assert played.rollout is not None
            rollout = played.rollout
            total = float(rollout.rewards.sum(dtype=np.float64))
            yield episode, write_rollout(_path(self.folder, episode.label), rollout.arrays(), episode.seed, total)


def run(config: Config, executor: Executor, folder: Path, node: str = CollectConfig.node) -> dict[str, Any]:
    """Write the rollouts that ``node`` of the config describes, and their index; keep those that are there. Returns the
    summary.
    """
    settings = _node(config, node)
    done = _finished(folder)
    target_frames = settings.frames or settings.rollouts * (settings.max_steps or 0)
    frames_done = sum(entry.length for entry in done.values())
    mixed: list[Entry] = []
    if isinstance(settings, CollectConfig) and settings.mix:
        seeds = {episode.seed for episode in _missing({}, settings)}
        mixed = mix(settings.mix, counted(config.env, node), seeds, folder)
    with Progress(node, target_frames, "frames", frames_done) as progress:
        if (size := _size(done, settings)) is None:
            slots = config.executor.slots if sees(settings) else 1
            work = CollectRollouts(config_to_json(config), folder, slots, node)
            rollouts = executor.map(work, _missing(done, settings))
            for episode, entry in rollouts:
                done[episode.label] = entry
                progress.advance(entry.length)
                if (size := _size(done, settings)) is not None:
                    rollouts.close()
    assert size is not None
    for path in [*folder.glob("*.partial"), *(_path(folder, number) for number in done if number >= size)]:
        path.unlink(missing_ok=True)
    for path in folder.glob("[0-9]*.h5"):  # rollouts that were under way when there were enough
        if int(path.stem) >= size:
            path.unlink()
    entries = [done[number] for number in range(size)]
    require(
        any(entry.length > 1 for entry in (*entries, *mixed)),
        f"env.id={config.env.id} ended each of {number_of(size, 'rollout')} at its first frame ({node}): expected "
        "episodes of two frames or more, or M has nothing to predict; look at terminated and truncated of its step, "
        f"and at env.action_repeat={config.env.action_repeat}",
    )
    write_index(folder, [*entries, *mixed])
    returns = [entry.total_reward for entry in entries]
    summary = {
        "rollouts": size + len(mixed),
        "frames": sum(entry.length for entry in (*entries, *mixed)),
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns, ddof=1)),
        "coverage": _coverage(config, folder, size),
    }
    if mixed:
        summary["mixed"] = len(mixed)
    if settings.frames is not None and entries[0].length >= settings.frames:
        log.info(
            "  %s.frames=%d is less than two rollouts hold: they are kept whole, one to learn from and one to check by",
            node,
            settings.frames,
        )
    size_told = f"{number_of(summary['rollouts'], 'rollout')}, {number_of(summary['frames'], 'frame')}"
    log.info("  %s, return %.1f ± %.1f", size_told, summary["return_mean"], summary["return_std"])
    if summary["coverage"]:
        told = ", ".join(f"{name} {value:.3g}" for name, value in summary["coverage"].items())
        log.info("  coverage: %s", told)
    return summary


def _coverage(config: Config, folder: Path, size: int) -> dict[str, float]:
    """What the ``size`` new rollouts reach, by their states; of many, the first, which are as random as the rest."""
    store = RolloutStore(folder)
    states = [store.read(rollout, "states") for rollout in range(min(size, COVERED))]
    return task_class(config.env).coverage(states)


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
        log.info("  kept %s", "1 rollout that was there" if len(done) == 1 else f"{len(done)} rollouts that were there")
    return done


def _missing(done: dict[int, Entry], settings: RolloutsConfig) -> Iterator[Episode]:
    numbers = (number for number in range(settings.rollouts) if number not in done)
    return (Episode(i, episode_seed(settings.seed or 0, settings.node, i), player=i) for i in numbers)


def _size(done: dict[int, Entry], settings: RolloutsConfig) -> int | None:
    """Rollouts in the data set: the first n, as few as hold the frames asked for, two at least; None while one is
    missing.
    """
    frames = 0
    for number in range(settings.rollouts):
        if number not in done:
            return None
        frames += done[number].length
        if settings.frames is not None and frames >= settings.frames and number >= 1:
            return number + 1
    return settings.rollouts


def _node(config: Config, node: str) -> RolloutsConfig:
    """The settings of ``node`` with the run's seed and limit filled in."""
    settings: RolloutsConfig = getattr(config, node)
    seed = config.seed if settings.seed is None else settings.seed
    return dataclasses.replace(settings, seed=seed, max_steps=settings.max_steps or config.env.max_steps)


def _inputs(config: Config, node: str) -> dict[str, Any]:
    settings = counted(_node(config, node))
    if not task_class(config.env).scatters:
        settings.pop("scatter", None)
    inputs = {"env": counted(config.env, node), node: settings}
    if _agent_plays(config, node):
        beside = {name: value for name, value in counted(config.env, "controller").items() if name not in inputs["env"]}
        agent = importlib.import_module(AGENT)
        inputs["agent"] = agent.agent_counts(_policy(config, node), config.env, beside, config.allow)
    return inputs


def _policy(config: Config, node: str) -> Mapping[str, Any]:
    """The chosen policy and its settings."""
    policy = getattr(config, node).policy
    return policy if isinstance(policy, Mapping) else {parts.TARGET: policy}


def _agent_plays(config: Config, node: str) -> bool:
    """Whether the rollouts are those of a finished run's agent."""
    return not _recorded(config, node) and parts.target(POLICY, _policy(config, node)) == POLICIES["agent"]


def _recorded(config: Config, node: str) -> bool:
    """Whether the rollouts come from elsewhere."""
    return node == CollectConfig.node and config.collect.recorded is not None


def _build(work: Work, node: str) -> dict[str, Any]:
    if _recorded(work.config, node):
        return importlib.import_module(RECORDED).write(work.config, work.spec, work.folder)
    return run(work.config, work.executor, work.folder, node)


def _stage(node: str) -> Stage:
    def policy(config: Config) -> Any:
        return getattr(config, node).policy

    def code_parts(config: Config) -> list[str]:
        if _recorded(config, node):
            return [f"{RECORDED}.write"]
        chosen = [*task_parts(config.env), parts.target(POLICY, policy(config))]
        if _agent_plays(config, node):
            chosen += importlib.import_module(AGENT).networks(_policy(config, node), config.allow)
        return chosen

    def libraries(config: Config) -> list[str]:
        return ["numpy", "opencv-python-headless"] if _recorded(config, node) else rollout_libraries(config.env)

    return Stage(
        name=node,
        parents=lambda config: {},
        inputs=lambda config: _inputs(config, node),
        build=lambda work: _build(work, node),
        label=lambda config: "recorded" if _recorded(config, node) else parts.name(POLICY, policy(config)),
        parts=code_parts,
        libraries=libraries,
        seed=lambda config: 0 if _recorded(config, node) else _node(config, node).seed or 0,
    )


STAGE = _stage("collect")
HELDOUT = _stage("heldout")  # rollouts that no model of any run is trained on
