"""Record a few rollouts with Gymnasium alone: python record.py FOLDER --episodes 4 --steps 60"""

import argparse
from pathlib import Path

import gymnasium
import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--episodes", type=int, default=20)
parser.add_argument("--steps", type=int, default=1000)
arguments = parser.parse_args()

arguments.folder.mkdir(parents=True, exist_ok=True)
env = gymnasium.make("LunarLander-v3", continuous=True, render_mode="rgb_array")
env.action_space.seed(0)
for episode in range(arguments.episodes):
    env.reset(seed=episode)
    rows = []
    for step in range(arguments.steps):
        frame, action = env.render(), env.action_space.sample()  # your agent here; the frame before its action
        _, reward, terminated, truncated, _ = env.step(action)
        truncated = truncated or step == arguments.steps - 1
        rows.append((frame, action, reward, terminated, truncated))
        if terminated or truncated:
            break
    names = ("frames", "actions", "rewards", "terminated", "truncated")
    arrays = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    np.savez_compressed(arguments.folder / f"{episode:05d}.npz", **arrays)
    print(f"episode {episode}: {len(rows)} steps")
