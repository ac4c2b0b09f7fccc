"""Simulates a generation on many cores: ``python experiments/performance/scaling.py [MEASURED.json] [--to FOLDER]``.

From what `cluster.py` measured: the time of a step by the number of episodes that share it, the lengths of episodes,
and what each costs the process that hands it out. A worker plays up to `SLOTS` episodes in lockstep; an episode goes to
the worker with the fewest under way, as in `worldmodels.rollouts.dispatch`. Writes ``scaling.csv`` and ``scaling.svg``.
"""

import argparse
import csv
import heapq
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent
POPULATION, ROLLOUTS, SLOTS = 64, 16, 16
CORES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
ORDERS = ("as they come", "longest first")
DRAWS = 5  # of the lengths


class Worker:
    """Episodes in lockstep; time passes in pieces, from one end to the next."""

    def __init__(self, step: np.ndarray) -> None:
        self.step, self.left, self.clock = step, np.empty(0), 0.0

    def add(self, length: float, now: float) -> None:
        self.advance(now)
        self.left = np.append(self.left, length)

    def advance(self, now: float) -> None:
        if len(self.left):
            self.left = self.left - (now - self.clock) / self.step[len(self.left)]
        self.clock = now

    def next_end(self) -> float:
        return self.clock + self.left.min() * self.step[len(self.left)] if len(self.left) else np.inf

    def finish(self) -> None:
        self.advance(self.next_end())
        self.left = np.delete(self.left, self.left.argmin())


def generation(lengths: np.ndarray, cores: int, step: np.ndarray, message: float) -> float:
    """Seconds until the last episode is back. ``message``: of the one process that hands out, for each episode."""
    workers = [Worker(step) for _ in range(cores)]
    waiting = list(lengths[::-1])
    busy_until, version = 0.0, [0] * cores
    ends: list[tuple[float, int, int]] = []

    def hand(worker: int, now: float) -> None:
        nonlocal busy_until
        busy_until = max(busy_until, now) + message
        workers[worker].add(waiting.pop(), busy_until)
        version[worker] += 1
        heapq.heappush(ends, (workers[worker].next_end(), version[worker], worker))

    for _turn in range(SLOTS):  # round after round, so that each has the fewest
        for worker in range(cores):
            if waiting:
                hand(worker, 0.0)
    last = 0.0
    while ends:
        when, known, worker = heapq.heappop(ends)
        if known != version[worker]:
            continue
        workers[worker].finish()
        version[worker] += 1
        last = when
        if waiting:
            hand(worker, when)
        elif len(workers[worker].left):
            heapq.heappush(ends, (workers[worker].next_end(), version[worker], worker))
    return max(last, busy_until)


def rows(measured: dict[str, Any]) -> list[dict[str, Any]]:
    known = {int(count): seconds for count, seconds in measured["step"].items()}
    counts = np.arange(SLOTS + 1)
    step = np.interp(counts, [*known], [*known.values()])
    message = measured["generation"]["ray"]["driver"]
    found = []
    for kind, lengths in measured["lengths"].items():
        for order in ORDERS:
            drawn = [np.random.default_rng(i).choice(lengths, POPULATION * ROLLOUTS) for i in range(DRAWS)]
            drawn = [np.sort(each)[::-1] if order == ORDERS[1] else each for each in drawn]
            alone = None
            for cores in CORES:
                # The making of a world is the player's, as long as a step or two.
                making = measured["making"] / step[min(SLOTS, max(1, POPULATION * ROLLOUTS // cores))]
                seconds = float(np.mean([generation(each + making, cores, step, message) for each in drawn]))
                alone = alone or seconds
                longest = float(np.mean([each.max() for each in drawn])) * float(step[1])
                found.append(
                    {
                        "episodes": kind,
                        "order": order,
                        "cores": cores,
                        "seconds": round(seconds, 2),
                        "speedup": round(alone / seconds, 1),
                        "efficiency": round(alone / seconds / cores, 3),
                        "longest_alone": round(longest, 2),
                        "handed_out": round(POPULATION * ROLLOUTS * message, 2),
                    }
                )
    return found


def figure(found: list[dict[str, Any]], target: Path) -> None:
    plt.rcParams["svg.hashsalt"] = "scaling"
    plot, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for number, kind in enumerate(dict.fromkeys(row["episodes"] for row in found)):
        for order, style in zip(ORDERS, ("-", ":"), strict=True):
            chosen = [row for row in found if row["episodes"] == kind and row["order"] == order]
            label = kind if order == ORDERS[0] else None
            cores = [row["cores"] for row in chosen]
            left.plot(cores, [row["seconds"] for row in chosen], style, color=f"C{number}", label=label)
            right.plot(cores, [row["efficiency"] for row in chosen], style, color=f"C{number}")
    left.set(xscale="log", yscale="log", xlabel="cores", ylabel="seconds", title="a generation of 64 × 16 episodes")
    right.set(xscale="log", xlabel="cores", ylabel="speed-up / cores", ylim=(0, 1.05), title="dotted: longest first")
    left.legend(fontsize=8)
    plot.savefig(target, metadata={"Date": None})


def main(measured: Path, folder: Path) -> None:
    found = rows(json.loads(measured.read_text()))
    with (folder / "scaling.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    figure(found, folder / "scaling.svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, nargs="?", default=HERE / "cluster.json")
    parser.add_argument("--to", type=Path, default=HERE, help="folder to write to")
    arguments = parser.parse_args()
    main(arguments.measured, arguments.to)
