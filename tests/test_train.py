"""The main job, as users run it: every task, reuse, sweeps, strategies, exit codes."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest
from helpers import Commands, Finished, wait_for
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STAGES = ["collect", "vision", "encode", "memory", "controller", "evaluate"]
FROZEN = {
    "scratch": {},
    "pretrained": {},
    "freeze2": {"encoder": 34_400},
    "freeze_encoder": {"encoder": 690_144},
    "freeze_lstm": {"lstm": 299_008},
    "freeze_mdn": {"mdn": 123_360},
}
LOADED = {"pretrained": ["vision", "memory"], "freeze2": ["vision"], "freeze_encoder": ["vision"]}
LOADED |= {"scratch": [], "freeze_lstm": ["memory"], "freeze_mdn": ["memory"]}


ENVS = ("car_racing", "lunar_lander", "bipedal_walker")


def duration(gif: Image.Image) -> int:
    """Milliseconds; equal pictures in a row may be one that is shown for longer."""
    return sum(frame.info["duration"] for frame in ImageSequence.Iterator(gif))


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVS)
def test_a_task_from_nothing_to_a_score(env: str, finished: Callable[[str], Finished]) -> None:
    made = finished(env)
    results = made.results
    assert "expected time" in made.printed
    assert list(results["stages"]) == STAGES
    assert not any(stage["cached"] for stage in results["stages"].values())
    assert [row["epoch"] for row in results["vision"]["epochs"]] == [1, 2]
    assert [row["step"] for row in results["memory"]["steps"]] == [4, 8]
    assert [row["generation"] for row in results["controller"]["generations"]] == [1, 2]
    assert len(results["evaluation"]["returns"]) == results["evaluation"]["episodes"] == 2
    assert results["parameters"]["vision"]["groups"]["encoder"]["total"] == (
        690_144 if env == "car_racing" else 730_253
    )
    low, high = results["evaluation"]["interval"]
    assert low <= results["evaluation"]["mean"] <= high

    events = EventAccumulator(str(made.run), size_guidance={"images": 0}).Reload()
    validated = EventAccumulator(str(made.run / "validation")).Reload().Tags()["scalars"]
    shown = {"1_vision/reconstruction", "2_memory/nll", "3_controller/mean", "4_evaluate/score"}
    assert shown <= set(events.Tags()["scalars"]) and {"1_vision/reconstruction", "2_memory/nll"} <= set(validated)
    pictures = {f"1_vision_pictures/{name}" for name in ("reconstruction", "prior_samples")}
    pictures |= {"2_memory_pictures/reality_beside_dream", "4_evaluate_pictures/episode"}
    assert pictures <= set(events.Tags()["images"])
    assert not {*events.Tags()["images"]} & {*events.Tags()["scalars"]}  # TensorBoard shows one of the two
    film, (kept,) = made.run / "episode.mp4", made.outputs.glob("artifacts/*/*/record/episode.mp4")
    assert film.read_bytes() == kept.read_bytes()
    gifs = [made.run / "episode.gif", *made.outputs.glob("artifacts/*/*/record/pictures/episode.*.gif")]
    meta, count = next(imageio_ffmpeg.read_frames(str(film))), imageio_ffmpeg.count_frames_and_secs(str(film))[0]
    assert 0 < count <= 30  # of 60 steps, every other
    assert len(gifs) == 2
    for gif in map(Image.open, gifs):
        assert duration(gif) == pytest.approx(1000 * count / meta["fps"])
        assert abs(gif.height - meta["size"][1] / 2) <= 2
        assert abs(gif.width - meta["size"][0] / 2) <= 4  # three pictures, whose gaps are as wide in both


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVS)
def test_a_finished_run_is_reused(env: str, finished: Callable[[str], Finished], commands: Commands) -> None:
    made = finished(env)
    made.copied(commands)
    commands.train(*made.overrides)
    again, results = commands.results()[-1], made.results
    assert len(commands.results()) == 2
    assert all(stage["cached"] for stage in again["stages"].values())
    for result in (again, results):
        del result["stages"], result["config"]["paths"]
    assert again == results


@pytest.mark.slow
def test_only_what_depends_on_a_change_is_built_anew(finished: Callable[[str], Finished], commands: Commands) -> None:
    made = finished("lunar_lander")
    made.copied(commands)
    again = (*made.overrides, "stage=memory", "probe.enabled=false", "measure.enabled=false")
    assert "executor=process" in again
    commands.train(*again, "executor=serial", "executor.slots=3", "trainer.channels_last=false")
    commands.train(*again, "memory.learning_rate=0.002")
    commands.train(*again, "seed=1", "collect.seed=0")
    cached = [[stage["cached"] for stage in results["stages"].values()] for results in commands.results()]
    assert cached == [[False] * 6, [True] * 4, [True, True, True, False], [True, False, False, False]]


@pytest.mark.slow
def test_a_sweep_over_the_six_strategies_shares_what_it_can(commands: Commands) -> None:
    strategies = ",".join(FROZEN)
    commands.train(
        *("-m", f"transfer={strategies}", "stage=memory", "vae.epochs=1", "collect.max_steps=20"),
        *("probe.enabled=false", "measure.enabled=false"),
    )
    results = {result["transfer"]: result for result in commands.results()}
    assert set(results) == set(FROZEN)
    for strategy, expected in FROZEN.items():
        parameters = results[strategy]["parameters"]
        groups = {**parameters["vision"]["groups"], **parameters["memory"]["groups"]}
        assert {name: group["frozen"] for name, group in groups.items() if group["frozen"]} == expected
        for part, counts in parameters.items():
            loaded = part in LOADED[strategy]
            fresh = 0 if loaded and part == "vision" else 4 * 256 * 35 if loaded else counts["total"]
            assert counts["fresh"] == fresh  # of a loaded M: the input weights, 36 wide at the source and 35 here
            assert counts["copied"] + counts["fresh"] == counts["frozen"] + counts["trainable"] == counts["total"]
        assert results[strategy]["source_env"] == ("bipedal_walker" if LOADED[strategy] else None)
    assert results["freeze2"]["parameters"]["vision"]["groups"]["encoder"]["trainable"] == 655_744
    artifacts = commands.outputs / "artifacts"
    assert len(list((artifacts / "collect").glob("*-seed0-*"))) == 2
    assert (
        len(list((artifacts / "vision").glob("*-seed0-*"))) == 5
    )  # the source's and four strategies' (M's reuse scratch)
    pretrained = results["pretrained"]["memory"]["steps"]
    assert pretrained[-1]["step"] == results["scratch"]["memory"]["steps"][-1]["step"] / 2


@pytest.mark.slow
def test_further_strategies_share_a_source_and_controls_need_none(commands: Commands) -> None:
    strategies = "random_encoder,feature_extraction,gradual_unfreezing,from_shuffled"
    commands.train(
        *("-m", f"transfer={strategies}", "env=lunar_lander", "vae=cvae", "vae.epochs=3", "stage=vision"),
        *("probe.enabled=false", "measure.enabled=false", "collect.max_steps=20"),
    )
    results = {result["transfer"]: result for result in commands.results()}
    counts = {name: result["parameters"]["vision"] for name, result in results.items()}
    assert {name: (count["copied"], count["frozen"]) for name, count in counts.items()} == {
        "random_encoder": (0, 690_144),
        "feature_extraction": (690_144, 690_144),
        "gradual_unfreezing": (4_348_547, 34_400),  # the turn of the first two never comes in three epochs
        "from_shuffled": (4_348_547, 0),
    }
    assert results["random_encoder"]["source_env"] is None and not results["random_encoder"]["source_stages"]
    sources = {
        name: result["source_stages"]["vision"]["artifact"] for name, result in results.items() if "random" not in name
    }
    assert sources["feature_extraction"] == sources["gradual_unfreezing"] != sources["from_shuffled"]
    assert sources["from_shuffled"].startswith("car_racing-scratch-shuffled-smoke")


@pytest.mark.slow
def test_a_search_is_warm_and_an_adapted_memory_serves_every_stage(
    finished: Callable[[str], Finished], commands: Commands
) -> None:
    """CarRacing's C has 3 actions, LunarLander's has 2; M's LSTM stays 35 wide."""
    finished("car_racing").copied(commands)
    (search,) = commands.outputs.glob("artifacts/controller/*/manifest.json")
    shutil.rmtree(search.parent)  # V and M are there, C is trained as a source's
    output = commands.train(
        *("env=lunar_lander", "vae=cvae", "transfer=warm_controller", "transfer.source_env=car_racing"),
        *("transfer.input_layer=adapter", "evaluate.video=false"),
    )
    results = commands.results()[-1]
    made = [name for name, stage in results["source_stages"].items() if not stage["cached"]]
    assert made == ["controller"]
    assert "starting with 578 of 578 parameters from the source" in output
    assert list(results["stages"]) == STAGES == [*list(results["source_stages"])[:5], "evaluate"]
    groups = results["parameters"]["memory"]["groups"]
    assert groups["lstm"]["copied"] == groups["lstm"]["frozen"] == 299_008
    assert groups["adapter"] == {"total": 1225, "copied": 0, "fresh": 1225, "frozen": 0, "trainable": 1225}
    assert results["parameters"]["vision"]["frozen"] == results["parameters"]["vision"]["total"]
    (run,) = commands.outputs.glob("runs/lunar_lander-*/*")
    assert "τ = 0.8" in commands.run("dream", f"run={run}", "steps=20", "temperature=0.8")


@pytest.mark.slow
def test_the_joblib_launcher_shares_too(finished: Callable[[str], Finished], commands: Commands) -> None:
    finished("car_racing").copied(commands)
    (source,) = commands.outputs.glob("artifacts/vision/*/manifest.json")
    shutil.rmtree(source.parent)  # its data set is there, V is trained as a source's by one of the jobs
    commands.train(
        "-m",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "transfer=freeze2,freeze_encoder",
        *("env=lunar_lander", "vae=cvae", "stage=vision", "executor=process", "probe.enabled=false"),
    )
    results = [result for result in commands.results() if result["env"] == "lunar_lander"]
    assert sorted(result["transfer"] for result in results) == ["freeze2", "freeze_encoder"]
    for stages, stage in (("stages", "collect"), ("source_stages", "vision")):
        assert sorted(result[stages][stage]["cached"] for result in results) == [False, True]
    assert len(list((commands.outputs / "artifacts" / "collect").glob("*-seed0-*"))) == 2
    assert len(list((commands.outputs / "artifacts" / "vision").glob("*-seed0-*"))) == 3


@pytest.mark.slow
def test_training_is_skipped_where_everything_is_frozen(
    finished: Callable[[str], Finished], commands: Commands
) -> None:
    finished("car_racing").copied(commands)
    output = commands.train(
        *("env=lunar_lander", "vae=cvae", "stage=vision"), "transfer=pretrained_vision", "transfer.freeze=[vision]"
    )
    assert all(stage["cached"] for stage in commands.results()[-1]["source_stages"].values())
    assert "its training is skipped" in output
    source, target = sorted((commands.outputs / "artifacts" / "vision").glob("*/weights.safetensors"))
    assert source.read_bytes() == target.read_bytes()
    assert commands.results()[-1]["vision"]["epochs"] == []


@pytest.mark.slow
def test_a_source_of_other_sizes_is_refused_in_one_line(
    finished: Callable[[str], Finished], commands: Commands
) -> None:
    source = f"transfer.source_run={finished('bipedal_walker').run}"
    output = commands.train("transfer=freeze_lstm", source, "memory.network.hidden_size=64", expect=2)
    assert output.splitlines()[-1].startswith("error: transfer=freeze_lstm cannot take memory from")
    assert "expected" in output.splitlines()[-1]
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "override",
    [
        "stage=nowhere",
        "vae.epoch=3",
        "transfer=frozen",
        "env=breakout",
        "transfer.budget=-1",
        "vae.epochs=two",
        "seed=-1",
    ],
)
def test_a_request_that_makes_no_sense_exits_with_2_and_one_line(override: str, commands: Commands) -> None:
    output = commands.train(override, expect=2)
    (line,) = [line for line in output.splitlines() if line.strip()]
    assert line.startswith("error: ")
    assert override.split("=")[0].split(".")[-1] in line


@pytest.mark.slow
def test_interrupted_by_the_user_exits_with_130(commands: Commands) -> None:
    overrides = commands.options("env=lunar_lander", "vae.epochs=50", "stage=vision")
    process = commands.start("train", *overrides)
    wait_for(lambda: list(commands.outputs.glob("artifacts/vision/*.building/checkpoint/last.ckpt")), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert output.splitlines()[-1].startswith("interrupted: a training job keeps what is finished")


def test_help_names_every_group(commands: Commands) -> None:
    output = commands.run("train", "--help")
    for group in (Path(__file__).parents[1] / "conf").iterdir():
        if group.is_dir():
            assert f"\n{group.name}: " in output
            assert all(option.stem in output for option in group.glob("*.yaml"))


@pytest.mark.slow
def test_evaluate_dream_probe_and_report_follow_a_run(finished: Callable[[str], Finished], commands: Commands) -> None:
    run = finished("lunar_lander").copied(commands)
    commands.run("evaluate", f"run={run}", "episodes=2")
    (evaluation,) = run.glob("evaluations/*/evaluation.json")
    assert '"official": true' in evaluation.read_text()
    output = commands.run("dream", f"run={run}", "steps=30", "temperature=0.8")
    assert "τ = 0.8" in output
    assert "return of the run's C in 16 dreams" in output
    (dream,) = run.glob("dreams/*/dream.mp4")
    figures = json.loads(dream.with_name("dream.json").read_text())
    assert list(figures["returns"]) == ["0.8"] and len(figures["returns"]["0.8"]) == 16
    assert 10 < imageio_ffmpeg.count_frames_and_secs(str(dream))[0] <= 30
    before = {path: path.stat().st_mtime_ns for path in commands.outputs.glob("artifacts/*/*/*")}
    output = commands.run("probe", f"run={run}")
    assert "velocity_x (z, h)" in output
    (probes,) = run.glob("probes/*/probes.json")
    figures, results = json.loads(probes.read_text()), commands.results()[-1]
    assert figures["memory"] == results["probes"]["memory"]  # same rollouts, and the run's own settings
    assert figures["measures"] == results["measures"]
    assert {path: path.stat().st_mtime_ns for path in commands.outputs.glob("artifacts/*/*/*")} == before
    output = commands.run("report", f"runs={run}", f"hydra.run.dir={commands.outputs / 'reports'}")
    assert "1 run; results: " in output
    assert "Measures of M" in (commands.outputs / "reports" / "index.html").read_text()
    output = commands.run("evaluate", f"run={commands.outputs}", expect=2)
    assert "is no run" in output
