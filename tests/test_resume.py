"""Killed outright in the middle of every stage that takes long, the same command goes on and ends with an undisturbed
run's results. Of encoding it is tested with the stage.
"""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Commands, Finished, wait_for
from warm import Warm

LONG_ENOUGH = [
    "env=bipedal_walker",
    "collect.rollouts=8",
    "vae.epochs=2",
    *("transfer.budget=0.5", "transfer.budgeted=[vision]"),
    "memory.steps=24",
    "controller.generations=3",
    "controller.hidden=4",
    "evaluate.video=false",
    *("evaluate.episodes=3", "evaluate.max_steps=30"),
    *("heldout.max_steps=30", "probe.epochs=1"),
]


def building(commands: Commands, stage: str, pattern: str) -> Callable[[], list[Path]]:
    return lambda: [p for p in commands.outputs.glob(f"artifacts/{stage}/*.building/{pattern}") if p.stat().st_size]


def contents(outputs: Path) -> dict[str, str]:
    return {
        path.parent.relative_to(outputs).as_posix(): json.loads(path.read_text())["content"]
        for path in outputs.glob("artifacts/*/*/manifest.json")
    }


@pytest.mark.slow
def test_killed_in_every_stage_and_started_again(tmp_path: Path, warm: Warm) -> None:
    disturbed, undisturbed = Commands(tmp_path / "disturbed", warm), Commands(tmp_path / "undisturbed", warm)
    outputs = []
    for stage, sign, executor in (
        ("collect", "*.h5", "process"),
        ("vision", "checkpoint/last.ckpt", "serial"),
        ("memory", "checkpoint/last.ckpt", "serial"),
        ("controller", "record/generations.jsonl", "process"),
        ("evaluate", "record/episodes.jsonl", "serial"),
    ):
        process = disturbed.start("train", *disturbed.options(*LONG_ENOUGH, f"executor={executor}"))
        wait_for(building(disturbed, stage, sign), process)
        os.killpg(process.pid, signal.SIGKILL)
        outputs.append(process.communicate()[0])
        assert building(disturbed, stage, sign)(), f"{stage} was over before it could be killed"
    outputs.append(disturbed.train(*LONG_ENOUGH))
    undisturbed.train(*LONG_ENOUGH)
    assert sum("going on after" in output for output in outputs) == 4  # V, M, C and the score, each after its kill
    assert re.search(r"kept \d+ rollouts? that w", outputs[1]), "collecting goes on with what there was"
    assert contents(disturbed.outputs) == contents(undisturbed.outputs)
    assert len(contents(undisturbed.outputs)) == 12  # six stages, and what V and M are judged by
    resumed, whole = disturbed.results()[-1], undisturbed.results()[-1]
    for result in (resumed, whole):
        for table in (result["vision"]["epochs"], result["memory"]["steps"], result["controller"]["generations"]):
            for row in table:
                row.pop("seconds")
    for key in ("vision", "memory", "controller", "evaluation", "parameters", "collect"):
        assert resumed[key] == whole[key]


@pytest.mark.slow
def test_a_studys_sweep_killed_and_started_again_does_only_what_is_missing(
    finished: Callable[[str], Finished], commands: Commands
) -> None:
    undisturbed = finished("lander_reconstruction")
    sweep = undisturbed.overrides
    process = commands.start("train", *commands.options(*sweep))

    def done() -> list[Path]:
        paths = commands.outputs.glob("studies/**/results.json")
        return [path for path in paths if "probes" in json.loads(path.read_text())]

    wait_for(lambda: len(done()) == 1, process)  # of two, the second of which has a source to train
    wait_for(building(commands, "vision", "checkpoint/last.ckpt"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    already = done()
    commands.train(*sweep)
    assert contents(commands.outputs) == contents(undisturbed.outputs)
    folders = [
        outputs / "studies" / "lander_reconstruction" / "smoke" for outputs in (commands.outputs, undisturbed.outputs)
    ]
    names = [sorted(path.name for path in folder.iterdir() if path.is_dir()) for folder in folders]
    assert names[0] == names[1]
    assert len(names[0]) == 2
    for name in names[0]:
        resumed, whole = (json.loads((folder / name / "results.json").read_text()) for folder in folders)
        for result in (resumed, whole):
            for row in result["vision"]["epochs"]:
                row.pop("seconds")
        assert resumed["vision"] == whole["vision"]
        assert resumed["probes"] == whole["probes"]
    assert len(already) == 1
    assert all(stage["cached"] for path in already for stage in json.loads(path.read_text())["stages"].values())
