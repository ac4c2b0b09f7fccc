"""Compare the renderers frame by frame: ``python experiments/performance/fidelity.py [steps of each task] [FILE.csv]``.

Two worlds of a task are stepped side by side with the same actions, one drawn by Gymnasium, one by us. Half of the
episodes are driven by a script that knows the true state, half by sticky random actions. For every task: the difference
of the frames, whether rewards, ends, states and random streams are the same to the bit, and how much worse a V that was
trained on one renderer's frames reconstructs the other's.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import hydra
import numpy as np
import torch
from gymnasium.envs.box2d import lunar_lander
from gymnasium.envs.box2d.bipedal_walker import BipedalWalkerHeuristics

from worldmodels.config import Config, conf_dir, register_schema, to_config
from worldmodels.envs import PixelEnv, make_env
from worldmodels.factory import make_vision
from worldmodels.rollouts.policies.sticky import Sticky
from worldmodels.vision.losses.base import TrainingContext
from worldmodels.vision.losses.mse import MSE
from worldmodels.vision.scaling import to_unit

TASKS = {name: [f"env={name}"] for name in ("car_racing", "lunar_lander", "bipedal_walker")}
TASKS["bipedal_walker env.view=follow"] = ["env=bipedal_walker", "env.view=follow"]
EPISODE = 250  # steps at most
EPOCHS = 8
BATCH = 50


def car_driver(env: PixelEnv) -> Callable[[], np.ndarray]:
    """Follows the centre line at a moderate speed."""

    def act() -> np.ndarray:
        state = dict(zip(env.task_spec.state_names, env.state(), strict=True))
        steering = 0.05 * state["centre_offset"] - state["centre_angle"] + 0.5 * state["curvature_ahead"]
        slow = state["speed"] < 40
        return np.array([np.clip(-steering, -1, 1), 0.5 if slow else 0.0, 0.0 if slow else 0.2], np.float32)

    return act


def lander_driver(env: PixelEnv) -> Callable[[], np.ndarray]:
    """Gymnasium's own heuristic, which lands."""
    return lambda: lunar_lander.heuristic(env.task.world, env.state()).astype(np.float32)


def walker_driver(env: PixelEnv) -> Callable[[], np.ndarray]:
    """Gymnasium's own heuristic, which walks."""
    walker = BipedalWalkerHeuristics()
    return lambda: np.clip(walker.step_heuristic(env.state()), -1, 1).astype(np.float32)


DRIVERS = {"car_racing": car_driver, "lunar_lander": lander_driver, "bipedal_walker": walker_driver}


def compare(config: Config, steps: int) -> dict[str, np.ndarray | bool]:
    """Frames of ``steps`` steps by every renderer, and whether the worlds stayed the same."""
    frames: dict[str, list[np.ndarray]] = {"gymnasium": [], "exact": [], "fast": []}
    same, episode = True, 0
    while len(frames["fast"]) < steps:
        envs = {name: make_env(replace(config.env, renderer=name), max_steps=EPISODE) for name in frames}
        for env in envs.values():
            env.begin(seed=episode)
        leader = envs["fast"]
        driven = episode % 2 == 0
        policy = DRIVERS[config.env.name](leader) if driven else None
        policy = policy or Sticky(leader.task_spec, np.random.default_rng(episode), 0.9).act
        done = False
        while not done and len(frames["fast"]) < steps:
            for name, env in envs.items():
                frames[name].append(env.look())
            action = policy()
            outcomes = [(*env.advance(action)[:3], env.state().tobytes()) for env in envs.values()]
            streams = [str(env.task.world.np_random.bit_generator.state) for env in envs.values()]
            same = same and len(set(outcomes)) == 1 and len(set(streams)) == 1
            done = outcomes[0][1] or outcomes[0][2]
        for env in envs.values():
            env.close()
        episode += 1
    return {"same": same, **{name: np.stack(rows) for name, rows in frames.items()}}


def train(config: Config, frames: np.ndarray) -> torch.nn.Module:
    """A V trained on ``frames``."""
    network = make_vision(config).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    mse = MSE(config.vae.kl_floor, TrainingContext(seed=0))
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(frames), generator=generator).split(BATCH):
            inputs = to_unit(torch.from_numpy(frames)[batch])
            noise = torch.randn(len(batch), config.vae.latent_size, generator=generator)
            with torch.autocast("cpu", torch.bfloat16):
                reconstruction, latent = network(inputs, noise)
            loss = mse(reconstruction, inputs, latent, latent.sample(noise)).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


@torch.no_grad()
def error(network: torch.nn.Module, frames: np.ndarray) -> float:
    """Squared error of the reconstruction from μ, summed over a frame, mean over the frames."""
    inputs = to_unit(torch.from_numpy(frames))
    parts = [(network.decode(network.encode(x).mu) - x).square().sum((1, 2, 3)) for x in inputs.split(BATCH)]
    return torch.cat(parts).mean().item()


def main(steps: int, target: Path | None) -> None:
    register_schema()
    cv2.setNumThreads(0)
    rows = []
    for task, overrides in TASKS.items():
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = to_config(hydra.compose("config", [*overrides, "vae=cvae"]))
        frames_of = compare(config, steps)
        stock, fast = frames_of["gymnasium"], frames_of["fast"]
        difference = np.abs(stock.astype(int) - fast).mean(axis=(1, 2, 3))
        row = {
            "task": task,
            "frames": len(stock),
            "fast_mean_difference": round(difference.mean(), 3),
            "fast_worst_frame": round(difference.max(), 3),
            "exact_pixels_that_differ": int((stock != frames_of["exact"]).sum()),
            "same_physics": frames_of["same"],
        }
        half = len(stock) // 2  # trained on the first episodes, tested on the rest
        for source, frames, other in (("fast", fast, stock), ("stock", stock, fast)):
            network = train(config, frames[:half])
            own_error, other_error = error(network, frames[half:]), error(network, other[half:])
            row[f"V_of_{source}_error_on_own"] = round(own_error, 2)
            row[f"V_of_{source}_error_on_other"] = round(other_error, 2)
            row[f"V_of_{source}_other_over_own"] = round(other_error / own_error, 4)
        print("\n".join(f"{key:32}{value}" for key, value in row.items()), "\n", flush=True)
        rows.append(row)
    if target is not None:
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int, nargs="?", default=2000, help="of each task")
    parser.add_argument("table", type=Path, nargs="?", help="CSV file to write")
    arguments = parser.parse_args()
    main(arguments.steps, arguments.table)
