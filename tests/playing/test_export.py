"""The page in a file dreams as Python does."""

import dataclasses
import json
import shutil
import subprocess

import pytest
import torch
from pages import PLAY, STEPS, assert_same_dream, exported

from worldmodels.memory.network import MDNLSTM
from worldmodels.playing.export import write
from worldmodels.playing.session import Played
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.errors import ConfigError

KINDS = {  # of actions, heads, encoders and inputs of C
    "lunar_lander": ["env=lunar_lander", "memory.network.reward_head=gaussian", "memory.network.end_head=true"],
    "car_racing": ["env=car_racing", "memory.network.skip_gain=true", "memory.network.reward_head=categorical"],
    "cart_pole": ["env=cart_pole", "env.step_reward=1", "controller.inputs=[z,h,c]"],
    "threshold": ["env=lunar_lander", "env.kwargs.continuous=false", "env.squash=[]", "env.discrete=threshold"],
}
HELD = {
    "lunar_lander": [["ArrowUp"], ["ArrowUp", "ArrowLeft"], []],
    "car_racing": [["ArrowUp"], ["ArrowLeft", "ArrowRight", "ArrowDown"]],
    "cart_pole": [["ArrowRight"], [], ["ArrowRight", "ArrowLeft"]],
    "threshold": [["ArrowUp"], ["ArrowUp", "ArrowLeft"], []],
}


@pytest.mark.parametrize("kind", KINDS)
def test_javascript_dreams_the_same(kind, make_run, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not there; the browser's test looks at one page all the same")
    played = Played.of(
        FinishedRun(make_run("memory.network.hidden_size=16", "trainer.precision=32-true", *KINDS[kind])), 2
    )
    if kind == "cart_pole":
        torch.manual_seed(0)
        behind = MDNLSTM(32, 2, 16, adapter_width=40).eval()
        played = dataclasses.replace(played, model=dataclasses.replace(played.model, memory=behind))
    _, script = exported(played, tmp_path)
    script = (
        f"{script}\nconst STEPS = {STEPS}, HELD = {json.dumps(HELD[kind])};\n{PLAY}\nconsole.log(JSON.stringify(seen));"
    )
    (tmp_path / "play.js").write_text(script, encoding="utf-8")
    printed = subprocess.run([node, str(tmp_path / "play.js")], capture_output=True, check=True, timeout=120).stdout
    assert_same_dream(json.loads(printed), played, HELD[kind])


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
            write(dataclasses.replace(played, model=model), tmp_path / "page.html")
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
