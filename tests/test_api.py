"""The Python API, on one finished run."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import gymnasium
import hydra
import numpy as np
import pytest
import torch
from helpers import ended
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase

import worldmodels as wm
from worldmodels.pipeline.stages import collect
from worldmodels.vision.network import ConvVAE

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(finished) -> wm.Run:
    return wm.load(finished("lunar_lander").run)


@pytest.fixture(scope="module")
def frames(run) -> np.ndarray:
    """Of an episode, (N, 64, 64, 3) uint8."""
    env = wm.make_env(run.config, max_steps=5)
    try:
        return np.stack([env.reset(seed=3)[0], *(env.step(env.action_space.sample())[0] for _ in range(4))])
    finally:
        env.close()


def plain_python(code: str, folder: Path) -> str:
    """What a script prints, in a Python of its own."""
    (folder / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_heavy_is_imported_before_it_is_used(tmp_path):
    heavy = ["torch", "h5py", "Box2D", "lightning", "hydra", "cv2", "matplotlib"]
    code = f"import sys, worldmodels as wm\nprint([each for each in {heavy} if each in sys.modules], dir(wm))"
    printed = plain_python(code, tmp_path)
    assert printed.startswith("[] ")
    assert all(name in printed for name in wm.__all__)
    assert "worldmodels/Dream-v0" in gymnasium.registry


def test_what_is_public_is_there():
    assert all(getattr(wm, name) for name in wm.__all__)
    assert (Path(wm.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        wm.trian  # noqa: B018


def test_the_function_is_there_also_once_the_command_of_its_name_is_imported(tmp_path, monkeypatch):
    import importlib

    module = importlib.import_module("worldmodels.train")
    monkeypatch.setattr(wm, "train", module, raising=False)
    with pytest.raises(wm.ConfigError, match=r"vae\.epochs=0 is too small"):
        wm.train("vae.epochs=0")


def test_a_run_tells_what_it_is(run, finished):
    assert run.folder == finished("lunar_lander").run
    assert run.results == finished("lunar_lander").results
    assert (run.config.env.name, run.config.scale) == ("lunar_lander", "smoke")
    assert repr(run) == f"Run('{run.folder}': env=lunar_lander transfer=scratch scale=smoke seed=0)"


def test_v_sees_frames_of_every_form(run, frames):
    mu, log_var = run.vision.encode(frames)
    assert mu.shape == log_var.shape == (5, 32) and mu.dtype == torch.float32 and not mu.requires_grad
    units = frames.astype(np.float32) / 255
    for form in (
        torch.from_numpy(frames),
        np.moveaxis(frames, -1, 1),
        units,
        torch.from_numpy(units),
        torch.from_numpy(units).movedim(-1, 1),
        (frames / 255),
    ):
        assert torch.allclose(run.vision.encode(form).mu, mu, atol=1e-5)
    one = [run.vision.encode(frame[None]).mu[0] for frame in frames]
    assert torch.allclose(torch.stack(one), mu, atol=1e-4)


def test_v_shows_what_it_knows(run, frames):
    """Beside the network itself."""
    mu = run.vision.encode(frames).mu
    decoded = run.vision.decode(mu)
    assert decoded.shape == frames.shape and decoded.dtype == np.uint8
    with torch.no_grad():
        expected = (run.vision.network.decode(mu) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(decoded, expected)
    assert np.array_equal(run.vision.decode(mu.numpy()), decoded)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda frames: frames[0], r"frames are \(64, 64, 3\): expected .* a single one is frame\[None\]"),
        (lambda frames: frames[:0], r"frames are \(0, 64, 64, 3\)"),
        (lambda frames: frames[:, :32], r"frames are \(5, 32, 64, 3\)"),
        (lambda frames: frames.astype(np.float32), r"float32 from 0 to 255: expected uint8, or floats in 0 to 1"),
        (lambda frames: frames.astype(np.int64), "int64 from"),
        (lambda frames: np.full(frames.shape, np.nan, np.float32), "from nan to nan"),
    ],
)
def test_frames_that_v_cannot_see_are_refused(run, frames, spoilt, message):
    with pytest.raises(wm.ConfigError, match=message):
        run.vision.encode(spoilt(frames))


def test_latents_that_v_cannot_show_are_refused(run):
    for z in (np.zeros(32), np.zeros((2, 31))):
        with pytest.raises(wm.ConfigError, match=r"z is .*: expected \(N, 32\)"):
            run.vision.decode(z)


def test_what_are_no_numbers_is_refused(run):
    with pytest.raises(wm.ConfigError, match=r"z is 'x': expected numbers, \(N, 32\)"):
        run.vision.decode("x")
    with pytest.raises(wm.ConfigError, match=r"frames are \['x'\]: expected numbers"):
        run.vision.encode(["x"])


def test_an_agent_plays_as_it_was_scored(run):
    """Bit for bit: the returns are those of the evaluation."""
    scored = run.results["evaluation"]
    agent = run.agent()
    env = wm.make_env("lunar_lander", "env.renderer=gymnasium", max_steps=run.config.evaluate.max_steps)
    returns = []
    for seed in scored["seeds"]:
        frame, _ = env.reset(seed=seed)
        agent.reset()
        total, done = 0.0, False
        while not done:
            frame, reward, terminated, truncated, _ = env.step(agent.act(frame))
            total, done = total + reward, terminated or truncated
        returns.append(total)
    env.close()
    assert returns == scored["returns"]
    with pytest.raises(wm.ConfigError, match=r"the frame is \(1, 64, 64, 3\) uint8: expected \(64, 64, 3\) uint8"):
        agent.act(frame[None])


def test_m_and_c_are_there(run):
    assert run.memory.initial_state(1).h.shape == (1, 256)
    assert run.controller.mean.shape == run.controller.best.shape == run.controller.agent.shape == (2 * (32 + 256 + 1),)
    assert (run.controller.inputs, run.controller.hidden) == (["z", "h"], None)


def test_a_dream_is_an_environment(run):
    dream = run.dream(temperature=1.15, observation="pixels")
    observation, _ = dream.reset(seed=0)
    assert observation.shape == (64, 64, 3)
    assert dream.step(dream.action_space.sample())[0].dtype == np.uint8
    assert run.dream().model is dream.model, "V and M are read once"
    with pytest.raises(wm.ConfigError, match="temperature=x is no number: expected one"):
        run.dream(temperature="x")
    with pytest.raises(wm.ConfigError, match="temperature=0 is too small"):
        run.dream(temperature=0)


def test_what_a_run_has_not_got_is_told(tmp_path, run):
    results = json.loads(json.dumps(run.results))
    results["stages"] = {}
    (tmp_path / "results.json").write_text(json.dumps(results))
    short = wm.load(tmp_path)
    for use in (
        lambda: short.vision,
        lambda: short.memory,
        lambda: short.controller,
        lambda: short.agent(),
        lambda: short.dream(),
    ):
        with pytest.raises(wm.ConfigError, match=r"has no finished \w+ stage: expected a run that went as far as"):
            use()
    with pytest.raises(wm.ConfigError, match="nowhere is no run"):
        wm.load("nowhere")


def test_a_run_that_names_other_peoples_code_needs_permission(tmp_path, run):
    results = json.loads(json.dumps(run.results))
    results["config"]["vae"]["network"] = {"_target_": "mypackage.Mine"}
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(wm.ConfigError, match=r"add allow=\[mypackage\]"):
        wm.load(tmp_path).vision  # noqa: B018
    with pytest.raises(wm.ConfigError, match=r"add allow=\[mypackage\]"):
        gymnasium.make("worldmodels/Dream-v0", run=tmp_path)
    assert wm.load(tmp_path, allow=["mypackage"]).config.vae.network == {"_target_": "mypackage.Mine"}


def test_a_task_by_its_name_or_a_config():
    env = wm.make_env("bipedal_walker", "env.action_repeat=2", max_steps=8)
    assert env.action_space.shape == (4,)
    assert env.reset(seed=0)[0].shape == (64, 64, 3)
    for count in range(1, 5):
        assert env.step(env.action_space.sample())[3] == (count == 4)
    config = wm.compose("env=bipedal_walker")
    assert wm.make_env(config).spec == wm.make_env(config.env).spec
    with pytest.raises(wm.ConfigError, match="expected the name of a task"):
        wm.make_env(config, "env.action_repeat=2")
    with pytest.raises(wm.ConfigError, match=r"^env=breakout is unknown: expected one of bipedal_walker"):
        wm.make_env("breakout")
    with pytest.raises(wm.ConfigError, match=r"^make_env got 3: expected the name of a task or a config"):
        wm.make_env(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("allow", [3, "mypackage", [3]])
def test_what_is_no_list_of_modules_is_not_allowed(allow):
    with pytest.raises(wm.ConfigError, match=r"^load got allow=.*: expected a list of modules"):
        wm.load("x", allow=allow)


@pytest.mark.parametrize("folder", [None, 3])
def test_what_is_no_folder_is_not_loaded(folder):
    with pytest.raises(wm.ConfigError, match=rf"^load got {folder}: expected the folder of a run"):
        wm.load(folder)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["-m", "seed=0,1"], "got '-m': expected overrides such as 'env=lunar_lander'; for a sweep, call in a loop"),
        ([3], "got 3: expected overrides"),
        (["seed=0,1"], "Ambiguous value"),
        (["seed=one"], "seed=one"),
        (["vae.epochs=0"], "vae.epochs=0 is too small: expected 1 or more"),
        (["vae.epoch=1"], "epoch"),
        (["env=breakout"], "breakout"),
        (["collect.persistence=0.5"], "collect.persistence is called collect.policy.persistence now"),
        (["vae.loss=Huber"], "vae.loss=Huber is unknown: expected one of mse"),
        (["vae.loss=__main__.Huber"], "write it to a file beside the script"),
        (["transfer=pretrained", "transfer.source_run=nowhere"], "nowhere is no run"),
        (["transfer=freeze2", "transfer.freeze=[vision.eye]"], "vision.eye is no module"),
    ],
)
def test_a_senseless_request_is_refused_and_leaves_nothing(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(wm.ConfigError) as caught:
        wm.train(*overrides)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lease"]


SMALL = (
    *("scale=smoke", "env=lunar_lander", "vae=cvae", "trainer=cpu", "trainer.threads=1", "executor=serial"),
    *("stage=collect", "collect.rollouts=2", "collect.max_steps=5", "probe.enabled=false", "measure.enabled=false"),
)


def test_training_again_and_again_leaves_no_trace(tmp_path, monkeypatch, capsys):
    """As in a notebook, and inside of another Hydra application with a version and a config of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    GlobalHydra.instance().clear()
    logger, threads = logging.getLogger("worldmodels"), torch.get_num_threads()
    before = (list(logger.handlers), logger.level)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "app.yaml").write_text("number: 3\n")
    with hydra.initialize_config_dir(str(tmp_path / "theirs"), version_base="1.2"):
        version = VersionBase.instance().getbase()
        first, second = wm.train(*SMALL), wm.train(*SMALL)
        assert hydra.compose("app").number == 3
        assert VersionBase.instance().getbase() == version
    assert not GlobalHydra.instance().is_initialized() and not HydraConfig.initialized()
    assert (logger.handlers, logger.level) == before and torch.get_num_threads() == threads
    assert first.folder != second.folder
    assert [each.results["stages"]["collect"]["cached"] for each in (first, second)] == [False, True]
    name = "lunar_lander-smoke-cvae-collect.rollouts2-collect.max_steps5-seed0"
    assert re.fullmatch(rf"outputs/runs/{name}/[\d_-]+", str(first.folder.relative_to(tmp_path)))
    left = {str(path.relative_to(first.folder)) for path in first.folder.rglob("*") if path.is_file()}
    files = {"results.json", "train.log", *(f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides"))}
    assert files <= left
    printed = capsys.readouterr().out
    assert "collect: building lunar_lander" in printed and "collect: reused lunar_lander" in printed
    assert "collect: building" in (first.folder / "train.log").read_text()
    wm.train(*SMALL, "seed=1")
    assert "building" in capsys.readouterr().out, "once more, after the other application"


def test_a_log_of_ones_own_is_used(tmp_path, monkeypatch, capsys, caplog):
    """Nothing is said twice."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    wm.train(*SMALL)
    assert "collect: building" in caplog.text
    assert "collect: building" not in capsys.readouterr().out


def test_an_interruption_passes_and_the_next_call_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(collect, "write_index", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wm.train(*SMALL)
    assert wm.train(*SMALL).results["collect"]["rollouts"] == 2


def test_training_works_in_a_thread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = []
    thread = threading.Thread(target=lambda: runs.append(wm.train(*SMALL)))
    thread.start()
    thread.join()
    assert runs[0].results["stages"]["collect"]


def test_config_files_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mine" / "scale").mkdir(parents=True)
    (tmp_path / "mine" / "scale" / "tiny.yaml").write_text(
        "# @package _global_\ndefaults: [smoke]\nscale: tiny\nvae: { epochs: 1 }\n"
    )
    config = wm.compose("scale=tiny", config_dir=tmp_path / "mine")
    assert (config.scale, config.vae.epochs, config.memory.steps) == ("tiny", 1, 8)


def test_a_plain_script_trains(tmp_path, warm):
    """Without ``if __name__ == "__main__"``: workers do not run the script again."""
    overrides = [*(each for each in SMALL if not each.startswith("executor")), "executor=process"]
    code = f"""
import worldmodels as wm
print("begins")
run = wm.train(*{overrides})
print(run.results["collect"]["rollouts"])
"""
    (tmp_path / "script.py").write_text(code)
    printed = ended(warm.start([str(tmp_path / "script.py")], tmp_path, {"PYTHONPATH": str(ROOT)}))
    assert printed.count("begins") == 1
    assert printed.rstrip().endswith("2")


def test_parts_work_with_defaults():
    frames = torch.rand(2, 3, 64, 64)
    assert ConvVAE().encode(frames).mu.shape == (2, 32)
