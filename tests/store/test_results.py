"""``results.json``, from a run of all stages as small as it gets."""

import io
import json

import pytest
from rich.console import Console

from worldmodels.config import STAGES, Config, config_from_json
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.store.artifacts import Store
from worldmodels.store.results import (
    assemble,
    print_measures,
    print_parameters,
    print_probes,
    print_summary,
    score_line,
)
from worldmodels.utils.console import make_console
from worldmodels.utils.statistics import describe

TINY = (
    *(
        "env=lunar_lander",
        "vae=cvae",
        "collect.max_steps=6",
        "collect.rollouts=3",
        "vae.epochs=2",
        "trainer=cpu",
        "scale=smoke",
    ),
    *("memory.steps=4", "memory.validate_every=2", "memory.batch_size=2", "controller.max_steps=2"),
    *("controller.generations=2", "evaluate.episodes=2", "evaluate.max_steps=3", "evaluate.video=false"),
)


def no_source():
    raise AssertionError("scratch needs no source")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("outputs") / "artifacts")


@pytest.fixture
def results(store, compose):
    """Of the first run, or of one that finds everything there."""
    config = compose(*TINY)
    pipeline = Pipeline(config, store, SerialExecutor(), None, no_source)
    stages = []
    for stage in pipeline.run():
        stages.append(stage)
        partial = assemble(config, pipeline.artifacts, {}, "artifacts", heldout_artifacts=pipeline.heldout_artifacts)
        assert list(partial["stages"]) == stages
    assert tuple(stages) == STAGES
    return json.loads(json.dumps(partial))


def test_the_top_says_what_was_run(results, compose):
    assert {key: results[key] for key in ("env", "transfer", "source_env", "seed", "scale")} == {
        "env": "lunar_lander",
        "transfer": "scratch",
        "source_env": None,
        "seed": 0,
        "scale": "smoke",
    }
    assert config_from_json(json.dumps(results["config"])) == compose(*TINY)


def test_every_stage_names_its_artifact(results, store):
    assert tuple(results["stages"]) == STAGES
    for stage, facts in results["stages"].items():
        assert set(facts) == {"artifact", "cached", "seconds", "inputs"}
        assert facts["inputs"]["format"]
        assert (store.root / stage / facts["artifact"] / "manifest.json").exists()
        assert facts["seconds"] >= 0


def test_epochs_steps_and_generations_count_from_one(results):
    epochs, steps = results["vision"]["epochs"], results["memory"]["steps"]
    generations = results["controller"]["generations"]
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert [row["step"] for row in steps] == [2, 4]
    assert [row["generation"] for row in generations] == [1, 2]
    for row in epochs:
        assert set(row) >= {"reconstruction", "kl", "val_reconstruction", "val_kl", "seconds"}
    for row in steps:
        assert set(row) >= {"nll", "val_nll"}
    for row in generations:
        assert set(row) >= {"best", "mean", "worst", "std", "seconds"}
        assert row["best"] >= row["mean"] >= row["worst"]


def test_the_evaluation(results):
    evaluation = results["evaluation"]
    assert set(evaluation) >= {"episodes", "mean", "std", "interval", "returns"}
    assert evaluation["episodes"] == len(evaluation["returns"]) == 2
    assert evaluation["mean"] == pytest.approx(sum(evaluation["returns"]) / 2)
    low, high = evaluation["interval"]
    assert low <= evaluation["mean"] <= high
    assert evaluation["official"] is False  # its episodes were cut


def test_the_probes(results, store):
    assert set(results["heldout"]) == {
        "heldout",
        "heldout_encode",
        "probe_vision",
        "probe_memory",
        "measure_memory",
    }
    for kind, name in results["heldout"].items():
        assert (store.root / kind / name / "manifest.json").exists()
    assert set(results["probes"]["vision"]["z"]) == {"x", "y", "angle_sin", "angle_cos"}
    assert set(results["probes"]["vision"]["objects"]) == {"ship"}
    motions = {"velocity_x", "velocity_y", "angular_velocity"}
    assert set(results["probes"]["memory"]["z"]) == set(results["probes"]["memory"]["zh"]) == motions
    printed = io.StringIO()
    print_probes(results["probes"], Console(file=printed, width=80))
    assert "angular_velocity (z, h)" in printed.getvalue()
    assert "still show the ship" in printed.getvalue()
    assert set(results["collect"]["coverage"]) == {"in_picture", "on_ground"}


def test_the_measures(results):
    found = results["measures"]["memory"]
    assert set(found) >= {"open_loop", "nll", "calibration", "summary"}
    assert found["open_loop"]["horizons"][0] == 1
    training = results["collect"]["rollouts"] - 1  # the third is M's validation
    assert found["training"] == {"rollouts": training, "frames": 6 * training}
    printed = io.StringIO()
    print_measures(results["measures"], Console(file=printed, width=80))
    error = found["open_loop"]["memory"][0]
    low, high = error["interval"]
    assert f"{error['value']:.3g} [{low:.3g}, {high:.3g}]" in printed.getvalue()
    assert "100 steps" not in printed.getvalue(), "no held-out rollout is that long"
    assert "…" not in printed.getvalue(), "a terminal of 80 columns shows all"


def test_parameters_are_those_of_the_published_tables(results):
    vision, memory = results["parameters"]["vision"], results["parameters"]["memory"]
    for counts in (vision, memory, *vision["groups"].values(), *memory["groups"].values()):
        assert set(counts) >= {"total", "trainable", "copied", "fresh", "frozen"}
        assert counts["total"] == counts["fresh"] == counts["trainable"]
        assert counts["copied"] == counts["frozen"] == 0
    assert vision["groups"]["encoder"]["total"] == 690_144
    assert memory["groups"]["lstm"]["total"] == 4 * 256 * (32 + 2 + 256 + 1)
    assert memory["groups"]["mdn"]["total"] == 123_360
    assert sum(group["total"] for group in vision["groups"].values()) == vision["total"]


def test_stages_that_were_not_run_are_absent(store, compose):
    config = compose(*TINY, "stage=vision")
    pipeline = Pipeline(config, store, SerialExecutor(), None, no_source)
    assert list(pipeline.run()) == ["collect", "vision"]
    results = assemble(config, pipeline.artifacts, {}, "artifacts")
    assert list(results["stages"]) == ["collect", "vision"]
    assert {"encode", "memory", "controller", "evaluation"} & set(results) == set()
    assert list(results["parameters"]) == ["vision"]


def test_the_tables_that_are_printed(results):
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    print_parameters(results["parameters"], console)
    print_summary(results, console)
    text = printed.getvalue()
    assert "690,144" in text
    assert "memory.lstm" in text
    for stage, facts in results["stages"].items():
        assert stage in text
        assert facts["artifact"] in text
    assert "3 rollouts, 18 frames" in text
    assert "no score" in text


def test_a_table_that_is_piped_is_as_wide_as_it_needs(results, capsys):
    print_summary(results, make_console())
    lines = capsys.readouterr().out.splitlines()
    assert all(any(facts["artifact"] in line for line in lines) for facts in results["stages"].values())
    assert not any("…" in line for line in lines)
    assert 80 < max(map(len, lines)) < 250


def test_the_score_of_one_episode_has_no_interval():
    score = {**describe([5.0]), "official": True, "random": describe([-1.0, -2.0])}
    assert score_line(score) == "5.0 ± 0.0, 95 % [–, –], 1 episode; random -1.5"


def test_without_transfer_there_is_no_source(compose):
    assert assemble(compose(), {}, {}, "artifacts")["source_env"] is None


def test_the_stages_of_a_source_are_named_beside_the_targets(store, compose):
    config = compose("transfer=pretrained", "trainer=cpu")
    artifact = store.build("collect", "x", {"of": "source"}, {}, lambda folder: {}, {})
    results = assemble(config, {}, {"collect": artifact}, "artifacts", "bipedal_walker")
    assert (results["transfer"], results["source_env"]) == ("pretrained", "bipedal_walker")
    assert results["stages"] == {}
    assert results["source_stages"]["collect"]["artifact"] == artifact.name


def test_what_was_made_by_other_code_is_told(store):
    code = {"files": {"worldmodels.vision.losses.mse": "0"}, "versions": {}}
    other = {"files": {"worldmodels.vision.losses.mse": "1"}, "versions": {}}
    for stage in ("collect", "heldout"):
        store.build(stage, "told", {"of": "other code"}, {}, lambda folder: {}, {}, code=code)
    taken = [
        store.build(stage, "told", {"of": "other code"}, {}, lambda folder: {}, {}, code=other, reuse="any")
        for stage in ("collect", "heldout")
    ]
    results = assemble(Config(), {"collect": taken[0]}, {}, "artifacts", heldout_artifacts={"heldout": taken[1]})
    assert results["stages"]["collect"]["other_code"] == ["worldmodels.vision.losses.mse"]
    assert results["heldout_other_code"] == {"heldout": ["worldmodels.vision.losses.mse"]}


def test_everything_is_reused_the_second_time(results, store, compose):
    pipeline = Pipeline(compose(*TINY), store, SerialExecutor(), None, no_source)
    list(pipeline.run())
    again = assemble(pipeline.config, pipeline.artifacts, {}, "artifacts", heldout_artifacts=pipeline.heldout_artifacts)
    assert all(facts["cached"] for facts in again["stages"].values())
    assert {**again, "stages": None} == {**results, "stages": None}
