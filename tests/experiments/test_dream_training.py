"""The study's tables from the figures of searches."""

import csv
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT, Commands, script

from worldmodels.controller.config import ControllerConfig, PhaseConfig

SCRIPT = ROOT / "experiments" / "dream_training" / "analyse.py"


@pytest.fixture(scope="module")
def analysis() -> ModuleType:
    return script(SCRIPT)


@pytest.fixture(scope="module")
def actions() -> ModuleType:
    return script(SCRIPT.with_name("actions.py"))


def searches(env: str) -> list[dict]:
    return [
        {"env": env, "temperature": tau, "seed": seed, "dream": 100 * tau + seed, "reality": 10.0 * seed, "random": 5.0}
        for tau in (1.15, 0.5)
        for seed in range(3)
    ]


def test_a_line_is_a_temperature_beside_the_papers(analysis):
    rows = [*searches("take_cover"), searches("car_racing")[0]]
    alone, cold, warm = analysis.summary(rows)
    assert (alone["env"], alone["searches"], alone["dream_std"]) == ("car_racing", 1, None)
    assert "paper_dream" not in alone
    assert (cold["temperature"], cold["dream"], cold["dream_std"], cold["paper_dream"]) == (0.5, 51, 1, 2060)
    assert (warm["reality"], warm["paper_reality"]) == (10, 1092)


def test_the_figure_has_a_panel_for_each_task(analysis):
    panels = analysis.figure([*searches("take_cover"), *searches("lunar_lander")]).axes
    assert [panel.get_title() for panel in panels] == ["lunar_lander", "take_cover"]
    labels = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert labels == [
        "in dreams",
        "in the task",
        "in dreams, the paper",
        "in the game, the paper",
        "random, in the task",
    ]


def finished(generations: int) -> SimpleNamespace:
    """A search in dreams at two temperatures, and in the task from the fifth generation on."""
    phases = [
        PhaseConfig(1, where="dream", temperature=0.5),
        PhaseConfig(3, temperature=0.7),
        PhaseConfig(5, where="reality"),
    ]
    return SimpleNamespace(
        folder=Path("run"),
        config=SimpleNamespace(controller=ControllerConfig(generations=9, phases=phases)),
        results={"controller": {"generations": [{"generation": i + 1} for i in range(generations)]}},
    )


def test_a_searchs_temperature_is_that_of_its_last_phase_which_has_to_be_in_dreams(analysis):
    assert [analysis.temperature(finished(last)) for last in (2, 3, 4)] == [0.5, 0.7, 0.7]
    with pytest.raises(SystemExit, match="error: run was searched in the task at its end: expected"):
        analysis.temperature(finished(5))


def test_a_random_agent_is_drawn_by_its_mean_over_seeds(analysis):
    rows = searches("lunar_lander")
    for row in rows:
        row["random"] = (5.0, 5.0, 20.0)[row["seed"]]
    [panel] = analysis.figure(rows).axes
    [line] = [line for line in panel.lines if line.get_label().startswith("random")]
    assert line.get_ydata()[0] == 10


@pytest.mark.slow
def test_a_search_becomes_a_table_and_a_figure(commands: Commands, tmp_path: Path) -> None:
    commands.train(
        *("env=lunar_lander", "env.max_steps=30", "env.step_reward=1", "memory.network.end_head=true"),
        *("controller.where=dream", "controller.phases=[{generation: 1, temperature: 0.7}]", "evaluate.episodes=2"),
        *("probe.enabled=false", "measure.enabled=false", "evaluate.video=false"),
        *("vae.epochs=1", "collect.max_steps=20"),
    )
    [folder] = [path.parent for path in commands.outputs.rglob("results.json")]
    [results] = commands.results()
    commands.analyse("dream_training", str(folder), "--to", str(tmp_path))
    tables = {
        name: list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("runs", "summary", "generations")
    }
    [run], [line] = tables["runs"], tables["summary"]
    assert run["temperature"] == line["temperature"] == "0.7"
    assert float(run["reality"]) == pytest.approx(results["evaluation"]["mean"], rel=1e-4)
    assert 0 < float(run["dream"]) <= 30
    assert len(tables["generations"]) == len(results["controller"]["generations"])
    assert (tmp_path / "temperatures.svg").stat().st_size <= 300_000


def test_what_a_read_out_tells_is_that_of_least_squares(actions) -> None:
    rng = np.random.default_rng(0)
    inputs, other = rng.normal(2, 3, (400, 5)), rng.normal(2, 3, (100, 5))
    weights = rng.normal(size=(5, 2))
    targets, asked = (each @ weights + rng.normal(0, 2, (len(each), 2)) for each in (inputs, other))
    told, explained = actions.explained([inputs, other], [targets, asked])
    ones = [np.concatenate([each, np.ones((len(each), 1))], axis=1) for each in (inputs, other)]
    expected = ones[1] @ np.linalg.lstsq(ones[0], targets, rcond=None)[0]
    np.testing.assert_allclose(told, expected, atol=0.05)
    np.testing.assert_allclose(explained, 1 - ((asked - told) ** 2).mean(0) / asked.var(0), rtol=1e-9)


def test_the_interval_is_over_rollouts(actions) -> None:
    """Ten places of a rollout that are all alike tell no more than one."""
    rng = np.random.default_rng(0)
    values, rollouts = rng.normal(size=40), np.arange(40)
    whole = actions._interval(values, rollouts)
    assert actions._interval(values.repeat(10), rollouts.repeat(10)) == pytest.approx(whole)
    half_width = (whole[1] - whole[0]) / 2
    assert half_width == pytest.approx(1.96 * values.std() / 40**0.5, rel=0.1)


def test_exchanged_actions_are_left_for_right(actions) -> None:
    left, stay, right = np.eye(3)
    np.testing.assert_array_equal(np.stack([left, stay, right]) @ actions.ACTIONS["exchanged"], [right, stay, left])
    np.testing.assert_array_equal(np.stack([left, stay, right]) @ actions.ACTIONS["standing"], [stay] * 3)
