"""Which numbers tell the lander's velocities: ``python experiments/ladder/lander_numbers.py RUN [--to FOLDER]``.

Of a run that went as far as ``stage=memory``: the deviation of the residual of a linear read-out of the true state from
z, from [z, h], and from what C would act on there (`worldmodels.vision.look`): the place, so many looks, and their
changes since and over some frames, each read out of [z, h] first. M's h is that of the run, and that of LSTMs as they
begin. Everything is fitted on half of the rollouts and measured on the others, on frames with the ship upright and in
the picture, of which ``lander_numbers.csv`` has those near the ground.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.controller.readout import fit
from worldmodels.controller.scaling import seen
from worldmodels.envs import task_spec
from worldmodels.factory import make_memory
from worldmodels.memory.interface import Memory
from worldmodels.reports.tidy import write_csv
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.vision import look

STUDY = Path(__file__).parent
STATES = ("x", "y", "velocity_x", "velocity_y", "angle", "angular_velocity")
ROLLOUTS = 900  # at most
NUMBERS = ((8, (3,)), (8, (-1,)), (8, (-1, 3)), (12, (-1, 3)), (16, (3,)), (16, (-1, 3)))  # looks; frames of changes
UNTRAINED = 256  # units of an LSTM as it begins
SHOWN, NEAR = 1.35, 0.4  # y, in the observation's units: of a ship in the picture, and near the ground


def upright(states: np.ndarray, below: float) -> np.ndarray:
    x, y, _, _, angle, angular_velocity = states.T
    return (abs(angle) < 0.5) & (abs(angular_velocity) < 0.8) & (abs(x) < 0.9) & (y < below)


def change(values: np.ndarray, frames: int) -> np.ndarray:
    """Over the next ``frames``, or since -``frames`` ago: (T, N), NaN where that is not known."""
    found, apart = np.full_like(values, np.nan), abs(frames)
    if len(values) > apart:
        found[slice(None, -apart) if frames > 0 else slice(apart, None)] = values[apart:] - values[:-apart]
    return found


def errors(inputs: list[np.ndarray], states: list[np.ndarray]) -> dict[str, float]:
    """Deviation of what a read-out of ``inputs`` leaves of each number of the state, near the ground."""
    fitted, scored = slice(0, None, 2), slice(1, None, 2)
    triples = [(x, y, upright(y, SHOWN)) for x, y in zip(inputs[fitted], states[fitted], strict=True)]
    readout = fit((x[there], y[there]) for x, y, there in triples if there.any())
    x, y = np.concatenate(inputs[scored]), np.concatenate(states[scored])
    near = upright(y, NEAR)
    left = (readout(x[near]) - y[near]).std(0)
    return {"frames": int(near.sum()), **dict(zip(STATES, map(float, left), strict=True))}


def memories(run: FinishedRun) -> dict[str, Memory]:
    """The run's M, and one whose LSTM is as it begins."""
    actions, network = task_spec(run.config.env).action_size, {**run.config.memory.network, "hidden_size": UNTRAINED}
    other = dataclasses.replace(run.config, memory=dataclasses.replace(run.config.memory, network=network))
    torch.manual_seed(0)
    found = {f"{run.config.memory.hidden_size}": make_memory(run.config, actions, run.memory.weights).eval()}
    return found | {f"{UNTRAINED} as it begins": make_memory(other, actions).eval()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=STUDY, help="where lander_numbers.csv goes")
    chosen = parser.parse_args()
    run = FinishedRun(chosen.run)
    latents, dataset = (RolloutStore(run.artifact(stage).path) for stage in ("encode", "collect"))
    rollouts = range(min(len(dataset), ROLLOUTS))
    states = [dataset.read(rollout, "states")[:, : len(STATES)].astype(np.float64) for rollout in rollouts]
    frames = [dataset.read(rollout, "frames") for rollout in rollouts]
    shown = {}
    for look.COMPONENTS in sorted({looks for looks, _ in NUMBERS}):
        shown[look.COMPONENTS] = look.Look.prepare(frames)[1]
    rows: list[dict[str, Any]] = []
    for name, memory in memories(run).items():
        encoded = ((latents.read(rollout, "mu"), latents.read(rollout, "actions")) for rollout in rollouts)
        read = [seen(["z", "h"], memory, *each) for each in encoded]
        z = [each[:, : run.config.vae.latent_size] for each in read]
        for inputs, values in (("z", z), ("z h", read)):
            rows.append({"hidden": name, "read": inputs, "numbers": values[0].shape[1], **errors(values, states)})
        for looks, apart in NUMBERS:
            parts = []
            for targets in (shown[looks], *([change(each, by) for each in shown[looks]] for by in apart)):
                known = [~np.isnan(each).any(axis=1) for each in targets]
                triples = zip(read, targets, known, strict=True)
                parts.append(fit((x[there], y[there]) for x, y, there in triples if there.any()))
            values = [np.concatenate([part(each) for part in parts], axis=1) for each in read]
            told = f"place, {looks} looks, changes {' '.join(f'{each:+d}' for each in apart)}"
            rows.append({"hidden": name, "read": told, "numbers": values[0].shape[1], **errors(values, states)})
    write_csv(chosen.to / "lander_numbers.csv", rows, ".4f")


if __name__ == "__main__":
    main()
