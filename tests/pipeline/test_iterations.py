"""The rounds of the iterative procedure."""

import csv
import json

import pytest

import worldmodels as wm
from worldmodels.controller.individuals import first_step
from worldmodels.controller.phases import phase_at
from worldmodels.pipeline.iterations import agents_row, best_round, next_round
from worldmodels.pipeline.stages import encode
from worldmodels.pipeline.stages.collect import STAGE as COLLECT
from worldmodels.store.artifacts import MANIFEST
from worldmodels.store.runs import FinishedRun

PHASES = (
    "controller.phases=[{generation: 1, inputs: [z]}, {generation: 21, inputs: [z, h], rollouts: 3},"
    " {generation: 31, max_steps: 500, where: dream, temperature: 1.3}]"
)


def test_a_round_follows_from_the_one_before(compose, tmp_path):
    config = compose("scale=quick", "env=lunar_lander", "iterations=3", "iteration.noise=0.3", "seed=7")
    second = next_round(config, tmp_path, 2)
    assert second.collect.policy == {"_target_": "agent", "run": str(tmp_path), "noise": 0.3, "persistence": 0.8}
    assert (second.collect.mix, second.transfer.source_run) == (str(tmp_path), str(tmp_path))
    assert second.transfer.load == ["vision", "memory", "controller"] and second.transfer.budget == 1
    assert second.collect.frames == config.collect.frames
    seeds = {COLLECT.seed(round_config) for round_config in (config, second, next_round(config, tmp_path, 3))}
    assert len(seeds) == 3
    assert (second.seed, second.heldout, second.evaluate) == (config.seed, config.heldout, config.evaluate)


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([{"validation": 3.0}, {}, {"validation": 9.0}, {"validation": 9}], 3),
        ([{}], None),
        ([{"validation": 3.0}, {"validation": 2.0, "dream": 8.0}], None),  # found in dreams: the task is not asked
        ([{"validation": 9.0, "dream": 1.0}, {"validation": 3.0}, {"validation": 2.0}], 2),
    ],
)
def test_the_agent_is_that_of_the_round_that_validated_best(rows, best):
    assert best_round([{"round": number, **row} for number, row in enumerate(rows, start=1)]) == best


DREAMT = [
    {"generation": 1, "validation": 9.0},
    {"generation": 2},
    {"generation": 3, "validation": 2.0, "dream": -7.0},
    {"generation": 4, "validation": 8.0, "dream": -8.0},
]


@pytest.mark.parametrize(
    ("phases", "generations", "chosen"),
    [
        ("", DREAMT[:2], DREAMT[0]),
        ("", DREAMT[1:2], None),
        ("{generation: 2, where: dream}", DREAMT, DREAMT[2]),
        ("{generation: 2, where: dream}", DREAMT[:2], None),
    ],
)
def test_what_a_round_validated_is_its_agent(compose, phases, generations, chosen):
    """In dreams the agent is the mean with the best dreams, which need not be the one that does best in the task."""
    search = compose("env=lunar_lander", f"controller.phases=[{phases}]").controller
    assert agents_row(search, generations) == chosen


@pytest.mark.parametrize(("strategy", "module"), [("random_lstm", "memory.lstm"), ("random_memory", "memory")])
def test_what_stays_as_it_begins_does_so_in_every_round(compose, tmp_path, strategy, module):
    config = compose("env=lunar_lander", "iterations=2", f"transfer={strategy}", "iteration.freeze=[vision]")
    assert next_round(config, tmp_path, 2).transfer.freeze == [module, "vision"]


def test_the_search_goes_on_with_its_phases(compose, tmp_path):
    config = compose("scale=quick", "env=lunar_lander", "iterations=3", "controller.generations=15", PHASES)
    for number in (2, 3):
        searched, done = next_round(config, tmp_path, number).controller, 15 * (number - 1)
        assert searched.after == done
        for generation in (1, 5, 6, 10, 15):
            whole, now = phase_at(config.controller, done + generation), phase_at(searched, generation)
            for name in ("inputs", "rollouts", "max_steps", "patience", "where", "temperature"):
                assert getattr(now, name) == getattr(whole, name), (number, generation, name)
    assert next_round(config, tmp_path, 3).controller.search["sigma"] == pytest.approx(0.3 * first_step(2 * 289))


@pytest.mark.parametrize(("hidden", "size"), [("null", 2 * 21), ("8", 8 * 21 + 2 * 9)])
def test_the_first_step_is_that_of_what_is_searched(compose, tmp_path, hidden, size):
    searched = ("controller=salience", f"controller.hidden={hidden}")
    config = compose("scale=quick", "env=lunar_lander", "iterations=2", *searched)
    assert next_round(config, tmp_path, 2).controller.search["sigma"] == pytest.approx(0.3 * first_step(size))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stage=vision"], "needs an agent that collects, which stage=vision does not reach"),
        (["rung=state"], "goes on from the agent, and C reads the true state: expected iterations=1"),
        (["transfer=freeze_encoder"], "and transfer=freeze_encoder would hold in the first alone"),
        (["transfer.budget=0.5"], "and transfer=scratch would hold in the first alone"),
        (["iterations=0"], "iterations=0 is too small"),
    ],
)
def test_what_makes_no_sense_is_refused(compose, overrides, message):
    with pytest.raises(wm.ConfigError, match=message):
        compose("env=lunar_lander", "iterations=2", *overrides)


@pytest.mark.slow
def test_two_rounds_and_the_same_command_again(commands):
    small = ("env=lunar_lander", "iterations=2", "vae.epochs=1", "collect.max_steps=20", "heldout.rollouts=2")
    small += ("probe.enabled=false", "measure.enabled=false", "evaluate.video=false")
    printed = commands.train(*small)
    assert "round 2 of 2" in printed and "starting with 578 of 578 parameters from the source" in printed
    (folder,) = {path.parent.parent for path in commands.outputs.rglob("round1/results.json")}
    results = json.loads((folder / "results.json").read_text())
    first, second = (json.loads((folder / f"round{number}" / "results.json").read_text()) for number in (1, 2))
    agents = [each["stages"]["controller"]["artifact"] for each in (results, second)]
    assert results["round"] == 2 and agents[0] == agents[1], "nothing was validated"
    assert [row["frames"] for row in results["rounds"]] == [
        first["collect"]["frames"],
        results["collect"]["frames"],
    ]
    assert results["collect"]["frames"] > first["collect"]["frames"] and results["collect"]["mixed"] == 4
    assert [row["score"] for row in results["rounds"]] == [
        first["evaluation"]["mean"],
        results["evaluation"]["mean"],
    ]
    assert results["parameters"]["vision"]["copied"] == results["parameters"]["vision"]["total"]
    with (folder / "rounds.csv").open(newline="") as file:
        assert [row["round"] for row in csv.DictReader(file)] == ["1", "2"]
    assert wm.load(folder).agent() is not None
    assert "4 rollouts were encoded before" not in printed, "V trained on"
    again = commands.train(*small)
    assert "building" not in again
    assert commands.results()[-1]["rounds"] == results["rounds"]


@pytest.mark.slow
def test_a_frozen_v_stays_as_it_is_and_encodes_each_rollout_once(commands, tmp_path):
    """Its count of usual colours too, which LunarLander's V has; and what is reused is what would be encoded."""
    small = ("env=lunar_lander", "iterations=2", "iteration.freeze=[vision]", "vae.epochs=1", "collect.max_steps=20")
    small += ("heldout.rollouts=2", "probe.enabled=false", "measure.enabled=false", "evaluate.video=false")
    small += ("controller.validate_every=1", "controller.validation_episodes=2")
    printed = commands.train(*small)
    assert "4 rollouts were encoded before" in printed
    (folder,) = {path.parent.parent for path in commands.outputs.rglob("round1/results.json")}
    first, second = (FinishedRun(folder / f"round{number}") for number in (1, 2))
    chosen = FinishedRun(folder).results
    best = max(chosen["rounds"], key=lambda row: row["validation"])["round"]
    assert chosen["round"] == best and f"the run's agent is that of round {best}, which validated best" in printed
    assert chosen["stages"]["controller"]["artifact"] == (first, second)[best - 1].controller.name
    assert second.vision.weights.read_bytes() == first.vision.weights.read_bytes()
    stored, anew = second.artifact("encode").path, tmp_path / "anew"
    anew.mkdir()
    encode.run(second.config, second.artifact("collect").path, second.vision.weights, anew)
    files = {path.name: path.read_bytes() for path in stored.iterdir() if path.is_file() and path.name != MANIFEST}
    assert len([name for name in files if name.startswith("mixed-")]) == 4 and len(files) == 9
    assert {path.name: path.read_bytes() for path in anew.iterdir()} == files
