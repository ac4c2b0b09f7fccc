"""Does what C does matter in M's dreams of Take Cover, and does z show it?
``python experiments/dream_training/actions.py RUN … [--to FOLDER]``.

Of each run, that went as far as ``stage=memory``, on the rollouts that M was validated on.

``movement.csv``: what a linear read-out tells of the player: its place from z; its next step, and the action, from z
and its change, and from z alone, as a policy that keeps its actions moves on anyway.

``actions.csv``: M has seen a rollout up to so many steps before its end (``ended``), or one that went on at least
twice as long up to the same frame (``went_on``), and dreams on. ``chance``: to survive these, the mean over dreams
of Π (1 - p) with the probabilities p of the end head, under the actions that were played, these with left and right
exchanged, and standing still. ``less_played``: the mean difference to the actions that were played, with its 95 %
interval, and ``changed`` its mean size; by a bootstrap over rollouts.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.dreams.core import DreamModel
from worldmodels.envs import task_class
from worldmodels.memory import mixture
from worldmodels.memory.data import training_and_validation
from worldmodels.memory.interface import take
from worldmodels.reports.tidy import write_csv
from worldmodels.rollouts.executor import one_thread
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun

STUDY = Path(__file__).parent
STEPS = (2, 4, 8)  # of the agent
DREAMS, EARLIEST = 24, 2  # dreams of a place, and frames seen before one at least
RESAMPLED = 5000
FITTED = 300  # training rollouts, about 25,000 frames
RIDGE = 1e-3
ACTIONS = {"played": np.eye(3), "exchanged": np.eye(3)[::-1], "standing": np.tile(np.eye(3)[1], (3, 1))}


def explained(inputs: list[np.ndarray], targets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A ridge regression on the first pair (N, D), (N, K); of the second pair what it tells (M, K), and R² (K,)."""
    mean, std = inputs[0].mean(0), inputs[0].std(0) + 1e-6
    x, other = ((each - mean) / std for each in inputs)
    middle = targets[0].mean(0)
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (targets[0] - middle))
    told = middle + other @ weights
    return told, 1 - ((told - targets[1]) ** 2).sum(0) / ((targets[1] - targets[1].mean(0)) ** 2).sum(0)


def movement(run: FinishedRun) -> dict[str, Any]:
    encoded, collected = (RolloutStore(run.artifact(stage).path) for stage in ("encode", "collect"))
    task = task_class(run.config.env)
    z, both, places, steps, actions = ([np.empty(0)] * 2 for _ in range(5))
    for part, rollouts in enumerate(training_and_validation(encoded, run.config.memory)):
        chosen = rollouts[:FITTED]
        mus = [encoded.read(rollout, "mu") for rollout in chosen]
        ys = [task.column(collected.read(rollout, "states"), "y")[:, None] for rollout in chosen]
        z[part] = np.concatenate([mu[:-1] for mu in mus])
        both[part] = np.concatenate([np.concatenate([mu[:-1], np.diff(mu, axis=0)], axis=1) for mu in mus])
        places[part] = np.concatenate([y[:-1] for y in ys])
        steps[part] = np.concatenate([np.diff(y, axis=0) for y in ys])
        actions[part] = np.concatenate([encoded.read(rollout, "actions")[:-1] for rollout in chosen])
    row: dict[str, Any] = {"y": explained(z, places)[1][0]}
    played = actions[1].argmax(1)
    for name, inputs in (("", both), ("_from_z", z)):
        row[f"next_step{name}"] = explained(inputs, steps)[1][0]
        row[f"action{name}"] = (explained(inputs, actions)[0].argmax(1) == played).mean()
    return row | {"action_majority": np.bincount(played).max() / len(played), "frames": len(played)}


@torch.inference_mode()
def survival(model: DreamModel, mu: np.ndarray, actions: np.ndarray, begin: int, steps: int, seed: int) -> float:
    """The chance to survive ``steps`` dreamt from frame ``begin`` of a rollout on, under its actions."""
    memory, state, generator = model.memory, model.memory.initial_state(1), torch.Generator().manual_seed(seed)
    seen, given = torch.from_numpy(mu), torch.from_numpy(np.asarray(actions, np.float32))
    for t in range(begin):
        state = memory.step(seen[t : t + 1], given[t : t + 1], state)
    z, state = seen[begin].repeat(DREAMS, 1), type(state)(*take(state, torch.zeros(DREAMS, dtype=torch.long)))
    alive = torch.ones(DREAMS, dtype=torch.float64)
    for t in range(begin, begin + steps):
        state = memory.step(z, given[t].repeat(DREAMS, 1), state)
        alive = alive * (1 - model.end_head.probability(state.h).double())
        drawn = (draw(DREAMS, z.shape[1], generator=generator) for draw in (torch.rand, torch.randn))
        z = mixture.draw(memory.mixture(state.h, z), 1.0, *drawn)
    return float(alive.mean())


def effects(run: FinishedRun) -> Iterator[dict[str, Any]]:
    model = DreamModel.blind(run.config, run.memory.weights, run.artifact("encode").path)
    store, rng = RolloutStore(run.artifact("encode").path), np.random.default_rng(0)
    _, validation = training_and_validation(store, run.config.memory)
    rollouts = [[store.read(i, name) for name in ("mu", "actions", "terminated")] for i in validation]
    lengths = np.array([len(mu) for mu, _, _ in rollouts])
    for steps in STEPS:
        ends = [i for i, (_, _, end) in enumerate(rollouts) if end[-1] and lengths[i] - steps >= EARLIEST]
        places: dict[str, list[tuple[int, int]]] = {
            "ended": [(i, int(lengths[i] - steps)) for i in ends],
            "went_on": [],
        }
        for i, begin in places["ended"]:
            longer = [j for j in np.flatnonzero(lengths >= begin + 2 * steps) if j != i]
            places["went_on"] += [(int(rng.choice(longer)), begin)] if longer else []
        for kind, chosen in places.items():
            chances = {
                name: np.array(
                    [
                        survival(model, rollouts[i][0], rollouts[i][1] @ change, begin, steps, 1000 * i + begin)
                        for i, begin in chosen
                    ]
                )
                for name, change in ACTIONS.items()
            }
            for name, values in chances.items():
                difference = values - chances["played"]
                low, high = _interval(difference, np.array([i for i, _ in chosen]))
                yield {"steps": steps, "places": kind, "number": len(chosen), "actions": name} | {
                    "chance": values.mean(),
                    "less_played": difference.mean(),
                    "low": low,
                    "high": high,
                    "changed": np.abs(difference).mean(),
                }


def _interval(values: np.ndarray, rollouts: np.ndarray) -> tuple[float, float]:
    """Of the mean, by the percentile bootstrap over rollouts."""
    groups, rng = [values[rollouts == each] for each in np.unique(rollouts)], np.random.default_rng(0)
    sums, sizes = (np.array([function(each) for each in groups]) for function in (np.sum, len))
    drawn = rng.integers(len(groups), size=(RESAMPLED, len(groups)))
    low, high = np.percentile(sums[drawn].sum(1) / sizes[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=STUDY, help="where the tables go")
    chosen = parser.parse_args()
    moved, acted = [], []
    with one_thread():
        for folder in chosen.runs:
            run = FinishedRun(folder)
            of = {"run": folder.name}
            moved.append(of | movement(run))
            acted += [of | row for row in effects(run)]
    write_csv(chosen.to / "movement.csv", moved, ".3f")
    write_csv(chosen.to / "actions.csv", acted, ".3f")


if __name__ == "__main__":
    main()
