"""``results.json``, from a run of all stages as small as it gets."""

import io
import json

import pytest
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch.nn.functional import conv2d, conv_transpose2d, linear

from worldmodels.config import STAGES, Config, config_from_json
from worldmodels.objective import value_of
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.building import Store
from worldmodels.store.results import (
    assemble,
    print_measures,
    print_parameters,
    print_probes,
    score_line,
)
from worldmodels.store.summary import print_results
from worldmodels.store.wording import NEAR_NORMAL
from worldmodels.utils import media
from worldmodels.utils.console import AS_IT_IS, make_console
from worldmodels.utils.seeds import torch_generator
from worldmodels.utils.statistics import describe

HELD_OUT = ("heldout", "heldout_encode")

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
        "measure_vision",
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
    shown = io.StringIO()
    print_probes(results["probes"], Console(file=shown, width=80, **AS_IT_IS))
    assert "angular_velocity (z, h)" in shown.getvalue()
    assert "still show the ship" in shown.getvalue()
    assert set(results["collect"]["coverage"]) == {"in_picture", "on_ground"}


def test_the_measures(results):
    found = results["measures"]["memory"]
    assert set(found) >= {"open_loop", "nll", "calibration", "summary"}
    assert found["open_loop"]["horizons"][0] == 1
    training = results["collect"]["rollouts"] - 1  # the third is M's validation
    assert found["training"] == {"rollouts": training, "frames": 6 * training}
    shown = io.StringIO()
    print_measures(results["measures"], Console(file=shown, width=80, **AS_IT_IS))
    error = found["open_loop"]["memory"][0]
    low, high = error["interval"]
    assert f"{error['value']:.3g} [{low:.3g}, {high:.3g}]" in shown.getvalue()
    assert "100 steps" not in shown.getvalue(), "no held-out rollout is that long"
    assert "…" not in shown.getvalue(), "a terminal of 80 columns shows all"


def test_held_out_figures_are_those_of_the_weights_and_the_held_out_frames(results, store):
    """By plain functions from the files alone. V encodes in bf16 where the hardware has it, so KL is about the same."""
    weights = load_file(store.root / "vision" / results["stages"]["vision"]["artifact"] / WEIGHTS)
    heldout, encoded = (RolloutStore(store.root / kind / results["heldout"][kind]) for kind in HELD_OUT)
    errors, kls = [], []
    for number in range(len(heldout)):
        mu, log_var = (torch.from_numpy(encoded.read(number, name)) for name in ("mu", "log_var"))
        x = torch.from_numpy(heldout.read(number, "frames")).permute(0, 3, 1, 2) / 255
        noise = torch.randn(mu.shape, generator=torch_generator(0, "figures", 5, number))
        y = linear(mu + (log_var / 2).exp() * noise, *pair(weights, "decoder.dense"))[..., None, None]
        h = x
        for layer in range(4):
            h = conv2d(h, *pair(weights, f"encoder.layers.{layer}"), stride=2).relu()
            y = conv_transpose2d(y, *pair(weights, f"decoder.layers.{layer}"), stride=2)
            y = y.relu() if layer < 3 else y.sigmoid()
        mean, spread = (linear(h.flatten(1), *pair(weights, f"bottleneck.{name}")) for name in ("mu", "log_var"))
        errors.append(((x - y) ** 2).sum((1, 2, 3)))
        kls.append(0.5 * (mean**2 + spread.exp() - 1 - spread).sum(1))
    measured = results["measures"]["vision"]
    assert (measured["rollouts"], measured["frames"]) == (len(heldout), sum(map(len, errors))) == (4, 240)
    assert results["vision"]["heldout_reconstruction"] == measured["reconstruction"]["value"]
    assert results["vision"]["heldout_reconstruction"] == pytest.approx(torch.cat(errors).mean().item(), rel=1e-4)
    assert results["vision"]["heldout_kl"] == pytest.approx(torch.cat(kls).mean().item(), rel=0.02, abs=1e-4)
    assert results["memory"]["heldout_nll"] == results["measures"]["memory"]["nll"]["memory"]["value"]


def pair(weights, name):
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def test_held_out_figures_are_shown_and_can_be_an_objective(results):
    lines = " ".join(" ".join(printed(results, 100)).split())
    for part, name, form in (("vision", "reconstruction", ".1f"), ("memory", "nll", ".3f")):
        value = results[part][f"heldout_{name}"]
        assert f"held-out {value:{form}}" in lines
        assert value_of(results, f"{part}.heldout_{name}") == value
    frozen = {**results, "vision": {**results["vision"], "epochs": []}}
    assert "all frozen, not trained; held-out" in " ".join(printed(frozen, 100))
    details = "\n".join(printed(results, 100, details=True))
    assert f"V on held-out rollouts: reconstruction {results['vision']['heldout_reconstruction']:.4g} [" in details


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


def printed(results, width, **options):
    file = io.StringIO()
    print_results(results, Console(file=file, width=width, **AS_IT_IS), **options)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 80, 100, 10_000])
def test_a_run_ends_with_a_few_lines_of_100_columns_at_most(results, width):
    lines = printed(results, width)
    text = " ".join(word for word in " ".join(lines).split() if word != "reused")
    assert max(map(len, lines)) <= min(width, 100)
    assert width < 80 or len(lines) <= 1 + 2 * len(STAGES) + 3
    assert not any("…" in line for line in lines)
    for stage in STAGES:
        assert any(line.startswith(f"  {stage} ") for line in lines)
    assert width < 80 or "3 rollouts, 18 frames" in text
    assert width < 80 or "too few to compare; not the official task: episodes end after 3 steps" in text


def test_details_are_printed_where_they_are_asked_for(results):
    text = "\n".join(printed(results, 100, details=True))
    for words in ("690,144", "memory.lstm", "angular_velocity (z, h)", "persistence"):
        assert words in text
    assert "690,144" not in "\n".join(printed(results, 100)), "scratch copies and freezes nothing"


def test_what_was_copied_or_frozen_is_always_printed(results):
    encoder = {"total": 5, "copied": 5, "fresh": 0, "frozen": 2, "trainable": 3}
    transferred = {**results, "parameters": {"vision": {**encoder, "groups": {"encoder": encoder}}}}
    assert any("vision.encoder" in line for line in printed(transferred, 100))


def test_figures_that_are_not_there_are_dashes(results):
    """`results.json` has null for what is not finite."""
    row = dict.fromkeys(("val_reconstruction", "val_kl"))
    lines = printed({**results, "vision": {"epochs": [row]}, "probes": {}, "measures": {}}, 100)
    assert any("validation reconstruction – → –, KL – nats" in line for line in lines)


def test_a_table_that_is_piped_is_as_wide_as_it_needs(results, capsys):
    print_parameters(dict.fromkeys(["part" * 30], results["parameters"]["vision"]), make_console())
    assert "part" * 30 in capsys.readouterr().out


def test_the_score_of_one_episode_has_no_interval():
    score = {**describe([5.0]), "official": True, "random": describe([-1.0, -2.0])}
    assert score_line(score) == "5.0 ± –, 95 % [–, –], 1 episode; random -1.5"


@pytest.mark.parametrize(("episodes", "called"), [(2, NEAR_NORMAL), (99, NEAR_NORMAL), (100, "95 %")])
def test_the_interval_of_few_episodes_has_a_reservation(episodes, called):
    score = {**describe([5.0, 6.0] * (episodes // 2) + [5.0] * (episodes % 2)), "official": True}
    line = score_line({**score, "random": describe([-1.0, -2.0])})
    assert f", {called} [" in line and f"{episodes} episodes" in line


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


def test_the_score_is_there_before_the_film_and_a_film_that_fails_is_a_warning(store, compose, monkeypatch, caplog):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    pipeline = Pipeline(compose(*TINY, "evaluate.video=true"), store, SerialExecutor(), None, no_source)
    stages = pipeline.run()
    for stage in stages:
        if stage == "evaluate":
            break
    record = pipeline.artifacts["evaluate"].path / "record"
    assert not (record / "pictures").exists()  # nothing is drawn before the caller has the score
    assert list(stages) == []
    assert "no film, and the score stands: episode.mp4 could not be made" in caplog.text
    assert "/bin/false" in caplog.text and "Traceback" not in caplog.text
    assert not (record / "episode.mp4").exists()

    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE")
    (record / "episode.mp4").write_bytes(b"")  # what a run of before left when it was interrupted
    list(Pipeline(pipeline.config, store, SerialExecutor(), None, no_source).run())
    assert media.playable(record / "episode.mp4")
    made = (record / "episode.mp4").stat().st_mtime_ns
    list(Pipeline(pipeline.config, store, SerialExecutor(), None, no_source).run())
    assert (record / "episode.mp4").stat().st_mtime_ns == made


def test_text_is_printed_as_it_is(capsys):
    table = Table("[b]", title="of [a]")
    table.add_row(":car: [c]")
    console = make_console()
    console.print("results: out[a]/:car:/[/b]", soft_wrap=True)
    console.print(table)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("out[a]/:car:/[/b]", "[b]", "of [a]", ":car: [c]"))
