"""A V, an M and a loss of one's own, from folders outside the checkout, nothing edited."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ROOT, ended
from safetensors.torch import load_file
from warm import Warm

from worldmodels.config import Config, check_parts
from worldmodels.controller.agent import Agent, check_inputs
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.config import NETWORK
from worldmodels.pipeline.stages import vision
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.transfer.weights import save_weights
from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import counted

CHEAP = [
    *("env=lunar_lander", "trainer=cpu", "trainer.threads=1", "executor=serial", "trainer.precision=bf16-mixed"),
    *("vae.epochs=1", "probe.epochs=1", "collect.rollouts=2", "collect.max_steps=20", "heldout.rollouts=2"),
    "controller.generations=1",
]


def copied(example: str, folder: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / example, folder / example))


@pytest.fixture(scope="module")
def run(warm: Warm) -> Callable[..., str]:
    """``run("train", folder, …)``: what ``python -m worldmodels.train`` prints, run from a folder, whose modules it
    finds as the README says.
    """
    path = {"PYTHONPATH": str(ROOT)}  # the checkout's package is tested
    return lambda command, folder, *overrides: ended(
        warm.start(["-m", f"worldmodels.{command}", *overrides], folder, path)
    )


def results(folder: Path) -> dict[str, Any]:
    """Of the latest run."""
    latest = max(folder.rglob("results.json"), key=lambda path: path.stat().st_mtime_ns)
    return {**json.loads(latest.read_text()), "folder": latest.parent}


def readme(folder: Path) -> list[list[str]]:
    """The overrides of the README's commands."""
    lines = re.findall(r"^python -m worldmodels\.train (.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert len(lines) == 2
    return [shlex.split(line) for line in lines]


@pytest.mark.slow
def test_the_commands_of_own_loss_train_the_same_v_by_name_and_on_the_command_line(
    run: Callable[..., str], tmp_path: Path
) -> None:
    folder = copied("own_loss", tmp_path)
    by_name, by_line = readme(folder)
    cheap = (*CHEAP, "probe.enabled=false", "measure.enabled=false")
    run("train", folder, *by_name, *cheap)
    first = results(folder)
    counted = first["stages"]["vision"]["inputs"]["vae"]["loss"]
    assert counted == {"_target_": "my_loss.Huber", "delta": 0.1}
    assert np.isfinite(first["vision"]["epochs"][-1]["val_reconstruction"])
    run("train", folder, "vae=cvae", *by_line, *cheap)
    assert results(folder)["stages"]["vision"] == {**first["stages"]["vision"], "cached": True}
    loss = folder / "my_loss.py"
    loss.write_text(loss.read_text().replace("return 2 *", "return 3 *"))
    again = run("train", folder, *by_name, *cheap)
    assert "my_loss" in again and not results(folder)["stages"]["vision"]["cached"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "node", "stage"), [("own_vision", "vae", "vision"), ("own_memory", "memory", "memory")]
)
def test_the_commands_of_the_other_examples(
    run: Callable[..., str], example: str, node: str, stage: str, tmp_path: Path
) -> None:
    folder, names = copied(example, tmp_path), []
    for overrides in readme(folder):
        run("train", folder, *overrides, *CHEAP, f"stage={stage}")
        made = results(folder)
        names.append(made["stages"][stage]["artifact"])
        inputs = made["stages"][stage]["inputs"][node]["network"]
        assert inputs["_target_"].startswith("my_")
        manifest = json.loads((made["folder"] / made["artifacts"] / stage / names[-1] / "manifest.json").read_text())
        assert f"my_{stage}" in manifest["code"]["files"]
    assert names[0] != names[1], "a setting of one's own counts"


@pytest.fixture(scope="module")
def together(run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which V and M of one's own went through all stages, from a source task with other actions."""
    folder = copied("own_memory", tmp_path_factory.mktemp("together"))
    other = copied("own_vision", folder)
    shutil.copy(other / "my_vision.py", folder)
    shutil.copytree(other / "conf" / "vae", folder / "conf" / "vae")
    strategy = ("transfer=pretrained", "transfer.freeze=[vision.reading,memory.gaussian]")
    run("train", folder, "--config-dir", "conf", "vae=mine", "memory=mine", "scale=smoke", *CHEAP, *strategy)
    return folder


def artifact(made: dict[str, Any], stage: str) -> Path:
    return made["folder"] / made["artifacts"] / stage / made["stages"][stage]["artifact"]


@pytest.mark.slow
def test_a_v_and_an_m_with_nothing_but_the_interface_go_through_every_stage(
    together: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = results(together)
    assert np.isfinite(made["evaluation"]["mean"])
    assert np.isfinite(made["measures"]["memory"]["nll"]["mismatched_actions"]["value"])
    assert made["probes"]["memory"]["zh"]
    groups = made["parameters"]["vision"]["groups"]
    reading, drawing = groups["reading"], groups["drawing"]
    assert reading["frozen"] == reading["copied"] == reading["total"] and drawing["trainable"] == drawing["total"]
    groups = made["parameters"]["memory"]["groups"]
    assert groups["gaussian"]["frozen"] == groups["gaussian"]["total"]
    assert groups["cell"]["fresh"] == 3 * 48 * (16 + 2), "the input layer's width follows the actions"
    assert groups["cell"]["copied"] == groups["cell"]["total"] - groups["cell"]["fresh"]
    # What M and C are given is what `encode` gives, in float32 although the hardware has bf16.
    monkeypatch.syspath_prepend(together)
    from my_vision import PatchVAE  # pyright: ignore[reportMissingImports]

    network = PatchVAE()
    network.load_state_dict(load_file(artifact(made, "vision") / "weights.safetensors"))
    frames, latents = RolloutStore(artifact(made, "collect")), RolloutStore(artifact(made, "encode"))
    with torch.no_grad():
        mu, log_var = network.encode(torch.from_numpy(frames.read(0, "frames")).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(latents.read(0, "mu"), mu, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(latents.read(0, "log_var"), log_var, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_they_dream_and_are_probed(run: Callable[..., str], together: Path) -> None:
    folder = str(results(together)["folder"])
    allowed = (f"run={folder}", "allow=[my_vision,my_memory]")
    run("dream", together, *allowed, "steps=15", "context=5", "temperature=1.0")
    assert next(together.rglob("dream.gif")).stat().st_size > 1000
    assert "mismatched actions" in run("probe", together, *allowed)


VISION, MEMORY = "vae.network={_target_: my_vision.PatchVAE}", "memory.network={_target_: my_memory.GRUMemory}"
REFUSED = [
    (["controller.inputs=[z,h,c]"], "controller.inputs=[z,h,c] reads c, which the state of GRUMemory does not have"),
    (["vae.loss=gan"], "vae.loss=gan trains encoder, bottleneck, decoder apart, and PatchVAE has reading, drawing"),
    (["vae.network._target_=my_memory.GRUMemory"], "vae.network=my_memory.GRUMemory does not tell its latent_size"),
    (["vae.network.width=0"], "vae.network.width=0 is too small: expected 1 or more"),
    (["vae.network.depth=2"], "vae.network.depth=2 is no setting of PatchVAE"),
    (["vae.loss={_target_: my_loss.Huber, delta: 0}"], "vae.loss.delta=0.0 is out of range: expected above 0"),
    (["memory.network.reward_head=my_memory.None"], "memory.network.reward_head=my_memory.None is not there"),
    (
        ["transfer=pretrained", "transfer.input_layer=adapter"],
        "transfer.input_layer=adapter needs an M with INPUT_LAYERS and an argument adapter_width",
    ),
]


OWN_HEAD = """
import torch

class Mine(torch.nn.Module):
    def __init__(self, hidden_size, guess=0.5):
        super().__init__()
        self.guess = guess

    def mean(self, h):
        return h.new_full(h.shape[:-1], self.guess)
"""


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for example in ("own_vision", "own_memory", "own_loss"):
        monkeypatch.syspath_prepend(ROOT / "examples" / example)
    (tmp_path / "my_reward.py").write_text(OWN_HEAD)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(("overrides", "told"), REFUSED)
@pytest.mark.usefixtures("importable")
def test_what_they_cannot_do_is_a_line(compose: Callable[..., Config], overrides: list[str], told: str) -> None:
    """What a run checks before any work."""
    with pytest.raises(ConfigError) as refused:
        memory = MEMORY if "reward" not in overrides[0] else "seed=0"
        config = compose(VISION, memory, "controller.phases=[]", *overrides)
        check_parts(config)
        vision.check(config)
        check_inputs(config, make_memory(config, 3))
    assert str(refused.value).startswith(told) and "\n" not in str(refused.value)


@pytest.mark.usefixtures("importable")
def test_settings_of_ones_own_count(compose: Callable[..., Config]) -> None:
    def network(*overrides: str) -> dict[str, Any]:
        return counted(compose(*overrides).vae)["network"]

    mine = {"_target_": "my_vision.PatchVAE", "latent_size": 16, "width": 32}
    assert network(VISION) == mine
    assert network(VISION, "vae.network.width=16") == {**mine, "width": 16}
    foveal = network("vae=foveal")
    assert network("vae=foveal", "vae.network.features=61") == foveal and "features" not in foveal
    assert network("vae=foveal", "vae.network.features=32") == {**foveal, "features": 32}
    assert make_vision(compose("vae=foveal", "vae.network.features=32")).encoder.fovea.dense.out_features == 32


@pytest.mark.usefixtures("importable")
def test_the_agent_keeps_the_whole_state_of_a_foreign_m_for_each_slot(
    compose: Callable[..., Config], tmp_path: Path
) -> None:
    """A GRU's h from a learnt start, and a count of steps: each slot's as if it were alone."""
    config = compose(VISION, MEMORY, "trainer.precision=32-true", "controller.inputs=[z,h]", "controller.phases=[]")
    network = make_memory(config, 3)
    with torch.no_grad():
        network.start.copy_(torch.linspace(-1, 1, 48))  # type: ignore[operator]
    save_weights(make_vision(config), tmp_path / "vision.safetensors")
    save_weights(network, tmp_path / "memory.safetensors")
    rng = np.random.default_rng(0)
    frames, players = rng.integers(0, 256, (4, 3, 64, 64, 3), dtype=np.uint8), rng.normal(size=(3, 3 * (16 + 48 + 1)))
    spec = task_spec(config.env)
    agent = Agent(config, spec, tmp_path / "vision.safetensors", tmp_path / "memory.safetensors", slots=3)
    alone = Agent(config, spec, tmp_path / "vision.safetensors", tmp_path / "memory.safetensors")
    agent.begin(1, players[2])
    agent.act([1], frames[0, :1])  # an episode before those that are looked at
    for slot, player in enumerate(players):
        agent.begin(slot, player)
    actions = np.stack([agent.act([2, 0, 1], shown[[2, 0, 1]]) for shown in frames])
    assert agent.state.steps.tolist() == [4, 4, 4]
    for row, slot in enumerate((2, 0, 1)):
        alone.begin(0, players[slot])
        assert torch.equal(alone.state.h[0], network.start)
        np.testing.assert_array_equal(
            actions[:, row], np.concatenate([alone.act([0], shown[[slot]]) for shown in frames])
        )


@pytest.mark.usefixtures("importable")
def test_a_reward_head_of_ones_own_counts_and_is_made(compose: Callable[..., Config]) -> None:
    path = "worldmodels.memory.heads.GaussianReward"  # by its path, as anybody's
    mine = {"_target_": "my_reward.Mine", "guess": 0.5}
    for value, counts_as in (("gaussian", "gaussian"), (path, "gaussian"), ("my_reward.Mine", mine)):
        config = compose(f"memory.network.reward_head={value}")
        assert counted(config.memory)["network"]["reward_head"] == counts_as
    head = make_memory(config, 3).reward_head
    assert head.mean(torch.zeros(2, 256)).tolist() == [0.5, 0.5]
    assert "my_reward.Mine" in parts.targets(NETWORK, config.memory.network, "memory.network")
    config = compose("memory.network.reward_head={_target_: my_reward.Mine, guess: 2}")
    assert counted(config.memory)["network"]["reward_head"] == {"_target_": "my_reward.Mine", "guess": 2}
