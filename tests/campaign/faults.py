"""Faults at random moments over complete runs: nothing is lost, and the numbers are those of an undisturbed run.

A row of the table is a fault with its seed; a campaign that is started again goes on after the rows there are.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.soak import family
from tests.campaign.table import ROOT, Table

TASKS = ("lunar_lander", "car_racing", "bipedal_walker")
PLAIN = ("scale=smoke", "trainer=cpu", "trainer.threads=1", "executor.workers=1", "evaluate.video=false", "logger=none")
SAVING = ("trainer.checkpoint_every_steps=1",)  # so that an unfinished checkpoint is there at most moments
COMPARED = ("collect", "vision", "memory", "controller", "evaluation", "parameters")
SECONDS = 1200


class Runs:
    """Complete runs of one task in one folder of outputs."""

    def __init__(self, task: str, outputs: Path) -> None:
        self.outputs = outputs
        self.command = [sys.executable, "-m", "worldmodels.train", f"env={task}", *PLAIN, *SAVING]
        self.command += [f"paths.outputs={outputs}"]

    def start(self) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command, cwd=ROOT, start_new_session=True, text=True, **streams)

    def run(self) -> str:
        """What a whole run prints."""
        process = self.start()
        printed, _ = process.communicate(timeout=SECONDS)
        if process.returncode:
            raise RuntimeError(printed[-2000:])
        return printed

    def contents(self) -> dict[str, str]:
        return {
            path.parent.relative_to(self.outputs).as_posix(): json.loads(path.read_text())["content"]
            for path in self.outputs.glob("artifacts/*/*/manifest.json")
        }

    def numbers(self) -> list[Any]:
        """Of every run that came to its end, what no clock decides."""
        found = [json.loads(path.read_text()) for path in self.outputs.rglob("results.json")]
        return [without_clock({key: each[key] for key in COMPARED}) for each in found if "evaluation" in each]


def without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clock(item) for key, item in value.items() if "seconds" not in key}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


def kill_group(runs: Runs, rng: random.Random, length: float) -> str:
    """SIGKILL of the command and its workers at a random moment."""
    process = runs.start()
    moment = rng.uniform(0.1, 1.0) * length
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"after {moment:.1f} s"
    return "after its end"


def kill_worker(runs: Runs, rng: random.Random, length: float) -> str:
    """SIGKILL of one worker at a random moment; the run itself goes on to its end."""
    process = runs.start()
    moment, killed = rng.uniform(0.2, 0.9) * length, "none was there"
    deadline = time.monotonic() + moment
    while process.poll() is None:
        time.sleep(0.05)
        workers = [number for number in family(process.pid) if "forkserver" in name_of(number)][1:]
        if time.monotonic() >= deadline and workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed = f"after {moment:.1f} s"
            break
    printed, _ = process.communicate(timeout=SECONDS)
    if process.returncode:
        raise RuntimeError(printed[-2000:])
    return killed


def name_of(number: int) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def flip(runs: Runs, rng: random.Random, length: float) -> str:
    """A flipped byte in a random file of a finished artifact; the next run has to name it."""
    runs.run()
    files = [path for path in runs.outputs.glob("artifacts/*/*/**/*") if path.is_file() and path.stat().st_size]
    files = [path for path in files if "record" not in path.parts and not path.name.endswith(".lock")]
    path = rng.choice(sorted(files))
    name = path.relative_to(runs.outputs)
    place = flip_byte(path, rng)
    printed = runs.run()
    named = re.search(rf"{re.escape(path.name)} is damaged or missing", printed)
    harmless = path.name == "manifest.json" and not named  # in a text that says nothing of the files
    if not named and not harmless:
        raise RuntimeError(f"{name}: not named")
    return f"byte {place} of {name.parts[1]}/{name.name}{'' if named else ', taken as it is'}"


def flip_checkpoint(runs: Runs, rng: random.Random, length: float) -> str:
    """A flipped byte in the checkpoint of an unfinished V or M."""
    stage = rng.choice(("vision", "memory"))
    process = runs.start()
    while process.poll() is None:
        found = list(runs.outputs.glob(f"artifacts/{stage}/*.building/checkpoint/last.ckpt"))
        if found:
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.communicate()
    if not found:
        return "over before"
    return f"byte {flip_byte(found[0], rng)} of {stage}/last.ckpt" if found[0].exists() else "over before"


def flip_byte(path: Path, rng: random.Random) -> int:
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return place


def two_at_once(runs: Runs, rng: random.Random, length: float) -> str:
    """Two commands on one store, the second a moment later."""
    first = runs.start()
    moment = rng.uniform(0, 0.5) * length
    time.sleep(moment)
    runs.run()
    printed, _ = first.communicate(timeout=SECONDS)
    if first.returncode:
        raise RuntimeError(printed[-2000:])
    return f"{moment:.1f} s apart"


FAULTS: dict[str, Callable[[Runs, random.Random, float], str]] = {
    "SIGKILL of the group": kill_group,
    "SIGKILL of a worker": kill_worker,
    "a flipped byte": flip,
    "a flipped byte in a checkpoint": flip_checkpoint,
    "two commands at once": two_at_once,
}


def main(arguments: list[str], folder: Path) -> None:
    """``faults [TASK …] [trials=N] [minutes=M]``: N of each fault, as far as the time goes."""
    given = dict(each.split("=") for each in arguments if "=" in each)
    tasks = [each for each in arguments if "=" not in each] or TASKS
    end = time.monotonic() + 60 * float(given.get("minutes", 600))
    table = Table(Path(__file__).with_name("faults.csv"))
    done = {(row["task"], row["fault"], row["seed"]) for row in table.rows()}
    for task in tasks:
        whole = Runs(task, folder / task / "undisturbed")
        whole.run()
        began = time.monotonic()
        Runs(task, folder / task / "timed").run()  # the first one also filled the caches of compiled code
        length = time.monotonic() - began
        for seed in range(int(given.get("trials", 20))):
            for fault, inflict in FAULTS.items():
                if time.monotonic() > end:
                    return
                if (task, fault, str(seed)) not in done:
                    row = {"task": task, "fault": fault, "seed": seed}
                    table.add(row | tried(inflict, whole, Runs(task, folder / task / "disturbed"), seed, length))


def tried(inflict: Callable[..., str], whole: Runs, runs: Runs, seed: int, length: float) -> dict[str, Any]:
    """One fault, and the same command again afterwards."""
    shutil.rmtree(runs.outputs, ignore_errors=True)
    what, problem = "", ""
    try:
        what = inflict(runs, random.Random(seed), length)
        if "Traceback" in (printed := runs.run()):
            problem = f"a traceback: {printed[-500:]}"
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    expected, got = whole.contents(), runs.contents()
    numbers, ended = whole.numbers()[0], runs.numbers()
    row = {
        "when": what,
        "artifacts": len(expected),
        "lost": len(expected.keys() - got.keys()),
        "different": sum(expected[name] != got.get(name, expected[name]) for name in expected),
        "results": "the same" if ended and all(each == numbers for each in ended) else "different",
        "problem": " ".join(problem.split())[-300:],
    }
    print(seed, row, flush=True)
    return row
