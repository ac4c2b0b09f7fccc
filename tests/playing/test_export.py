"""The page in a file dreams as Python does."""

import copy
import dataclasses
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from pages import ASKED, STEPS, assert_same_dream, exported, play

from worldmodels.memory.network import MDNLSTM
from worldmodels.play import PlayCommand
from worldmodels.play import play as run_play
from worldmodels.playing.export import write
from worldmodels.playing.keys import Key
from worldmodels.playing.session import Played
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.errors import ConfigError

TOY = ("env=cart_pole", "env.name=toy", "env.id=toys:Toy-v0")
KINDS = {  # of actions, heads, encoders and inputs of C
    "lunar_lander": ["env=lunar_lander", "memory.network.reward_head=gaussian", "memory.network.end_head=true"],
    "car_racing": ["env=car_racing", "memory.network.skip_gain=true", "memory.network.reward_head=categorical"],
    "cart_pole": ["env=cart_pole", "env.step_reward=1", "controller.inputs=[z,h,c]"],
    "hidden": ["env=lunar_lander", "controller.hidden=5"],
    "threshold": ["env=lunar_lander", "env.kwargs.continuous=false", "env.squash=[]", "env.discrete=threshold"],
    "bounds": ["env=pendulum", "env.squash=[]"],
    "integers": [*TOY, "env.kwargs={actions: integers}"],
    "multi_discrete": [*TOY, "env.kwargs={actions: multi_discrete}"],
}
HELD = {
    "lunar_lander": [["ArrowUp"], ["ArrowUp", "ArrowLeft"], []],
    "car_racing": [["ArrowUp"], ["ArrowLeft", "ArrowRight", "ArrowDown"]],
    "hidden": [["ArrowUp"], ["ArrowUp", "ArrowLeft"], []],
    "cart_pole": [["ArrowRight"], [], ["ArrowRight", "ArrowLeft"]],
    "threshold": [["ArrowUp"], ["ArrowUp", "ArrowLeft"], []],
    "bounds": [["ArrowLeft"], []],
    "integers": [["x"], [], ["x", "q"]],
    "multi_discrete": [["1"], ["5"], ["2", "4"], []],
}


NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no Node.js: apt-get install nodejs")


def in_javascript(played, folder, held, asked=ASKED):
    """What `play` gives."""
    _, script = exported(played, folder)
    (folder / "play.js").write_text(
        f"{script}\n{play(held, asked)}\nconsole.log(JSON.stringify(seen));", encoding="utf-8"
    )
    return json.loads(subprocess.run([NODE, folder / "play.js"], capture_output=True, check=True, timeout=120).stdout)


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_javascript_dreams_the_same(kind, make_run, tmp_path):
    run = make_run("memory.network.hidden_size=16", "trainer.precision=32-true", *KINDS[kind])
    played = Played.of(FinishedRun(run, ["toys"]), 2)
    if kind == "cart_pole":
        torch.manual_seed(0)
        behind = MDNLSTM(32, 2, 16, adapter_width=40).eval()
        played = dataclasses.replace(played, model=dataclasses.replace(played.model, memory=behind))
    if kind == "integers":  # halves, which go to the even number
        keys = (*played.keys.keys, Key("x", "halves", (0, 1, 2), (0.5, 1.5, 2.5)))
        played = dataclasses.replace(played, keys=dataclasses.replace(played.keys, keys=keys))
    told = assert_same_dream(in_javascript(played, tmp_path, HELD[kind]), played, HELD[kind])
    if kind == "integers":
        assert told[0]["action"] == [0, 2, 2, 0]
        assert not np.remainder([facts["action"] for facts in told], 1).any()


@needs_node
def test_in_javascript_too_m_ends_the_dream_and_so_does_the_limit_of_steps(played, tmp_path):
    asked = {**ASKED, "ends": True}
    held = HELD["lunar_lander"]
    told = assert_same_dream(in_javascript(played, tmp_path, held, asked), played, held, asked)
    assert told[-1]["dream"]["over"] and told[-1]["dream"]["step"] < STEPS
    config = copy.deepcopy(played.model.config)
    config.env.max_steps = 5
    short = dataclasses.replace(played, model=dataclasses.replace(played.model, config=config))
    told = assert_same_dream(in_javascript(short, tmp_path, held), short, held)
    assert [facts["dream"]["over"] for facts in told] == [False] * 4 + [True] * (STEPS - 4)


def test_nothing_in_a_page_ends_its_script(played, tmp_path):
    spec = dataclasses.replace(played.model.spec, name="</script><b>")
    _, script = exported(dataclasses.replace(played, model=dataclasses.replace(played.model, spec=spec)), tmp_path)
    assert "\\u003c/script>" in script and "</script" not in script


class OtherMemory(torch.nn.Module):
    reward_head = end_head = None


def test_networks_that_javascript_does_not_know_are_refused(played, tmp_path):
    def refused(**parts):
        model = dataclasses.replace(played.model, **parts)
        with pytest.raises(ConfigError) as caught:
            write(dataclasses.replace(played, model=model), tmp_path / "new" / "page.html")
        assert list(tmp_path.iterdir()) == []
        return str(caught.value)

    assert refused(memory=OtherMemory()).startswith("M is OtherMemory, which a page in a file cannot run: expected")
    assert refused(vision=OtherMemory()).startswith("V is OtherMemory")


def test_weights_that_half_precision_cannot_hold_are_refused(make_run, tmp_path):
    played = Played.of(FinishedRun(make_run("env=lunar_lander", "memory.network.hidden_size=4")), 1)
    played.model.memory.mdn.bias.data[0] = 1e6
    with pytest.raises(ConfigError, match=r"half precision cannot hold mdn\.bias"):
        write(played, tmp_path / "page.html")


def test_the_command_writes_the_page_and_serves_nothing(run, commands, tmp_path):
    path = tmp_path / "new" / "page.html"
    told = commands.run("play", f"run={run}", f"export={path}", "starts=1")
    assert f"MB: {path}" in told and path.stat().st_size > 8e6
    assert "is a folder: expected a file" in commands.run("play", f"run={run}", f"export={tmp_path}", expect=2)
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    assert "is no page of this command" in commands.run("play", f"run={run}", f"export={notes}", expect=2)
    assert notes.read_text() == "mine"


def test_a_page_that_can_have_no_folder_is_refused_before_anything_is_loaded(run, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "page.html", tmp_path / "file" / "new" / "page.html"):
        with pytest.raises(ConfigError, match="expected a folder one may write to"):
            run_play(OmegaConf.structured(PlayCommand(run=str(run), export=str(place))))
    assert (tmp_path / "file").read_bytes() == b""
