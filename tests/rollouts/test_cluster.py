"""Rollouts on a Ray cluster of two nodes on this machine: the same to the last bit, also when a node dies."""

import dataclasses
import os
import socket
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from worldmodels.config import config_to_json
from worldmodels.controller.agent import AgentEpisodes, controller_size
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.stages.collect import CollectRollouts
from worldmodels.rollouts.config import ExecutorConfig
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import SerialExecutor, make_executor
from worldmodels.rollouts.storage import read_entry
from worldmodels.transfer.weights import save_weights
from worldmodels.utils.errors import ConfigError, Failure

EPISODES, STEPS = 24, 40


@dataclasses.dataclass(frozen=True)
class Refused:
    slots: int = 1

    def __call__(self, feed):
        raise ConfigError("a request that only a worker can refuse")


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one core each; the first is the head, which stays."""
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2**27})
    try:
        yield found
    finally:
        found.shutdown()


@pytest.mark.slow
def test_a_cluster_gives_what_this_process_gives_also_when_a_node_dies(cluster, compose, tmp_path):
    second = cluster.add_node(num_cpus=1, object_store_memory=2**27)
    config = compose("scale=smoke", "env=car_racing", "trainer.precision=32-true", "controller.phases=[]")
    spec = task_spec(config.env)
    vision, memory = tmp_path / "vision.safetensors", tmp_path / "memory.safetensors"
    save_weights(make_vision(config), vision)
    save_weights(make_memory(config, spec.action_size), memory)
    players = np.random.default_rng(0).normal(0, 0.1, (EPISODES, controller_size(config, spec.outputs)))
    episodes = [Episode(i, 100 + i, player) for i, player in enumerate(players)]
    work = AgentEpisodes(config_to_json(config), vision, memory, STEPS, slots=4)
    expected = {episode.label: total for episode, total in SerialExecutor().map(work, episodes)}

    with closing(make_executor(ExecutorConfig(engine="ray", address=cluster.address), cores=1)) as executor:
        assert executor.workers == 2  # type: ignore[attr-defined]
        assert {episode.label: total for episode, total in executor.map(work, episodes)} == expected

        results = executor.map(work, episodes * 2)
        played = [next(results) for _ in range(3)]
        cluster.remove_node(second, allow_graceful=False)
        played += results
        assert sorted(episode.label for episode, _ in played) == sorted([*range(EPISODES)] * 2)
        assert all(total == expected[episode.label] for episode, total in played)

        with pytest.raises(ConfigError, match="only a worker can refuse"):
            list(executor.map(Refused(), [0]))


@pytest.mark.slow
def test_rollouts_come_back_as_files(cluster, compose, tmp_path):
    config = compose("scale=smoke", "env=lunar_lander", "collect.max_steps=20")
    numbers = [Episode(i, i, i) for i in range(3)]
    engine = {"_target_": "ray", "patience_seconds": 60}
    folders = [tmp_path / "here", tmp_path / "there"]
    made = (SerialExecutor(), make_executor(ExecutorConfig(engine=engine, address=cluster.address), cores=1))
    entries = []
    for folder, executor in zip(folders, made, strict=True):
        folder.mkdir()
        with closing(executor):
            work = CollectRollouts(config_to_json(config), folder)
            entries.append({episode.label: entry for episode, entry in executor.map(work, numbers)})
    assert entries[0] == entries[1]
    for entry in entries[0].values():
        assert read_entry(folders[1] / entry.file) == entry
        assert (folders[0] / entry.file).read_bytes() == (folders[1] / entry.file).read_bytes()
    assert len(list(folders[1].iterdir())) == 3
    assert not list(Path("/tmp").glob(f"worldmodels-{os.getuid()}-*/written-*/*"))


def test_what_is_no_address_is_refused():
    pytest.importorskip("ray", reason="needs the extra ray")
    executor = make_executor(ExecutorConfig({"_target_": "ray"}, address="nonsense"), cores=1)
    with pytest.raises(ConfigError, match=r"executor\.address=nonsense is no address of a Ray cluster"):
        list(executor.map(Refused(), [0]))


def test_an_address_is_for_a_cluster():
    with pytest.raises(ConfigError, match=r"executor\.address=auto is a cluster, which executor=process does not use"):
        make_executor(ExecutorConfig(address="auto"), cores=1)


def test_an_address_at_which_nothing_listens_is_told_at_once():
    pytest.importorskip("ray", reason="needs the extra ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but does not listen
        for address in (f"127.0.0.1:{taken.getsockname()[1]}", f"ray://127.0.0.1:{taken.getsockname()[1]}"):
            executor = make_executor(ExecutorConfig({"_target_": "ray"}, address=address), cores=1)
            with pytest.raises(
                Failure, match=rf"executor\.address={address} is no Ray cluster that can be reached"
            ) as end:
                list(executor.map(Refused(), [0]))
            assert ("RAY_AUTH_MODE=token" in str(end.value)) == address.startswith("ray://")
