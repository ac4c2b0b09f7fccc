"""Faults at random moments over complete runs: nothing is lost, and the numbers are those of an undisturbed run.

A row of the table is a fault with its seed, which decides the moment as a share of a whole run; a campaign that is
started again goes on after the rows there are.
"""

import atexit
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.table import ROOT, Table, count, options, refuse, revision
from tests.processes import named

TASKS = ("lunar_lander", "car_racing", "bipedal_walker")
PLAIN = ("scale=smoke", "trainer=cpu", "trainer.threads=1", "executor.workers=1", "evaluate.video=false", "logger=none")
SAVING = ("trainer.checkpoint_every_steps=1",)  # so that an unfinished checkpoint is there at most moments
TRIES = 20  # runs that a fault may miss
COMPARED = ("collect", "vision", "memory", "controller", "evaluation", "parameters")
SECONDS = 1200


class Missed(Exception):
    """The run ended before the fault could come."""


class Runs:
    """Complete runs of one task in one folder of outputs. ``finished``: a folder of outputs in which one has ended."""

    def __init__(self, task: str, outputs: Path, seed: int = 0, finished: Path | None = None) -> None:
        self.task, self.outputs, self.seed, self.finished = task, outputs, seed, finished
        self.command = [sys.executable, "-m", "worldmodels.train", f"env={task}", *PLAIN, *SAVING]
        self.command += [f"paths.outputs={outputs}"]

    def start(self, *overrides: str, **environment: str) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        surroundings = {"cwd": ROOT, "env": os.environ | environment, "start_new_session": True, "text": True}
        process = subprocess.Popen([*self.command, *overrides], **surroundings, **streams)
        atexit.register(end_group, process)
        return process

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


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a command and its workers, if they still run: also those that a campaign which is stopped would leave."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def without_clock(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clock(item) for key, item in value.items() if "seconds" not in key}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


def kill_group(runs: Runs, rng: random.Random, length: float) -> str:
    """SIGKILL of the command and its workers at a random moment."""
    process = runs.start()
    moment = rng.uniform(0.02, 1.0) * length
    try:
        printed, _ = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"after {moment:.1f} s"
    if process.returncode:
        raise RuntimeError(printed[-2000:])
    raise Missed


def kill_worker(runs: Runs, rng: random.Random, length: float) -> str:
    """SIGKILL of one worker at a random moment; the run itself goes on to its end."""
    process = runs.start()
    worker, when = found_at(rng.uniform(0.2, 0.9) * length, process, workers_of, rng)
    os.kill(worker, signal.SIGKILL)
    ended = outcome(process)
    if process.returncode:
        raise RuntimeError(ended)
    return when


def found_at(
    moment: float, process: subprocess.Popen[str], members: Callable[[int], list[int]], rng: random.Random
) -> tuple[int, str]:
    """One of these processes of a command at that moment, or at the next one at which there is one. Raises `Missed`
    where there is none until its end.
    """
    started = time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        if time.monotonic() - started >= moment and (found := members(process.pid)):
            return rng.choice(found), f"after {time.monotonic() - started:.1f} s"
    process.communicate()
    raise Missed


def workers_of(process: int) -> list[int]:
    return named(process, "forkserver")[1:]


def kill_on_ray(runs: Runs, rng: random.Random, length: float) -> str:
    """SIGKILL of one process of a run's own Ray cluster at a random moment: an actor, the node or the head's server."""
    kind = rng.choice(("ray::Seat", "raylet/raylet", "gcs_server"))  # Ray's own helpers are called ray::… too
    process = runs.start("executor=ray")
    member, when = found_at(rng.uniform(0.2, 1.2) * length, process, lambda number: named(number, kind), rng)
    os.kill(member, signal.SIGKILL)
    return f"{kind.split('/')[-1]} {when}: {outcome(process)}"


def run_out_of_memory(runs: Runs, rng: random.Random, length: float) -> str:
    """From a random moment on a worker is given no more memory (RLIMIT_AS); the run goes on or ends in a line."""
    process = runs.start()
    worker, when = found_at(rng.uniform(0.05, 0.7) * length, process, workers_of, rng)
    size = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(worker, resource.RLIMIT_AS, (size, size))
    return f"{when}: {outcome(process)}"


def fill_disk(runs: Runs, rng: random.Random, length: float) -> str:
    """Outputs on a small disk of their own (needs root, for a tmpfs), which then gets more room."""
    needed = 60_000_000
    size = int(rng.uniform(0.02, 1.0) * needed)
    runs.outputs.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(runs.outputs), "-o"]
    subprocess.run([*mount, f"size={size}"], check=True)
    ended = outcome(runs.start())
    subprocess.run([*mount[:1], "-o", f"remount,size={20 * needed}", str(runs.outputs)], check=True)
    return f"{size / 1e6:.1f} MB: {ended}"


def set_clock_back(runs: Runs, rng: random.Random, length: float) -> str:
    """The clock is set back by a day at a random moment of a run (needs libfaketime)."""
    clock = runs.outputs.parent / "clock"
    clock.write_text("+0")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    fake = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    process = runs.start(LD_PRELOAD=str(library), **fake)
    moment = rng.uniform(0.1, 0.9) * length
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    clock.write_text("-86400")
    return f"after {moment:.1f} s: {outcome(process)}"


def outcome(process: subprocess.Popen[str]) -> str:
    """How a disturbed command ended: at its end, where a worker that died may have left its trace, or with its line."""
    printed, _ = process.communicate(timeout=SECONDS)
    if process.returncode and "Traceback" in printed:
        raise RuntimeError(f"a traceback: {printed[-500:]}")
    if process.returncode == 0:
        return "went on"
    [*_, line] = [line for line in printed.splitlines() if line.strip()]
    return line.strip()[:200]


def flip(runs: Runs, rng: random.Random, length: float) -> str:
    """A flipped byte in a file of a finished artifact; the next run has to name it. As many seeds as there are kinds
    of files meet each kind once.
    """
    assert runs.finished is not None
    shutil.copytree(runs.finished / "artifacts", runs.outputs / "artifacts")
    kinds: dict[str, list[Path]] = {}
    for path in sorted(runs.outputs.glob("artifacts/*/*/**/*")):
        name = path.relative_to(runs.outputs / "artifacts")
        if path.is_file() and path.stat().st_size and "record" not in name.parts and path.suffix != ".lock":
            kinds.setdefault(f"{name.parts[0]}/{re.sub('[0-9]+', '#', name.name)}", []).append(path)
    kind = sorted(kinds)[runs.seed % len(kinds)]
    path = rng.choice(kinds[kind])
    place = flip_byte(path, rng)
    printed = runs.run()
    named = re.search(rf"{re.escape(path.name)} is damaged or missing", printed)
    harmless = path.name == "manifest.json" and not named  # in a text that says nothing of the files
    if not named and not harmless:
        raise RuntimeError(f"{kind}: not named")
    return f"byte {place} of {kind}{'' if named else ', taken as it is'}"


def flip_checkpoint(runs: Runs, rng: random.Random, length: float) -> str:
    """A flipped byte in the checkpoint of an unfinished V or M."""
    stage = rng.choice(("vision", "memory"))
    process, found = runs.start(), []
    while process.poll() is None and not found:
        found = list(runs.outputs.glob(f"artifacts/{stage}/*.building/checkpoint/last.ckpt"))
        time.sleep(0 if found else 0.002)
    end_group(process)
    process.communicate()
    if not found or not found[0].exists():
        raise Missed
    return f"byte {flip_byte(found[0], rng)} of {stage}/last.ckpt"


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
    "SIGKILL on a Ray cluster": kill_on_ray,
    "no more memory in a worker": run_out_of_memory,
    "a full disk": fill_disk,
    "a clock set back": set_clock_back,
}


def main(arguments: list[str], folder: Path) -> int:
    """``faults [TASK …] [trials=N] [minutes=M] [only=TEXT]``: N of each fault (of that name, or with TEXT in it), as
    far as the time goes. A full disk needs root, and a clock set back libfaketime.
    """
    given, asked = options(arguments, {"trials": count, "minutes": float, "only": str}, set(TASKS))
    end = time.monotonic() + 60 * given.get("minutes", 600.0)
    table = Table(Path(__file__).with_name("faults.csv"))
    done = {(row["task"], row["fault"], row["seed"]) for row in table.rows()}
    only, failed = given.get("only", ""), 0
    if not any(only in fault for fault in FAULTS):
        refuse(f"only={only} is in no fault's name: expected a part of {', '.join(FAULTS)}")
    for task in asked or TASKS:
        whole = Runs(task, folder / task / "undisturbed")
        whole.run()
        began = time.monotonic()
        Runs(task, folder / task / "timed").run()  # the first one also filled the caches of compiled code
        length = time.monotonic() - began
        for seed in range(given.get("trials", 20)):
            for fault, inflict in FAULTS.items():
                if only != fault and (only in FAULTS or only not in fault):
                    continue
                if time.monotonic() > end:
                    return failed
                if (task, fault, str(seed)) not in done:
                    runs = Runs(task, folder / task / "disturbed", seed, whole.outputs)
                    row = tried(inflict, whole, runs, length)
                    table.add({"task": task, "fault": fault, "seed": seed} | row | {"revision": revision()})
                    failed += bool(row["problem"] or row["lost"] or row["different"] or row["results"] != "the same")
    return failed


def clear(outputs: Path) -> None:
    """Remove a folder, or a disk of its own in its place."""
    if outputs.is_mount():
        subprocess.run(["umount", str(outputs)], check=True)
    shutil.rmtree(outputs, ignore_errors=True)


def tried(inflict: Callable[..., str], whole: Runs, runs: Runs, length: float) -> dict[str, Any]:
    """One fault, in another run where it misses one, and the same command again afterwards."""
    rng, what, problem = random.Random(f"{runs.task}: {inflict.__name__} {runs.seed}"), "", ""
    try:
        for _ in range(TRIES):
            clear(runs.outputs)
            with contextlib.suppress(Missed):
                what = inflict(runs, rng, length)
                break
        else:
            raise RuntimeError(f"{TRIES} runs had ended before the fault came")
        if "Traceback" in (printed := runs.run()):
            problem = f"a traceback: {printed[-500:]}"
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    expected, got = whole.contents(), runs.contents()
    numbers, ended = whole.numbers()[0], runs.numbers()
    row = {
        "when": what.replace(str(runs.outputs), "outputs"),
        "artifacts": len(expected),
        "lost": len(expected.keys() - got.keys()),
        "different": sum(expected[name] != got.get(name, expected[name]) for name in expected),
        "results": "the same" if ended and all(each == numbers for each in ended) else "different",
        "problem": " ".join(problem.split())[-300:],
    }
    print(runs.seed, row, flush=True)
    return row
