"""A finished run's agent in a folder of its own."""

import csv
import json
import logging
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import worldmodels as wm
from worldmodels.controller.coordinates import LOOK
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.export import export, unread
from worldmodels.pipeline.stages import evaluate
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.store.journal import Journal
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.errors import Failure
from worldmodels.utils.seeds import episode_seed
from worldmodels.vision.look import Look


@pytest.fixture(scope="module")
def run(finished):
    return FinishedRun(finished("lunar_lander").run)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """As stored in float32 and in float16."""
    folder = tmp_path_factory.mktemp("exported")
    sizes = {half: export(run, folder / str(half), half) for half in (False, True)}
    return {half: (folder / str(half), size) for half, size in sizes.items()}


@pytest.fixture(scope="module")
def episode(run):
    """The frames of an episode, (N, 64, 64, 3) uint8, and the actions of the run's agent on them."""
    agent, env = wm.load(run.folder).agent(), wm.make_env(run.config, max_steps=8)
    frame, _ = env.reset(seed=3)
    frames, actions, done = [], [], False
    while not done:
        frames.append(frame)
        actions.append(agent.act(frame))
        frame, _, terminated, truncated, _ = env.step(actions[-1])
        done = terminated or truncated
    env.close()
    return frames, np.array(actions)


def actions_of(folder, frames):
    agent = wm.load(folder).agent()
    return np.array([agent.act(frame) for frame in frames])


def test_an_exported_agent_acts_as_the_run_s_bit_for_bit(exported, episode):
    frames, actions = episode
    assert np.array_equal(actions_of(exported[False][0], frames), actions)


def test_in_half_precision_it_acts_nearly_the_same_and_takes_half_the_room(exported, episode):
    frames, actions = episode
    assert np.allclose(actions_of(exported[True][0], frames), actions, atol=0.02)
    weights = {
        half: {path.parent.parent.name: path.stat().st_size for path in folder.rglob("weights.safetensors")}
        for half, (folder, _) in exported.items()
    }
    assert 0.49 < weights[True]["memory"] / weights[False]["memory"] < 0.51
    assert weights[True]["controller"] == weights[False]["controller"]
    assert exported[True][1] < 3.5e6


def test_it_is_scored_as_the_run(exported, run, tmp_path):
    finished = FinishedRun(exported[False][0])
    controller = finished.controller
    agent = (*(finished.parent(controller, role).weights for role in ("vision", "memory")), controller.weights)
    score = evaluate.run(finished.config, *agent, SerialExecutor(), Journal(tmp_path, None, "evaluate"))
    assert score["returns"] == run.results["evaluation"]["returns"]
    assert score["best"]["returns"] == run.results["evaluation"]["best"]["returns"]


@pytest.mark.slow
def test_the_command_and_the_next_one(commands, run, tmp_path):
    outputs = next(folder for folder in run.folder.parents if (folder / "artifacts").is_dir())
    whole = shutil.copytree(outputs, tmp_path / "whole") / run.folder.relative_to(outputs)
    printed = commands.run("export", f"run={whole}", f"to={tmp_path / 'agent'}", "half=true")
    assert f"MB: {tmp_path / 'agent'}" in printed
    refused = commands.run("probe", f"run={tmp_path / 'agent'}", expect=2).splitlines()
    assert "without the encode stage" in refused[-1] and not any("collect" in line for line in refused)
    shutil.rmtree(tmp_path / "whole")
    commands.run("evaluate", f"run={tmp_path / 'agent'}", "episodes=1", "workers=1", "video=true")
    (evaluation,) = (tmp_path / "agent").glob("evaluations/*/evaluation.json")
    assert json.loads(evaluation.read_text())["episodes"] == 1
    assert evaluation.with_name("episode.mp4").exists()


def test_the_folder_tells_what_it_is(exported, run):
    folder, _ = exported[True]
    names = {str(path.relative_to(folder)) for path in folder.iterdir()}
    assert names == {"artifacts", "results.json", "config.yaml", "generations.csv"}
    assert {path.name for path in (folder / "artifacts").iterdir()} == {"vision", "memory", "controller"}
    results = json.loads((folder / "results.json").read_text())
    assert results["exported"]["half"] and all(name.startswith("decoder.") for name in results["exported"]["left_out"])
    assert results["evaluation"] == run.results["evaluation"]
    assert results["config"]["paths"] == {"outputs": "outputs"}
    with (folder / "generations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["generation"]) for row in rows] == [1, 2] and "fitness" not in rows[0]
    text = "".join(path.read_text() for path in folder.rglob("*.json"))
    assert str(run.folder.parents[2]) not in text


def test_v_has_no_decoder_unless_asked(exported, run, episode, tmp_path):
    vision = wm.load(exported[False][0]).vision
    frames = np.stack(episode[0])
    mu = vision.encode(frames).mu
    assert torch.equal(mu, wm.load(run.folder).vision.encode(frames).mu)
    with pytest.raises(wm.ConfigError, match=r"exported without its decoder: expected the run .* decoder=true"):
        vision.decode(mu)
    export(run, tmp_path / "whole", decoder=True)
    assert np.array_equal(wm.load(tmp_path / "whole").vision.decode(mu), wm.load(run.folder).vision.decode(mu))


def test_m_dreams_on_in_the_folder(exported, run, tmp_path):
    """From real first frames; only pictures need V's decoder."""
    dream = wm.load(exported[False][0]).dream(max_steps=3)
    starts, seen = set(), []
    for seed in range(3):
        z, info = dream.reset(seed=seed)
        starts.add(info["start"])
        seen += [z, dream.step(dream.action_space.sample())[0]]
    assert len(starts) > 1 and np.isfinite(seen).all()
    env = wm.make_env(run.config)
    frames = [env.reset(seed=episode_seed(0, "heldout", number))[0] for number in (0, 1)]
    env.close()
    mu = wm.load(run.folder).vision.encode(np.stack(frames)).mu
    assert np.allclose(dream.model.start_mu[:2], mu, atol=0.05)
    with pytest.raises(wm.ConfigError, match=r"V was exported without its decoder: .* decoder=true"):
        wm.load(exported[False][0]).dream(observation="pixels").reset(seed=0)
    export(run, tmp_path / "whole", decoder=True)
    seen, _ = wm.load(tmp_path / "whole").dream(observation="pixels").reset(seed=0)
    assert seen.shape == (64, 64, 3)


@pytest.mark.parametrize("network", ["cvae", "foveal"])
def test_the_weights_that_encode_does_not_read_are_the_decoder_s(compose, network):
    vision = make_vision(compose("env=lunar_lander", f"vae={network}"))
    before = {name: value.clone() for name, value in vision.state_dict().items()}
    assert unread(vision) == [name for name, _ in vision.named_parameters() if name.startswith("decoder.")]
    assert all(torch.equal(value, before[name]) for name, value in vision.state_dict().items())


def test_other_code_is_told_once_and_not_refused(exported, tmp_path, caplog):
    folder = shutil.copytree(exported[False][0], tmp_path / "agent")
    results = json.loads((folder / "results.json").read_text())
    for changed in ("worldmodels.factory", "worldmodels.memory.network", "worldmodels.vision.network"):
        results["exported"]["code"]["files"][changed] = "00000000"
    (folder / "results.json").write_text(json.dumps(results))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            wm.load(folder).agent()
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder} was exported from other code (worldmodels.factory and 2 more): it may score otherwise here"
    ]
    caplog.clear()
    wm.load(exported[False][0]).agent()
    assert not caplog.records


def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(exported, run, tmp_path):
    folder = shutil.copytree(exported[False][0], tmp_path / "agent")
    (folder / "README.md").write_text("mine")
    export(run, folder, half=True)
    assert json.loads((folder / "results.json").read_text())["exported"]["half"]
    assert (folder / "README.md").read_text() == "mine"
    assert len(list(folder.glob("artifacts/*/*"))) == 3
    with pytest.raises(wm.ConfigError, match="holds what is no export: expected a new folder"):
        export(run, run.folder)
    assert (run.folder / "results.json").exists()


def test_a_folder_is_not_exported_onto_itself(exported, tmp_path):
    folder = shutil.copytree(exported[False][0], tmp_path / "agent")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(folder)
    for to in (folder, tmp_path / "link"):
        with pytest.raises(wm.ConfigError, match="is the run itself: expected another folder"):
            export(FinishedRun(folder), to, half=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_can_be_no_folder_of_an_export_is_refused(exported, run, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    for to, reason in (("file", "is a file"), ("mine", "holds what is no export"), ("file/below", "cannot be written")):
        with pytest.raises(wm.ConfigError, match=f"{to} {reason}"):
            export(run, tmp_path / to)
    with pytest.raises(wm.ConfigError, match=r"decoder=true: .* was exported without V's decoder"):
        export(FinishedRun(exported[False][0]), tmp_path / "new", decoder=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine"]


def test_an_export_that_fails_leaves_what_was_there(exported, run, tmp_path, monkeypatch):
    folder = shutil.copytree(exported[False][0], tmp_path / "agent")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("worldmodels.pipeline.export.write_csv", killed)
        for to in (folder, tmp_path / "new"):
            with pytest.raises(KeyboardInterrupt):
                export(run, to, half=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["agent"]
    export(run, tmp_path / "new")
    assert (tmp_path / "new" / "results.json").exists()


def test_in_half_precision_what_m_counts_is_exact(run, tmp_path, monkeypatch):
    """Of a buffer, such as the scale of the rewards, every digit counts."""

    def counting(*arguments):
        network = make_memory(*arguments)
        name, parameter = next(iter(network.named_parameters()))
        module = network.get_submodule(name.rpartition(".")[0])
        value = parameter.detach()
        delattr(module, name.rpartition(".")[2])
        module.register_buffer(name.rpartition(".")[2], value)
        counted.extend(name for name, _ in network.named_buffers())
        return network

    counted = []
    monkeypatch.setattr("worldmodels.pipeline.export.make_memory", counting, raising=False)
    export(run, tmp_path / "half", half=True)
    (weights,) = (tmp_path / "half").glob("artifacts/memory/*/weights.safetensors")
    tensors = load_file(weights)
    assert counted and all(tensors.pop(name).dtype == torch.float32 for name in counted if name in tensors)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_files_that_are_missing_damaged_or_foreign_are_named(exported, tmp_path):
    def spoilt(name):
        folder = shutil.copytree(exported[False][0], tmp_path / name)
        return folder, next(folder.glob("artifacts/vision/*/weights.safetensors"))

    folder, weights = spoilt("missing")
    weights.unlink()
    with pytest.raises(Failure, match=r"weights.safetensors is damaged or missing: restore the exported folder"):
        wm.load(folder).agent()
    folder, weights = spoilt("foreign")
    weights.write_bytes(b"foreign")
    with pytest.raises(Failure, match="is damaged or missing: restore the exported folder"):
        wm.load(folder).agent()
    folder, weights = spoilt("gone")
    shutil.rmtree(weights.parent)
    with pytest.raises(Failure, match="is missing: restore the exported folder"):
        wm.load(folder).agent()
    folder, _ = spoilt("other")
    with pytest.raises(wm.ConfigError, match="holds an exported agent, without the encode stage: expected the run"):
        FinishedRun(folder).artifact("encode")
    (folder / "results.json").write_text('{"mean": 3}')
    with pytest.raises(wm.ConfigError, match=r"results.json is of no run: expected one that a training run wrote"):
        wm.load(folder).config  # noqa: B018


def test_what_a_search_on_a_read_out_goes_on_with_is_in_the_folder(finished, commands, tmp_path):
    run = FinishedRun(finished("lunar_lander").copied(commands))
    look, _ = Look.prepare([np.zeros((2, 64, 64, 3), np.uint8)])
    look.save(run.controller.path / LOOK)
    for number in range(2):  # an export is exported again
        export(run, tmp_path / f"{number}")
        run = FinishedRun(tmp_path / f"{number}")
        assert np.array_equal(Look.load(run.controller.path / LOOK).table, look.table)


def test_an_export_is_exported_again(exported, tmp_path, episode):
    export(FinishedRun(exported[False][0]), tmp_path / "again")
    frames, actions = episode
    assert np.array_equal(actions_of(tmp_path / "again", frames), actions)
