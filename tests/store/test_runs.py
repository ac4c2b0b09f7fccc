"""A finished run's folder."""

import dataclasses
import json
import shutil

import pytest

from worldmodels.config import Config, check_parts, plain
from worldmodels.envs import task_class
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.heads import REWARD_HEAD
from worldmodels.store.building import Store
from worldmodels.store.runs import FinishedRun, path_from
from worldmodels.store.summary import next_steps
from worldmodels.training.config import CALLBACK, LOGGER
from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError, DamagedFile
from worldmodels.utils.settings import Part, Settings, declared


def weights(folder):
    (folder / "weights.safetensors").write_bytes(b"weights")
    return {}


@pytest.fixture
def run(tmp_path, compose):
    """A run that went as far as vision."""
    folder, store = tmp_path / "outputs" / "runs" / "r", Store(tmp_path / "outputs" / "artifacts")
    folder.mkdir(parents=True)
    artifact = store.build("vision", "v", {}, {}, weights, {})
    results = {
        "stages": {"vision": {"artifact": artifact.name}},
        "artifacts": path_from(folder, store.root),
        "config": plain(compose("env=lunar_lander", "seed=4")),
    }
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_a_run_leads_to_its_artifacts_and_its_config(run, compose):
    finished = FinishedRun(run)
    assert finished.vision.weights.read_bytes() == b"weights"
    assert finished.config == compose("env=lunar_lander", "seed=4")


def test_a_tree_of_outputs_can_be_moved(run, tmp_path):
    shutil.move(tmp_path / "outputs", tmp_path / "elsewhere")
    finished = FinishedRun(tmp_path / "elsewhere" / "runs" / "r")
    assert finished.vision.weights.read_bytes() == b"weights"


def refusal(make):
    with pytest.raises(ConfigError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_results_is_no_run(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        assert f"{folder} is no run: it has no results.json; expected" in refusal(lambda: FinishedRun(folder))  # noqa: B023


@pytest.mark.parametrize("text", [b"", b"{", b"not json\nat all", "{}".encode("utf-16"), b"\xff\xfe", b"[" * 100_000])
def test_results_that_are_no_json_are_refused(run, text):
    (run / "results.json").write_bytes(text)
    assert "results.json is no JSON" in refusal(lambda: FinishedRun(run))


def test_a_folder_in_place_of_results_is_refused(run):
    (run / "results.json").unlink()
    (run / "results.json").mkdir()
    assert "results.json cannot be read (Is a directory): expected the file" in refusal(lambda: FinishedRun(run))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("config", 3, "is of no run"),
        ("measures", 3, None),
        ("config.env", 3, "has a config of no run"),
        ("config.controller", [], "has a config of no run"),
        ("config.env.action_repeat", "abc", "has a config of no run: env.action_repeat=abc is no int: expected one"),
        ("config.env.action_repeat", 0, "has a config of no run: env.action_repeat=0 is too small"),
        ("config.env.unheard_of", 1, "has a config of no run: env.unheard_of is unknown"),
    ],
)
def test_results_of_another_form_are_refused_in_a_line(run, key, value, told):
    results = json.loads((run / "results.json").read_text())
    *path, last = key.split(".")
    node = results
    for name in path:
        node = node[name]
    node[last] = value
    (run / "results.json").write_text(json.dumps(results))
    if told is None:
        assert FinishedRun(run).config.env.name == "lunar_lander"
    else:
        assert f"results.json {told}" in refusal(lambda: FinishedRun(run).config)


def test_a_file_in_place_of_a_folder_is_refused(run):
    assert "expected the folder" in refusal(lambda: FinishedRun(run / "results.json"))


@pytest.mark.parametrize("stage", ["memory", "controller"])
def test_a_stage_that_was_not_run_is_named(run, stage):
    message = refusal(lambda: getattr(FinishedRun(run), stage))
    assert f"has no finished {stage} stage: expected a run that went as far as stage={stage}" in message


def test_an_artifact_that_was_deleted_is_missed(run, tmp_path):
    shutil.rmtree(tmp_path / "outputs" / "artifacts" / "vision")
    for look in (lambda: FinishedRun(run).vision, lambda: FinishedRun(run).manifest("vision")):
        with pytest.raises(
            DamagedFile, match=r"vision/v-\S+ is missing: run the training command again, and it is made"
        ):
            look()


def named(run, key, value):
    """The run, with a value in its config."""
    results = json.loads((run / "results.json").read_text())
    node = results["config"]
    *path, last = key.split(".")
    for name in path:
        node = node[name]
    node[last] = value
    (run / "results.json").write_text(json.dumps(results))


def test_all_that_has_to_be_allowed_is_named_at_once(run):
    named(run, "vae.loss", "mine.Huber")
    named(run, "collect.policy", {"_target_": "yours.deep.Policy"})
    named(run, "env.id", "mine.tasks:Mine-v0")
    message = refusal(lambda: FinishedRun(run, ["theirs"]).config)
    assert "yours.deep.Policy and mine.Huber and mine.tasks" in message
    assert message.endswith("add allow=[theirs,yours,mine]")
    results = json.loads((run / "results.json").read_text())
    results["stages"]["memory"] = {}
    _, _, dream = next_steps(results, run)
    assert dream.endswith(f"worldmodels.dream run={run} 'allow=[yours,mine]'")


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("vae.network", {"_target_": "os.system"}, "os.system"),
        ("vae.loss", "mypackage.losses.Huber", "mypackage.losses.Huber"),
        ("collect.policy", {"_target_": "worldmodels_of_theirs.Policy"}, "worldmodels_of_theirs.Policy"),
        ("env.id", "mypackage:Mine-v0", "mypackage"),
        ("env.kwargs", {"deep": [{"_target_": "mypackage.Thing"}]}, "mypackage.Thing"),
    ],
)
def test_code_that_a_run_names_is_run_only_if_it_is_allowed(run, key, value, path):
    """Nothing is imported before: none of these but the first exists."""
    named(run, key, value)
    message = refusal(lambda: FinishedRun(run).config)
    assert f"{run} names {path}, whose code would run" in message
    module = path.split(".")[0]
    assert message.endswith(f"add allow=[{module}]")
    assert "whose code would run" in refusal(lambda: FinishedRun(run, ["mypack", "o"]).config)
    assert FinishedRun(run, [module]).config.env.name == "lunar_lander"


DOOM = "vizdoom.gymnasium_wrapper:VizdoomTakeCover-v1"


@pytest.mark.parametrize(
    ("name", "kwargs", "foreign"),
    [
        (DOOM, {"episode_timeout": 2100, "doom_skill": 3}, False),
        (DOOM, {"vizdoom_path": "/tmp/program"}, True),
        (DOOM, {"episode_timeout": "1 vizdoom_path = /tmp/program"}, True),
        (DOOM.replace("TakeCover", "Deathmatch"), {}, True),
        (DOOM.partition(":")[2], {"vizdoom_path": "/tmp/program"}, True),  # registered by another import
        (f"worldmodels.envs:{DOOM.partition(':')[2]}", {}, True),
        ("vizdoom.gymnasium_wrapper.other:Mine-v0", {}, True),
    ],
)
def test_of_vizdoom_take_cover_with_harmless_settings_needs_no_permission(run, name, kwargs, foreign):
    named(run, "env.id", name)
    named(run, "env.kwargs", kwargs)
    if foreign:
        assert "names vizdoom.gymnasium_wrapper" in refusal(lambda: FinishedRun(run).config)
    assert FinishedRun(run, ["vizdoom"] if foreign else []).config.env.id == name


def test_our_own_classes_and_those_of_lightning_need_no_permission(run):
    named(run, "vae.loss", {"_target_": "worldmodels.vision.losses.gan.Adversarial"})
    named(run, "env.kwargs", {"logger": {"_target_": "lightning.pytorch.loggers.CSVLogger"}})
    assert FinishedRun(run).config.env.kwargs["logger"]


CALLED = {"_target_": "worldmodels.envs.registry.load_env_creator", "name": "evilmod:X"}
LOADED = {"_target_": "worldmodels.store.artifacts.load_artifact", "path": "evilmod"}
NESTED = {"_target_": "worldmodels.memory.network.MDNLSTM"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vae.network", CALLED),
        ("vae.network", "worldmodels.envs.registry.importlib"),
        ("vae.network", {"_target_": "worldmodels.rollouts.executor.contextlib.closing"}),
        ("vae.network", {"_target_": "worldmodels.store.runs.FinishedRun", "folder": "."}),  # a class that does not fit
        ("vae.network", {"_target_": "worldmodels.vision.losses.mse.MSE"}),
        ("vae.network", {"_target_": "worldmodels.store.fingerprint.Path"}),  # not ours
        ("vae.network", {"_target_": "lightning.pytorch.callbacks.LambdaCallback"}),
        ("vae.network", {"_target_": "lightning.pytorch.callbacks.lambda_function.Any"}),
        ("vae.loss", LOADED),
        ("memory.network", CALLED),
        ("memory.network", {**NESTED, "reward_head": CALLED}),
        ("memory.network", {**NESTED, "reward_head": "worldmodels.memory.heads.symexp"}),
        ("collect.policy", CALLED),
        ("controller.search", CALLED),
        ("executor.engine", CALLED),
        ("env.task", CALLED),
        ("callbacks.mine", CALLED),
        ("callbacks.mine", {"_target_": "lightning.pytorch.callbacks.callback.Any"}),
        ("callbacks.mine", {"_target_": "worldmodels.vision.network.ConvVAE"}),
        ("logger.mine", CALLED),
    ],
)
def test_nothing_but_a_class_that_fits_is_called_without_permission(run, key, value, tmp_path, monkeypatch):
    (tmp_path / "evilmod.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nX = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    named(run, key, value)

    def used():
        config = FinishedRun(run).config
        check_parts(config)
        make_vision(config)
        make_memory(config, 2)
        task_class(config.env)

    assert key in refusal(used)
    assert not (tmp_path / "ran").exists()


def test_every_part_says_what_fits_it():
    declarations = [
        declared(field.type)[name].setting
        for field in dataclasses.fields(Config)
        if isinstance(field.type, type) and issubclass(field.type, Settings)
        for name in declared(field.type)
    ]
    chosen = [setting for setting in declarations if isinstance(setting, Part)]
    assert len(chosen) >= 7 and all(part.fits for part in [*chosen, REWARD_HEAD, LOGGER, CALLBACK])
    for part in chosen:
        for path in part.names.values():
            assert parts.find(dataclasses.replace(part, names={}), path, "part"), "as its path"


def test_what_a_run_allowed_itself_does_not_count(run):
    named(run, "vae.loss", "mypackage.losses.Huber")
    named(run, "allow", ["mypackage"])
    assert "whose code would run" in refusal(lambda: FinishedRun(run).config)


def test_figures_of_an_earlier_version_are_read_under_their_names_of_today(run):
    results = json.loads((run / "results.json").read_text())
    figures = {"nll": {"swapped": {"value": 1.5, "interval": None}, "memory_minus_swapped": {"value": -0.5}}}
    results["measures"] = {"memory": {**figures, "frames": 7}}
    (run / "results.json").write_text(json.dumps(results))
    read = FinishedRun(run).results["measures"]["memory"]
    names = {"mismatched_actions": "swapped", "memory_minus_mismatched_actions": "memory_minus_swapped"}
    assert read == {"nll": {new: figures["nll"][old] for new, old in names.items()}, "frames": 7}


@pytest.mark.parametrize("name", ["../../../elsewhere", "/etc", "a/b", ".."])
def test_an_artifact_that_leads_elsewhere_is_refused(run, name):
    results = json.loads((run / "results.json").read_text())
    results["stages"]["vision"]["artifact"] = name
    (run / "results.json").write_text(json.dumps(results))
    for look in (lambda: FinishedRun(run).vision, lambda: FinishedRun(run).manifest("vision")):
        message = refusal(look)
        assert "leads out of its folder" in message or "has no finished vision stage" in message
