"""Running the commands as users do."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import filelock
import numpy as np
from gymnasium.spaces import Box
from warm import Command, Warm

from worldmodels.envs import TaskSpec, action_codec
from worldmodels.envs.config import EnvConfig

ROOT = Path(__file__).parents[1]
RUNS = {  # that several tests look at
    "car_racing": ("env=car_racing",),
    "bipedal_walker": ("env=bipedal_walker",),
    "lunar_lander": (  # a sweep of one run
        *("-m", "env=lunar_lander", "executor=process", "measure.samples=2", "heldout.max_steps=120"),
        *("memory.network.reward_head=gaussian", "memory.network.end_head=true"),
    ),
    "lander_reconstruction": (  # two runs of the study
        *("-m", "--config-dir=experiments", "+lander_reconstruction=sweep", "transfer=scratch,freeze2", "seed=0"),
        *("transfer.budget=1.0", "vae.epochs=3", "heldout.rollouts=12"),
        *("heldout.max_steps=40", "collect.max_steps=20"),
    ),
}


class Commands:
    """Runs ``python -m worldmodels.<command>`` in a process of its own, all outputs under one folder. The process is
    forked from a warm one, which has the libraries.
    """

    def __init__(self, outputs: Path, warm: Warm) -> None:
        self.outputs, self._warm = outputs, warm

    def start(self, command: str, *overrides: str) -> Command:
        """Start a command as leader of a process group."""
        jobs = next((each.partition("=")[2] for each in overrides if each.startswith("hydra.launcher.n_jobs=")), "1")
        return self._warm.start(["-m", f"worldmodels.{command}", *overrides], spares=int(jobs))

    def run(self, command: str, *overrides: str, expect: int = 0) -> str:
        """Run a command to its end and return what it printed."""
        return ended(self.start(command, *overrides), expect)

    def analyse(self, study: str, *arguments: str, expect: int = 0, cwd: Path = ROOT) -> str:
        """Run a study's analysis to its end and return what it printed."""
        script = ROOT / "experiments" / study / "analyse.py"
        return ended(self._warm.start([str(script), *arguments], cwd), expect)

    def train(self, *overrides: str, expect: int = 0) -> str:
        """Run a training job with this folder for outputs, as small and plain as it gets."""
        return self.run("train", *self.options(*overrides), expect=expect)

    def options(self, *overrides: str) -> list[str]:
        """What `train` adds to a command line: one thread, so that results repeat bit for bit, and rollouts in the same
        process, which takes half the time and changes no result.
        """
        flags = [override for override in overrides if override.startswith("-")]
        values = [override for override in overrides if override not in flags]
        plain = [f"paths.outputs={self.outputs}", "trainer=cpu", "trainer.threads=1", "scale=smoke", "executor=serial"]
        named = {override.split("=")[0] for override in values}
        return [*flags, *(option for option in plain if option.split("=")[0] not in named), *values]

    def results(self) -> list[dict[str, Any]]:
        """``results.json`` of every run and sweep job, the latest last."""
        paths = sorted(self.outputs.rglob("results.json"), key=lambda path: path.stat().st_mtime_ns)
        return [json.loads(path.read_text()) for path in paths]


@dataclass(frozen=True)
class Finished:
    """What a training command left, and printed."""

    outputs: Path
    overrides: tuple[str, ...]
    printed: str

    @classmethod
    def made(cls, folder: Path, name: str, warm: Warm) -> "Finished":
        """Run the command, unless it has been run."""
        folder.mkdir(parents=True, exist_ok=True)
        outputs, printed = folder / "outputs", folder / "printed.txt"
        with filelock.FileLock(folder / "lock"):
            if not printed.exists():
                assert not outputs.exists(), f"the command that makes {name} failed before"
                text = Commands(outputs, warm).train(*RUNS[name])
                printed.write_text(text)
        return cls(outputs, RUNS[name], printed.read_text())

    @property
    def run(self) -> Path:
        """The folder of the only run."""
        (results,) = self.outputs.rglob("results.json")
        return results.parent

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.run / "results.json").read_text())

    def copied(self, commands: Commands) -> Path:
        """Copy everything to the command's outputs, to go on from there. Returns the folder of the copied run."""
        shutil.copytree(self.outputs, commands.outputs)
        return commands.outputs / self.run.relative_to(self.outputs)


def ended(process: Command, expect: int = 0) -> str:
    """What a process printed, once it has ended with this code."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == expect, output
    return output


def box_spec(name: str, low: Sequence[float], high: Sequence[float], squash: Sequence[str] = ()) -> TaskSpec:
    """Of a task with continuous actions and no state."""
    space = Box(np.float32(low), np.float32(high))  # type: ignore[arg-type]
    return TaskSpec(name, action_codec(space, EnvConfig(name=name, squash=list(squash))), (), 50)


def wait_for(condition: Callable[[], Any], process: Command) -> None:
    """Return once ``condition`` holds; fail if the process ends before."""
    while not condition():
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"ended before it was time: {process.communicate()[0]}")


def script(path: Path) -> ModuleType:
    """The module of a study's script, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their types
    spec.loader.exec_module(module)
    return module
