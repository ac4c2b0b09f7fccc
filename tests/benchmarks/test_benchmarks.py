"""The benchmark's measurements, on sizes too small to mean anything: that each measures what it says."""

import dataclasses
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from worldmodels.benchmarks import agents, models, rendering, summary, turns
from worldmodels.envs import TASKS, task_spec
from worldmodels.envs.renderers import RENDERERS
from worldmodels.pipeline.estimate import Rates, stage_seconds
from worldmodels.rollouts.executor import SerialExecutor

COMMITTED = Path(__file__).parents[2] / "experiments" / "performance" / "cpu.json"
SMALL = [
    *("collect.rollouts=4", "collect.max_steps=12", "collect.frames=null", "vae.batch_size=4", "trainer=cpu"),
    *("memory.batch_size=2", "memory.sequence_length=6", "executor.slots=2"),
]


@pytest.fixture(scope="module")
def measured():
    return json.loads(COMMITTED.read_text())


def test_a_rate_is_the_median_of_turns_taken_alternately():
    taken, a, b = [], iter([9.0, 1.0, 5.0, 3.0]), iter([9.0, 2.0, 2.0, 8.0])

    def way(name, values):
        taken.append(name)
        return next(values)

    rates = turns.alternately({"a": lambda: way("a", a), "b": lambda: way("b", b)}, rounds=3)
    assert rates == {"a": 3.0, "b": 2.0}  # the first turn of each only warms up
    assert taken == ["a", "b"] * 4


@pytest.mark.parametrize("task", TASKS)
def test_stepping_times_the_steps_alone(compose, task):
    config = compose(f"env={task}")
    started = time.perf_counter()
    rate = rendering.stepping(config, "fast", steps=20)
    assert rate >= 20 / (time.perf_counter() - started)


@pytest.mark.parametrize("task", ["lunar_lander", "cart_pole"])
def test_a_task_is_drawn_in_the_ways_it_has(compose, task, monkeypatch):
    monkeypatch.setattr(rendering, "STEPS", 3)
    monkeypatch.setattr(rendering, "QUICK_REPEATS", 1)
    found = rendering.renderers(compose(f"env={task}"))
    assert set(found) == {"gymnasium", "physics"} | ({"exact", "fast"} if task == "lunar_lander" else set())
    assert min(found.values()) > 0


@pytest.mark.parametrize("inputs", ["z", "z,h"])
def test_agents_play_what_is_counted(compose, tmp_path, monkeypatch, inputs):
    heads = ["memory.network.reward_head=gaussian", "memory.network.end_head=true"]
    config = compose("scale=smoke", *SMALL, f"controller.inputs=[{inputs}]", *heads)
    monkeypatch.setattr(agents, "EPISODE_STEPS", 5)
    monkeypatch.setattr(agents, "DREAM_STEPS", 2)
    spec = task_spec(config.env)
    weights = agents.fresh_weights(config, spec, tmp_path)
    assert agents.agents(config, spec, *weights, SerialExecutor(), episodes=3) > 0
    assert agents.reference_agent(config, spec, *weights, steps=3) > 0
    assert agents.dreaming(config, spec) > 0


def test_training_and_encoding_are_measured_on_the_same_data(compose, tmp_path):
    config = compose("scale=smoke", *SMALL)
    dataset, collected = models.data(config, tmp_path / "dataset", SerialExecutor())
    encoded = models.encoding(config, dataset, tmp_path / "encoded")
    vision = models.vision_training(config, dataset, steps=5)
    memory = models.memory_training(config, tmp_path / "encoded", steps=5)
    assert min(collected, encoded, *vision.values(), *memory.values()) > 0
    assert set(vision) == set(memory) == {"ours", "reference", "data"}


def test_the_committed_benchmark_has_every_figure_the_tables_show(measured):
    console = Console(record=True, width=160)
    for table in summary.tables(measured):
        console.print(table)
    text = console.export_text()
    for figure in measured["figures"]:
        assert figure["name"] in text
        assert figure["goal"] is None or figure["met"] == ((figure["ratio"] or figure["rate"]) >= figure["goal"])
        if figure["reference"]:
            assert figure["ratio"] == pytest.approx(figure["rate"] / figure["reference"])


def test_expected_times_rest_on_the_committed_benchmark(measured, compose):
    for name, rate in dataclasses.asdict(Rates()).items():
        assert _flat(rate) == pytest.approx(_flat(measured["rates"][name]), rel=0.03), name
    rates = Rates(**measured["rates"])
    assert set(rates.drawn) == set(rates.physics) == set(TASKS)
    assert all(set(drawn) == set(RENDERERS) for drawn in rates.drawn.values())
    config = compose("scale=quick", "trainer.precision=bf16-mixed")
    again = stage_seconds(config, measured["machine"]["workers"], rates)
    assert again == pytest.approx(measured["estimates"]["quick"]["car_racing"])


def _flat(value):
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in _flat(value[key])]
    return [value]
