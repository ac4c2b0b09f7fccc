"""Long play in one worker, and a long search: does memory grow?

Physics and fast drawing, which ``drawn=no`` leaves out, sixteen episodes at a time, as a worker plays them; actions
are uniform, so that episodes are short and many worlds are made and taken apart. Memory is what the process holds
(RSS), read after a collection.
"""

import contextlib
import gc
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.campaign.table import ROOT, Table, count, options
from tests.processes import family

WARM = 100_000  # steps after which memory is not to grow
TASKS = ("car_racing", "lunar_lander", "bipedal_walker", "take_cover")
SLOTS = 16
GENERATIONS = 1000


def resident(process: int | str = "self") -> float:
    """Memory of a process, MB; 0 where it has ended."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


def play(task: str, steps: int, drawn: bool, table: Table) -> None:
    """Play ``steps`` steps of a task, and add a row to the table."""
    import numpy as np

    import worldmodels as wm
    from worldmodels.envs import make_env, task_spec
    from worldmodels.rollouts.config import CollectConfig
    from worldmodels.rollouts.engine import Episode, Items
    from worldmodels.rollouts.engine import play as episodes_of
    from worldmodels.rollouts.policies.base import RandomPlayers, random_policy

    class Seeing(RandomPlayers):
        sees = drawn

    config = wm.compose(f"env={task}").env
    spec, uniform = task_spec(config), CollectConfig(policy={"_target_": "uniform"})
    players = Seeing(SLOTS, lambda seed: random_policy(uniform, spec, np.random.default_rng(seed)))
    endless = (Episode(None, seed, seed) for seed in itertools.count())
    started, done, number = time.perf_counter(), 0, 0
    used: list[tuple[int, float]] = []
    for number, (_, played) in enumerate(
        episodes_of(Items(endless), lambda: make_env(config, drawn=drawn), players, SLOTS), 1
    ):
        done += played.steps
        if done >= WARM * (len(used) + 1) or done >= steps:
            gc.collect()
            used.append((done, resident()))
            print(f"{task}: {done:,} steps, {number:,} episodes, {used[-1][1]:.1f} MB", flush=True)
        if done >= steps:
            break
    table.add(
        {
            "what": task,
            "amount": f"{done} steps, {number} episodes{'' if drawn else ', not drawn'}",
            **growth(used, 1e6, "steps"),
            "minutes": round((time.perf_counter() - started) / 60, 1),
        }
    )


def growth(used: list[tuple[int, float]], per: float, unit: str) -> dict[str, Any]:
    """Memory at the first measurement, at the last and at most, MB, and the slope of a straight line between."""
    import numpy as np

    amounts, memory = np.array(used, dtype=float).T
    slope = np.polyfit(amounts, memory, 1)[0] * per if len(used) > 2 else float("nan")
    return {
        "first_mb": round(memory[0], 1),
        "last_mb": round(memory[-1], 1),
        "most_mb": round(memory.max(), 1),
        "slope": f"{slope:.2f} MB per {per:g} {unit}",
    }


def search(folder: Path, generations: int, table: Table) -> None:
    """A search of many short generations by a command and its one worker, whose memory is watched from outside."""
    command = [sys.executable, "-m", "worldmodels.train", "scale=smoke", "env=lunar_lander", "stage=controller"]
    command += [f"controller.generations={generations}", "executor.workers=1", "trainer=cpu", "trainer.threads=1"]
    command += ["logger=none", "measure.enabled=false", f"paths.outputs={folder}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    used: list[tuple[int, float]] = []
    try:
        while process.poll() is None:
            time.sleep(0.5)
            done = sum(1 for path in folder.glob("artifacts/controller/*/record/*.jsonl") for _ in path.open())
            if 50 * (len(used) + 1) <= done < generations:  # at its end the worker goes
                used.append((done, sum(map(resident, family(process.pid)))))
                print(f"search: {done} generations, {used[-1][1]:.1f} MB in all processes", flush=True)
    finally:
        process.kill()
    assert process.returncode == 0, "the search failed"
    table.add(
        {
            "what": "search",
            "amount": f"{generations} generations of lunar_lander, all processes",
            **growth(used, 1000, "generations"),
            "minutes": round((time.perf_counter() - started) / 60, 1),
        }
    )


def main(arguments: list[str], folder: Path) -> None:
    """``soak [TASK …|search] [steps=N] [drawn=no]``: what is not named is not played; nothing named is everything."""
    given, asked = options(arguments, {"steps": count, "drawn": str}, {*TASKS, "search"})
    steps, drawn = given.get("steps", 10_000_000), given.get("drawn") != "no"
    table = Table(Path(__file__).with_name("soak.csv"))
    jobs: dict[str, Callable[[], None]] = {name: lambda name=name: play(name, steps, drawn, table) for name in TASKS}
    jobs["search"] = lambda: search(folder / "search", GENERATIONS, table)
    for name in asked or jobs:
        jobs[name]()
    print(json.dumps(table.rows(), indent=1))
