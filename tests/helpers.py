"""Running the commands as users do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Commands:
    """Runs ``python -m worldmodels.<command>`` in a process of its own, all outputs under one folder."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs

    def start(self, command: str, *overrides: str) -> subprocess.Popen[str]:
        """Start a command as leader of a process group."""
        return subprocess.Popen(
            [sys.executable, "-m", f"worldmodels.{command}", *overrides],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str, *overrides: str, expect: int = 0) -> str:
        """Run a command to its end and return what it printed."""
        process = self.start(command, *overrides)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == expect, output
        return output

    def train(self, *overrides: str, expect: int = 0) -> str:
        """Run a training job with this folder for outputs, one thread, so that results repeat bit for bit."""
        return self.run("train", *self.options(*overrides), expect=expect)

    def options(self, *overrides: str) -> list[str]:
        """What `train` adds to a command line."""
        flags = [override for override in overrides if override.startswith("-")]
        values = [override for override in overrides if override not in flags]
        return [*flags, f"paths.outputs={self.outputs}", "trainer=cpu", "trainer.threads=1", "scale=smoke", *values]

    def results(self) -> list[dict[str, Any]]:
        """``results.json`` of every run and sweep job, the latest last."""
        paths = sorted(self.outputs.rglob("results.json"), key=lambda path: path.stat().st_mtime_ns)
        return [json.loads(path.read_text()) for path in paths]


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Return once ``condition`` holds; fail if the process ends before."""
    while not condition():
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"ended before it was time: {process.communicate()[0]}")
