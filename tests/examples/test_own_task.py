"""The example of a task of one's own, from a folder outside the checkout, nothing edited."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from helpers import ROOT, ended

STAGES = ["collect", "vision", "encode", "memory", "controller", "evaluate"]
CHEAP = [
    *("scale=smoke", "trainer=cpu", "trainer.threads=1", "executor.workers=1", "vae.epochs=1", "probe.epochs=1"),
    *("memory.network.hidden_size=16", "controller.generations=1", "evaluate.max_steps=null"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    copy = tmp_path_factory.mktemp("elsewhere") / "own_task"
    shutil.copytree(ROOT / "examples" / "own_task", copy)
    return copy


@pytest.fixture
def run(folder, warm, monkeypatch):
    """``run("evaluate", …)``: what the command prints, run from the folder."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    path = os.pathsep.join([str(folder), str(ROOT)])  # the checkout's package is tested, not an installed one

    def ran(command, *overrides, expect=0):
        arguments = ["-m", f"worldmodels.{command}", *overrides]
        return ended(warm.start(arguments, folder, {"PYTHONPATH": path}), expect)

    return ran


@pytest.fixture
def train(run):
    """As the README says."""
    return lambda *overrides, expect=0: run(
        "train", "--config-dir", "conf", "env=mine", *CHEAP, *overrides, expect=expect
    )


@pytest.mark.slow
def test_a_task_of_ones_own_goes_through_every_stage(folder, run, train):
    output = train()
    assert "Traceback" not in output and "XDG_RUNTIME_DIR" not in output
    (path,) = folder.glob("outputs/runs/mine-*/*/results.json")
    results = json.loads(path.read_text())
    assert results["env"] == "mine" and list(results["stages"]) == STAGES
    score = results["evaluation"]
    assert score["official"] and len(score["returns"]) == score["episodes"] == 2
    assert all(value in (-3.0, -1.0, 1.0, 3.0) for value in score["returns"] + score["random"]["returns"])
    assert set(results["probes"]) == {"vision"}  # it declares visible targets, and no motions
    assert set(results["probes"]["vision"]["z"]) == {"ball_x", "ball_y", "paddle_x"}
    assert np.isfinite(results["measures"]["memory"]["nll"]["memory"]["value"])
    assert results["controller"]["parameters"] == 3 * (32 + 16 + 1)  # an output for each of three actions
    assert (path.parent / "episode.mp4").stat().st_size > 1000

    again = ("evaluate", f"run={path.parent}", "episodes=1")
    refused = run(*again, expect=2)
    assert "whose code would run" in refused and "Traceback" not in refused
    assert re.search(r"over 1 episode\b", run(*again, "allow=[my_task,my_state]"))

    manifest = next(folder.glob("outputs/artifacts/collect/mine-*/manifest.json"))
    assert {"my_task", "my_state"} <= set(json.loads(manifest.read_text())["code"]["files"])
    played = folder / "my_task.py"
    played.write_text(played.read_text().replace("self.y += 3", "self.y += 4"))
    again = train("stage=collect")
    assert "my_task" in again and "collect: building" in again


def test_what_only_the_task_can_refuse_is_a_line(train):
    output = train("env.kwargs.balls=0", expect=2)
    assert "Traceback" not in output
    assert output.splitlines()[-1] == (
        "error: env.kwargs={'balls': 0} does not suit env.id=my_task:Mine-v0 (balls=0 leaves nothing to catch): "
        "expected arguments of that task; remove or change the one it does not take"
    )
