"""Runs as tidy tables, and which folders are runs."""

import csv
import json

import pytest
from synthetic import FRAMES, SECONDS, write_run

from worldmodels.reports import tidy
from worldmodels.reports.sections import evaluation_table
from worldmodels.reports.tidy import find_runs, write_csv
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.statistics import describe


@pytest.fixture
def outputs(tmp_path, compose):
    outputs = tmp_path / "outputs"
    write_run(outputs, compose("seed=1"), name="scratch")
    write_run(outputs, compose("seed=2", "transfer=freeze2"), gain=3.0, name="freeze2")
    return outputs


def run(outputs, name):
    (found,), _ = find_runs(str(outputs / "runs" / name))
    return found


def test_a_pattern_finds_runs_at_any_depth_and_once(outputs):
    for patterns in (f"{outputs}/**", f"{outputs}/runs/*", [f"{outputs}/**", f"{outputs}/runs/scratch"]):
        runs, problems = find_runs(patterns)
        assert [run.folder.name for run in runs] == ["freeze2", "scratch"]
        assert problems == []


def test_no_match_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"matches no finished run: expected folders that hold results.json; use"):
        find_runs(f"{tmp_path}/*")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:200],
        lambda text: "[]",
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "config"}),
        lambda text: text.replace('"epoch":', '"epok":'),
        lambda text: text.replace('"copied": 690144', '"copied": null'),
    ],
)
def test_a_damaged_run_is_told_in_a_line_and_left_out(outputs, damage):
    path = outputs / "runs" / "freeze2" / "results.json"
    path.write_text(damage(path.read_text()))
    runs, (problem,) = find_runs(f"{outputs}/**")
    assert [run.folder.name for run in runs] == ["scratch"]
    assert str(path) in problem
    assert "\n" not in problem
    (outputs / "runs" / "scratch" / "results.json").write_text("{")
    with pytest.raises(ConfigError, match="2 damaged, the first: "):
        find_runs(f"{outputs}/**")


def test_curves_have_a_row_for_every_measure_at_every_point(outputs, compose):
    rows = tidy.curve_rows(run(outputs, "freeze2"))
    config = compose("transfer=freeze2")
    steps = config.memory.steps // config.memory.validate_every  # M is not transferred, so has all its steps
    assert len(rows) == config.vae.epochs * 5 + steps * 2 + config.controller.generations * 5
    (row,) = [r for r in rows if (r["part"], r["measure"], r["x"]) == ("vision", "val_reconstruction", 2)]
    assert row["value"] == 100 / 2 + 2 - 3.0 + 2
    assert (row["axis"], row["env"], row["strategy"], row["seed"]) == ("epoch", "car_racing", "freeze2", 2)
    assert (row["budget"], row["source_env"], row["load"]) == (0.5, "bipedal_walker", "vision")
    assert all(not isinstance(value, list | dict) for row in rows for value in row.values())


def test_scores_are_those_of_the_agent_the_best_and_a_random_one(outputs):
    rows = {row["contestant"]: row for row in tidy.evaluation_rows(run(outputs, "freeze2"))}
    assert set(rows) == {"mean", "best", "random"}
    assert (rows["mean"]["mean"], rows["mean"]["std"], rows["mean"]["episodes"]) == (305, 1, 3)
    assert rows["mean"]["low"] <= 305 <= rows["mean"]["high"]
    assert rows["random"]["mean"] == -30


def test_a_score_of_one_episode_has_no_interval(outputs):
    path = outputs / "runs" / "scratch" / "results.json"
    results = json.loads(path.read_text())
    one = describe([7.0])
    results["evaluation"] |= {**one, "best": one, "random": one}
    path.write_text(json.dumps(results))
    found = run(outputs, "scratch")
    (row,) = [row for row in tidy.evaluation_rows(found) if row["contestant"] == "mean"]
    assert (row["mean"], row["low"], row["high"]) == (7, None, None)
    assert "<td>1: 7</td>" in evaluation_table([found])


def test_ten_seeds_have_an_interquartile_mean(tmp_path, compose):
    for seed in range(10):
        write_run(tmp_path, compose(f"seed={seed}"), gain=900.0 * (seed == 9), name=str(seed))
    table = evaluation_table(find_runs(f"{tmp_path}/**")[0])
    assert "; IQM 304 [301, 308]" in table  # of 302 … 307, the outlier of 1,209 being cut
    assert "; IQM 3" not in evaluation_table(find_runs(f"{tmp_path}/runs/[0-8]")[0])


def test_costs_are_the_targets_and_the_sources(outputs):
    rows = tidy.cost_rows(run(outputs, "freeze2"))
    seconds = {(row["task"], row["stage"]): row["seconds"] for row in rows}
    assert seconds == {
        **{("target", stage): value for stage, value in SECONDS.items()},
        ("source", "collect"): SECONDS["collect"],
        ("source", "vision"): SECONDS["vision"],
    }
    assert {row["task"]: row["frames"] for row in rows if row["frames"]} == FRAMES


def test_frames_of_a_source_that_is_gone_are_not_known(outputs):
    (manifest,) = outputs.glob("artifacts/collect/*of-the-source*/manifest.json")
    manifest.unlink()
    rows = tidy.cost_rows(run(outputs, "freeze2"))
    assert [row["frames"] for row in rows if (row["task"], row["stage"]) == ("source", "collect")] == [None]


def test_parameters_are_whole_and_by_module(outputs):
    rows = {(row["part"], row["group"]): row for row in tidy.parameter_rows(run(outputs, "freeze2"))}
    assert set(rows) == {("vision", ""), ("vision", "encoder"), ("memory", ""), ("memory", "lstm")}
    assert rows["vision", "encoder"]["frozen"] == 34_400
    assert rows["memory", "lstm"]["copied"] == 0


def test_probes_and_measures(outputs):
    rows = tidy.probe_rows(run(outputs, "scratch"))
    found = {(row["part"], row["inputs"], row["probe"]): row["value"] for row in rows}
    assert found["vision", "z", "linear"] == 0.5
    assert found["vision", "z", "recall"] == 0.9
    assert found["memory", "zh", "mlp"] == 0.6
    rows = tidy.measure_rows(run(outputs, "scratch"))
    found = {(row["measure"], row["model"], row["horizon"]): row["value"] for row in rows}
    assert found["open_loop", "memory", 1] == 0.2
    assert found["open_loop", "memory", 100] is None
    assert found["nll", "reservoir", None] == 1.2


@pytest.mark.parametrize("stages", range(7))
def test_a_run_of_fewer_stages_has_fewer_rows(tmp_path, compose, stages):
    write_run(tmp_path, compose(), stages=stages, name="r")
    found = run(tmp_path, "r")
    assert bool(tidy.evaluation_rows(found)) == (stages == 6)
    assert bool(tidy.measure_rows(found)) == (stages >= 4)
    reached = {"vision": 2, "memory": 4, "controller": 5}
    expected = {part for part, needed in reached.items() if stages >= needed}
    assert {row["part"] for row in tidy.curve_rows(found)} == expected


def test_a_csv_file_holds_every_column_and_nothing_for_none(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": 1 / 3}, {"a": None, "c": "x, y"}])
    assert (tmp_path / "a.csv").read_text() == 'a,b,c\n1,0.333333,\n,,"x, y"\n'
    write_csv(tmp_path / "a.csv", [{"b": 1 / 3}], number=".2f")
    assert list(csv.DictReader((tmp_path / "a.csv").open())) == [{"b": "0.33"}]


def test_a_table_makes_its_folder(tmp_path):
    write_csv(tmp_path / "not" / "there" / "table.csv", [{"a": 1, "b": None}, {"c": 0.5}])
    assert (tmp_path / "not" / "there" / "table.csv").read_text() == "a,b,c\n1,,\n,,0.5\n"
