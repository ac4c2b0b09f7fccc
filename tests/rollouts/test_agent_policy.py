"""Rollouts of a finished run's agent, and of earlier runs beside new ones."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import worldmodels as wm
from worldmodels.config import plain
from worldmodels.controller.agent import agent_parts, controller_size
from worldmodels.dreams.reality import real_episode
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.iterations import next_round
from worldmodels.pipeline.stages import collect
from worldmodels.rollouts import mixing
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.rollouts.policies.base import random_policy
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.building import Store
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.weights import save_weights
from worldmodels.utils.seeds import generator

SMALL = (
    *("env=lunar_lander", "scale=smoke", "vae=cvae", "vae.network.latent_size=4", "memory.network.hidden_size=6"),
    *("trainer.precision=32-true", "collect.rollouts=3", "collect.max_steps=12", "executor.slots=2"),
)


def finished_run(config, folder, scale=1.0):
    """A run with fresh V and M, a C at random, and a few rollouts."""

    def write(save):
        return lambda made: save(made / WEIGHTS) or {}

    def chosen(path):
        rng = np.random.default_rng(0)
        parameters = scale * rng.normal(size=controller_size(config, 2))
        save_file(dict.fromkeys(("mean", "best", "agent"), parameters), path)

    store, facts = Store(folder / "artifacts"), {}
    vision = store.build("vision", "v", {}, {}, write(lambda path: save_weights(make_vision(config), path)), facts)
    memory = store.build("memory", "m", {}, {}, write(lambda path: save_weights(make_memory(config, 2), path)), facts)
    models = {"vision": vision, "memory": memory}
    controller = store.build("controller", "c", {"scale": scale}, models, write(chosen), facts)
    inputs = collect.STAGE.inputs(config)
    rollouts = store.build("collect", "r", inputs, {}, lambda made: collect.run(config, SerialExecutor(), made), facts)
    made = {**models, "controller": controller, "collect": rollouts}
    results = {
        "config": plain(config),
        "artifacts": "artifacts",
        "stages": {stage: {"artifact": artifact.name} for stage, artifact in made.items()},
    }
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture(scope="module")
def run(compose, tmp_path_factory):
    return finished_run(compose(*SMALL), tmp_path_factory.mktemp("run"))


def collected(compose, folder, run, *overrides, noise=0.0, mix=None, **settings):
    folder.mkdir(exist_ok=True)
    config = compose(*SMALL, f"collect.policy={{_target_: agent, run: '{run}', noise: {noise}}}", *overrides)
    config.collect.mix = mix and str(mix)
    summary = collect.run(config, SerialExecutor(), folder)
    return RolloutStore(folder), summary


def test_without_noise_it_plays_as_the_agent(compose, run, tmp_path):
    store, _ = collected(compose, tmp_path / "a", run)
    agent = wm.load(run).agent()
    for rollout in range(3):
        agent.reset()
        actions = [agent.act(frame) for frame in store.read(rollout, "frames")]
        np.testing.assert_array_equal(store.read(rollout, "actions"), actions)


def test_noise_is_of_each_episode_alone_and_actions_stay_the_tasks(compose, run, tmp_path):
    stores = [
        collected(compose, tmp_path / str(slots), run, f"executor.slots={slots}", noise=0.5)[0] for slots in (1, 3)
    ]
    quiet, _ = collected(compose, tmp_path / "quiet", run)
    for rollout in range(3):
        noisy, other = (store.read(rollout, "actions") for store in stores)
        np.testing.assert_array_equal(noisy, other)
        assert not np.array_equal(noisy, quiet.read(rollout, "actions"))
        assert np.abs(noisy).max() <= 1
    assert not np.array_equal(stores[0].read(0, "actions")[:4], stores[0].read(1, "actions")[:4])


def test_m_remembers_the_actions_that_were_taken(compose, run, tmp_path):
    """C's own decisions beside them are those of an agent that is told the same."""
    store, _ = collected(compose, tmp_path / "a", run, noise=0.5)
    agent, taken = wm.load(run).agent()._agent, store.read(0, "actions")
    parameters = wm.load(run).controller.agent
    agent.begin(0, parameters)
    own = []
    for frame, action in zip(store.read(0, "frames"), taken, strict=True):
        agent.act([0], frame[None], disturb=lambda slots, actions, taken=action: own.append(actions[0]) or taken[None])
    noise = (taken - np.array(own))[np.abs(taken).max(axis=1) < 1]
    assert len(noise) > 2 and 0.05 < noise.std() < 1.5


def test_rollouts_of_an_earlier_run_are_in_the_data_set(compose, run, tmp_path):
    store, summary = collected(compose, tmp_path / "a", run, "collect.seed=1", noise=0.2, mix=run)
    earlier = RolloutStore(wm.load(run).finished.artifact("collect").path)
    assert len(store) == summary["rollouts"] == 6 and summary["mixed"] == 3
    assert summary["frames"] == store.lengths.sum()
    for number in range(3):
        np.testing.assert_array_equal(store.read(3 + number, "frames"), earlier.read(number, "frames"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    (tmp_path / "a" / "000001.h5").unlink()
    (tmp_path / "a" / "mixed-000002.h5").unlink()
    collected(compose, tmp_path / "a", run, "collect.seed=1", noise=0.2, mix=run)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


@pytest.mark.parametrize("earlier", ["there", "gone"])
def test_a_dream_of_a_round_is_under_the_actions_of_its_own_agent(compose, tmp_path, earlier):
    """Also once the round before, whose agent collected, is gone."""
    first = finished_run(compose(*SMALL), tmp_path / "first", scale=2.0)
    collected_by_first = f"collect.policy={{_target_: agent, run: '{first}', noise: 0.0}}"
    second = finished_run(compose(*SMALL, collected_by_first), tmp_path / "second")
    if earlier == "gone":
        shutil.rmtree(first)
    rollout = real_episode(FinishedRun(second), seed=0, steps=6)
    agent = wm.load(second).agent()
    np.testing.assert_array_equal(rollout.actions, [agent.act(frame) for frame in rollout.frames])
    assert len(rollout.frames) == 6 and rollout.frames.any()


def test_a_dream_of_random_rollouts_is_under_the_actions_of_their_policy(compose, run):
    config = compose(*SMALL)
    rollout = real_episode(FinishedRun(run), seed=1, steps=6)
    policy = random_policy(config.collect, task_spec(config.env), generator(1, "figures", 0))
    np.testing.assert_array_equal(rollout.actions, [policy.act() for _ in range(6)])


def test_rollouts_on_another_disk_are_copied(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    source, target = tmp_path / "theirs.h5", tmp_path / "mixed-000000.h5"
    source.write_bytes(b"a rollout")
    mixing._link(source, target)
    assert target.read_bytes() == b"a rollout" and sorted(tmp_path.iterdir()) == [target, source]


def test_what_counts_is_the_agent_and_the_rollouts_and_not_their_folder(compose, run, tmp_path):
    config = compose(*SMALL)
    same, other = finished_run(config, tmp_path / "same"), finished_run(config, tmp_path / "other", scale=2.0)

    def inputs(folder, mix=None):
        config = compose(*SMALL, f"collect.policy={{_target_: agent, run: '{folder}'}}")
        config.collect.mix = mix and str(mix)
        return collect.STAGE.inputs(config)["collect"]

    assert inputs(run) == inputs(same) != inputs(other)
    assert inputs(run, run) == inputs(run, other) != inputs(run)
    assert str(run) not in json.dumps(inputs(run, run))


@pytest.mark.parametrize("override", ["env.squash=[clip,clip]", "trainer.precision=bf16-mixed"])
def test_what_changes_its_actions_counts(compose, tmp_path, override):
    config, other = compose(*SMALL), compose(*SMALL, override)
    runs = [finished_run(config, tmp_path / "run"), finished_run(other, tmp_path / "other")]

    def inputs(run, *overrides):
        return collect.STAGE.inputs(compose(*SMALL, f"collect.policy={{_target_: agent, run: '{run}'}}", *overrides))

    whole = inputs(runs[0])
    changed = inputs(runs[1]) if override.startswith("trainer") else inputs(runs[0], override)
    assert whole["agent"] != changed["agent"] and whole["env"] == changed["env"]
    assert collect.STAGE.inputs(config) == collect.STAGE.inputs(other)


def test_the_code_of_its_networks_counts(compose, run):
    played = compose(*SMALL, f"collect.policy={{_target_: agent, run: '{run}'}}")
    networks = agent_parts(compose(*SMALL))
    assert networks and set(networks) <= set(collect.STAGE.parts(played))
    assert set(networks).isdisjoint(collect.STAGE.parts(compose(*SMALL)))


def test_a_run_of_ones_own_classes_plays_where_they_are_allowed(compose, tmp_path, monkeypatch):
    (tmp_path / "vision_of_mine.py").write_text("from worldmodels.vision.network import ConvVAE as MyVAE\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = "vae.network={_target_: vision_of_mine.MyVAE, latent_size: 4}"
    small = [override for override in SMALL if not override.startswith("vae")]
    run = finished_run(compose(*small, own), tmp_path / "run")
    with pytest.raises(wm.ConfigError, match=r"add allow=\[vision_of_mine\]"):
        collected(compose, tmp_path / "a", run)
    store, _ = collected(compose, tmp_path / "a", run, "allow=[vision_of_mine]")
    assert len(store) == 3
    second = next_round(compose(*small, own, "iterations=2"), run, 2)
    assert "vision_of_mine.MyVAE" in collect.STAGE.parts(second)


def test_what_cannot_be_is_refused(compose, run, tmp_path):
    with pytest.raises(wm.ConfigError, match=r"has a C of 22 parameters, and this env asks for 11"):
        collected(compose, tmp_path / "d", run, "env.kwargs={continuous: false}", "env.discrete=threshold")
    with pytest.raises(wm.ConfigError, match=r"has 3 episodes with the seeds of new ones.*set collect.seed"):
        collected(compose, tmp_path / "e", run, mix=run)
    assert not list((tmp_path / "e").iterdir())
    with pytest.raises(wm.ConfigError, match=r"takes the place of new rollouts, which collect.mix=DIR joins"):
        compose(*SMALL, "collect.recorded=folder", "collect.mix=DIR")
    with pytest.raises(wm.ConfigError, match=r"expected one, for example collect.policy.run=DIR"):
        collect.STAGE.inputs(compose(*SMALL, "collect.policy=agent"))
    played = f"collect.policy={{_target_: agent, run: '{run}'}}"
    with pytest.raises(wm.ConfigError, match=r"plays lunar_lander: expected an agent of car_racing"):
        collect.STAGE.inputs(compose(*SMALL, played, "env=car_racing"))
    for name, theirs, ours in (("crop_bottom", "0.0", "0.1"), ("picture", "auto", "render"), ("action_repeat", 1, 2)):
        told = rf"was trained with env.{name}={theirs}, and this run has env.{name}={ours}: .*; set env.{name}={theirs}"
        with pytest.raises(wm.ConfigError, match=told):
            collect.STAGE.inputs(compose(*SMALL, played, f"env.{name}={ours}"))
    with pytest.raises(wm.ConfigError, match="nowhere is no run"):
        collected(compose, tmp_path / "b", "nowhere")
    with pytest.raises(wm.ConfigError, match="has rollouts of another task or other settings of it"):
        collected(compose, tmp_path / "c", run, "env.action_repeat=2", mix=run)
