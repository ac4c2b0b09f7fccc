"""How finely z and h tell the lander's state: ``python experiments/ladder/lander_readout.py RUN … [--to FOLDER]``.

Of each run, that went as far as ``stage=memory``: the deviation of the residual of a linear read-out of the true state,
in the observation's units, on training frames with the ship upright and in the picture. It is fitted on half of the
rollouts and measured on the others. ``lander_readout.csv`` has a line for a run and what is read.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.controller.scaling import seen, spread
from worldmodels.envs import task_spec
from worldmodels.envs.lunar_lander import BOTTOM, TOP
from worldmodels.factory import make_memory
from worldmodels.reports.tidy import write_csv
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.seeds import generator

STUDY = Path(__file__).parent
ROLLOUTS = 900  # at most
STATES = ("x", "y", "velocity_x", "velocity_y", "angle", "angular_velocity")
ANGLE, ANGULAR_VELOCITY = 0.4, 0.6  # of an upright ship, at most
RIDGES = (1e-3, 1e-2, 3e-2)  # of inputs of variance 1; the best for each number of the state


def upright(states: np.ndarray) -> np.ndarray:
    x, y, _, _, angle, angular_velocity = states.T
    shown = (abs(x) < 1) & (y > BOTTOM) & (y < TOP)
    return shown & (abs(angle) < ANGLE) & (abs(angular_velocity) < ANGULAR_VELOCITY)


def encoded(run: FinishedRun) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """[z, h] as C reads it, and the true state, of upright frames of each rollout."""
    memory = make_memory(run.config, task_spec(run.config.env).action_size, run.memory.weights).eval()
    latents, dataset = (RolloutStore(run.artifact(stage).path) for stage in ("encode", "collect"))
    inputs, states = [], []
    for rollout in spread(len(latents), ROLLOUTS):
        x = seen(["z", "h"], memory, latents.read(rollout, "mu"), latents.read(rollout, "actions"))
        y = dataset.read(rollout, "states")[:, : len(STATES)]
        inputs.append(x[upright(y)].astype(np.float64))
        states.append(y[upright(y)].astype(np.float64))
    return inputs, states


def residuals(inputs: list[np.ndarray], states: list[np.ndarray], columns: slice) -> np.ndarray:
    """Deviations of what a ridge regression leaves of each number of the state."""
    order = generator(0, "figures", 5).permutation(len(inputs))
    fitted, scored = np.array_split(order, 2)
    x, y = (np.concatenate([each[i] for i in fitted]) for each in (inputs, states))
    x2, y2 = (np.concatenate([each[i] for i in scored]) for each in (inputs, states))
    x, x2 = x[:, columns], x2[:, columns]
    mean, std, target = x.mean(0), x.std(0) + 1e-3 * x.std(), y.mean(0)
    x, x2 = (x - mean) / std, (x2 - mean) / std
    left = []
    for ridge in RIDGES:
        weights = np.linalg.solve(x.T @ x / len(x) + ridge * np.eye(x.shape[1]), x.T @ (y - target) / len(x))
        left.append((y2 - target - x2 @ weights).std(0))
    return np.min(left, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=STUDY, help="where lander_readout.csv goes")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for folder in chosen.runs:
        run = FinishedRun(folder)
        inputs, states = encoded(run)
        size = run.config.vae.latent_size
        for name, columns in (("z", slice(size)), ("z h", slice(None))):
            found = residuals(inputs, states, columns)
            frames = sum(map(len, states))
            loss = run.config.vae.loss if isinstance(run.config.vae.loss, dict) else {}
            facts = {"place": loss.get("place"), "hidden": run.config.memory.hidden_size}
            data = {"policy": run.config.collect.policy["_target_"], "frames": run.config.collect.frames}
            rows.append({**data, **facts, "read": name, "upright": frames, **dict(zip(STATES, found, strict=True))})
    spreads = np.concatenate(states).std(0)
    rows.append({"read": "deviation of the state itself, last run", **dict(zip(STATES, spreads, strict=True))})
    write_csv(chosen.to / "lander_readout.csv", rows, ".4f")


if __name__ == "__main__":
    main()
