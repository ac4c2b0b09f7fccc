"""An episode of the real task, to dream under its actions."""

import dataclasses

import numpy as np

from worldmodels.controller.agent import knows
from worldmodels.envs import make_env, task_spec
from worldmodels.rollouts.config import POLICIES, POLICY, CollectConfig
from worldmodels.rollouts.engine import Episode, Items, Rollout, play
from worldmodels.rollouts.policies.base import make_players
from worldmodels.store.runs import FinishedRun
from worldmodels.utils import parts
from worldmodels.utils.seeds import episode_seed, generator

CHANGES_RESULTS = False  # shows what a run knows


def real_episode(run: FinishedRun, seed: int, steps: int) -> Rollout:
    """An episode of at most so many steps of an agent, by the policy that collected the run's rollouts."""
    env = run.config.env

    def stream(_: None) -> np.random.Generator:
        return generator(seed, "figures", 0)

    episode = Episode("dream", episode_seed(seed, "figures", 1), None)
    players = make_players(collected_by(run), task_spec(env), 1, stream, run.allow)
    limit = steps * env.action_repeat
    [(_, played)] = play(Items(iter([episode])), lambda: make_env(env, max_steps=limit), players, 1, record=True)
    assert played.rollout is not None
    return played.rollout


def collected_by(run: FinishedRun) -> CollectConfig:
    """How the rollouts of a run were collected. Where an agent did, the run's own takes its place, if it has one that
    sees pixels: the run of that agent may be elsewhere by now, or gone.
    """
    collect = run.config.collect
    plays = parts.target(POLICY, collect.policy) == POLICIES["agent"] and "controller" in run.results["stages"]
    if not plays or knows(run.config):
        return collect
    return dataclasses.replace(collect, policy={**collect.policy, "run": str(run.folder)})
