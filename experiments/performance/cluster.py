"""Measures what a generation costs on a Ray cluster: ``python experiments/performance/cluster.py FILE.json``.

Agents are those of experiments/solve/car_racing, early (random controllers, as a search begins) and late (around the
mean it found). (1) The same generation of whole episodes with ``process`` and ``ray``, alternately, on as many
workers. (2) The same on local clusters of one and of two nodes of one core. (3) What `scaling.py` simulates with: the
time of a step by the number of episodes that share it, the lengths of episodes with patience and without,
the size of messages, and what an episode costs the process that hands it out.
"""

import argparse
import os
import pickle
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from worldmodels.config import config_to_json
from worldmodels.controller.agent import Agent, AgentEpisodes
from worldmodels.controller.policy import agent_parameters
from worldmodels.envs import make_env, task_spec
from worldmodels.rollouts.cluster import STORE_BYTES, RayExecutor
from worldmodels.rollouts.engine import Episode, Items, play
from worldmodels.rollouts.executor import Executor, SerialExecutor, one_thread
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.cores import usable_cores
from worldmodels.utils.files import write_json

RUN = Path(__file__).parents[1] / "solve" / "car_racing"
EPISODES, ROUNDS, SLOTS = 64, 2, 16
PATIENCE = 100
NODE_STEPS = 100  # of an episode, on nodes
SIGMA = 0.1  # of the controllers of a population
PENDING = (2, 64, 512)  # workers that are waited for at once


def work_of(run: FinishedRun, max_steps: int | None, slots: int = SLOTS) -> AgentEpisodes:
    return AgentEpisodes(config_to_json(run.config), run.vision.weights, run.memory.weights, max_steps, slots)


def population(run: FinishedRun, age: str, count: int) -> list[Episode]:
    """Controllers as a search has them, each in an episode of its own."""
    mean = agent_parameters(load_file(run.controller.weights))
    noise = np.random.default_rng(1).normal(0, SIGMA, (count, len(mean)))
    spread = np.abs(mean) if age == "late" else 1.0
    return [Episode(i, 10_000 + i, noise[i] * spread + (mean if age == "late" else 0)) for i in range(count)]


def generation(executor: Executor, work: AgentEpisodes, episodes: list[Episode]) -> dict[str, Any]:
    started, busy = time.perf_counter(), time.process_time()
    returns = {episode.label: total for episode, total in executor.map(work, episodes)}
    return {
        "seconds": time.perf_counter() - started,
        "driver": (time.process_time() - busy) / len(episodes),  # seconds of a core for each episode
        "returns": [returns[i] for i in range(len(episodes))],
    }


def alternately(ways: dict[str, Callable[[], dict[str, Any]]]) -> dict[str, Any]:
    """The first turn of each, which starts its workers, does not count."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            made = way()
            print(f"  {name}: {made['seconds']:.1f} s", flush=True)
            if turn:
                turns[name].append(made)
    returns = [made["returns"] for each in turns.values() for made in each]
    return {
        "same returns": all(each == returns[0] for each in returns),
        **{
            name: {
                "seconds": [made["seconds"] for made in each],
                "median": statistics.median(made["seconds"] for made in each),
                "driver": statistics.median(made["driver"] for made in each),
            }
            for name, each in turns.items()
        },
    }


def beside_processes(run: FinishedRun, workers: int) -> dict[str, Any]:
    work, episodes = work_of(run, None), population(run, "late", EPISODES)
    with closing(ProcessExecutor(workers)) as processes, closing(RayExecutor(workers)) as actors:
        found = alternately(
            {
                "process": lambda: generation(processes, work, episodes),
                "ray": lambda: generation(actors, work, episodes),
            }
        )
        found["wait"] = {count: waiting(actors, count) for count in PENDING}
    return {**found, "ratio": found["ray"]["median"] / found["process"]["median"]}


def waiting(executor: RayExecutor, count: int) -> float:
    """Seconds of one look at so many workers."""
    ray, worker = executor._ray, executor._workers[0]
    pending = [worker.pipe._actor.fetch.remote(5.0) for _ in range(count)]  # type: ignore[attr-defined]
    started = time.perf_counter()
    for _ in range(20):
        ray.wait(pending, num_returns=1, timeout=0)
    elapsed = (time.perf_counter() - started) / 20
    for reference in pending:
        ray.cancel(reference)
    return elapsed


def on_nodes(run: FinishedRun, nodes: int) -> dict[str, Any]:
    """A generation on a local cluster of so many nodes of one core, with nothing shared but the machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE_BYTES})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        work, episodes = work_of(run, NODE_STEPS), population(run, "late", EPISODES)
        with closing(RayExecutor(None, cluster.address)) as executor:
            assert executor.workers == nodes
            found = alternately({"ray": lambda: generation(executor, work, episodes)})
    finally:
        cluster.shutdown()
    return found["ray"]


def step_times(run: FinishedRun) -> dict[int, float]:
    """Seconds of a step of so many episodes in lockstep, one thread."""
    steps, found = 100, {}
    for count in (1, 2, 4, 8, 16):
        work, episodes = work_of(run, steps, count), population(run, "late", count)
        with closing(SerialExecutor()) as executor:
            turns = [generation(executor, work, episodes)["seconds"] / steps for _ in range(4)]
        found[count] = statistics.median(turns[1:])
    return found


def making(run: FinishedRun) -> float:
    """Seconds until an episode of CarRacing has its first frame."""
    started = time.perf_counter()
    for seed in range(10):
        env = make_env(run.config.env)
        env.reset(seed=seed)
        env.close()
    return (time.perf_counter() - started) / 10


def lengths(run: FinishedRun, age: str, patience: int | None, count: int) -> list[int]:
    config = run.config
    agent = Agent(config, task_spec(config.env), run.vision.weights, run.memory.weights, SLOTS)
    episodes = iter(population(run, age, count))
    with one_thread():
        played = play(Items(episodes), lambda: make_env(config.env), agent, SLOTS, patience=patience)
        return [each.steps for _, each in played]


def main(target: Path) -> None:
    run = FinishedRun(RUN)
    workers = usable_cores()
    found: dict[str, Any] = {"workers": workers, "load before": os.getloadavg()}
    print("beside processes", flush=True)
    found["generation"] = beside_processes(run, workers)
    found["load after"] = os.getloadavg()
    write_json(target, found)
    for nodes in range(1, workers + 1):
        print(f"{nodes} nodes", flush=True)
        found.setdefault("nodes", {})[nodes] = on_nodes(run, nodes)
    write_json(target, found)
    [episode] = population(run, "late", 1)
    found["bytes"] = {
        "episode": len(pickle.dumps((1, (0, episode)))),
        "result": len(pickle.dumps((0, 812.5))),
        "work": len(pickle.dumps(work_of(run, None)))
        + sum(path.stat().st_size for path in (run.vision.weights, run.memory.weights)),
    }
    found["step"], found["making"] = step_times(run), making(run)
    write_json(target, found)
    for age in ("early", "late"):
        for patience in (PATIENCE, None):
            print(f"lengths: {age}, patience {patience}", flush=True)
            found.setdefault("lengths", {})[f"{age}, {'whole' if patience is None else 'patience'}"] = lengths(
                run, age, patience, 64
            )
            write_json(target, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="JSON file to write")
    main(parser.parse_args().target)
