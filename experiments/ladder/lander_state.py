"""What a linear C needs to land: ``python experiments/ladder/lander_state.py [--seeds 0 1 2] [--to FOLDER]``.

C acts on LunarLander's true state, through Gymnasium alone: with an action held for several steps, with noise on what
it reads, and without the legs' contacts, which a picture hardly shows. ``lander_state.csv`` has the validations of
every search.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from worldmodels.controller.cma_es import CMAES
from worldmodels.reports.tidy import write_csv
from worldmodels.utils.seeds import episode_seed, generator

STUDY = Path(__file__).parent
STATES, ACTIONS, LEGS = 8, 2, slice(6, 8)
POPULATION, EPISODES, GENERATIONS = 24, 3, 40
VALIDATED, EVERY = 16, 10  # episodes, generations
# Of a read-out from z and h near upright, in the observation's units: x, y, velocities, the angle and its velocity.
NOISE = np.array([0.01, 0.02, 0.12, 0.09, 0.035, 0.09, 0, 0])
CASES = (  # steps that an action is held, share of NOISE, whether C reads the legs
    (1, 0.0, True),
    (2, 0.0, True),
    (4, 0.0, True),
    (4, 1.0, True),
    (4, 1.0, False),
)


def play(env: gymnasium.Env, controller: np.ndarray, seed: int, held: int, noise: float, legs: bool) -> float:
    """Return of an episode under tanh(W x + b)."""
    weights = controller.reshape(ACTIONS, STATES + 1)
    rng = generator(seed, "figures", 4)
    state, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        seen = state + noise * NOISE * rng.standard_normal(STATES)
        if not legs:
            seen[LEGS] = 0
        action = np.tanh(weights @ np.append(seen, 1)).astype(np.float32)
        for _ in range(held):
            state, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
            if over:
                break
    return total


def search(seed: int, held: int, noise: float, legs: bool) -> Iterator[dict[str, Any]]:
    """The validations of one search."""
    env = gymnasium.make("LunarLander-v3", continuous=True)
    strategy = CMAES(ACTIONS * (STATES + 1), POPULATION, seed, sigma=0.5)
    for generation in range(1, GENERATIONS + 1):
        seeds = [episode_seed(seed, "controller", 1, generation, i) for i in range(EPISODES)]
        returns = [[play(env, each, number, held, noise, legs) for number in seeds] for each in strategy.ask()]
        strategy.tell(np.mean(returns, axis=1).tolist())
        if generation % EVERY == 0:
            numbers = [episode_seed(seed, "controller", 3, i) for i in range(VALIDATED)]
            scores = [play(env, strategy.mean, number, held, noise, legs) for number in numbers]
            yield {
                "held": held,
                "noise": noise,
                "legs": legs,
                "seed": seed,
                "generation": generation,
                "population_mean": float(np.mean(returns)),
                "validation": float(np.mean(scores)),
                "validation_std": float(np.std(scores, ddof=1)),
            }
    env.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--to", type=Path, default=STUDY, help="where lander_state.csv goes")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed, case in itertools.product(chosen.seeds, CASES):
        rows += search(seed, *case)
        print(*rows[-1].values(), flush=True)
        write_csv(chosen.to / "lander_state.csv", rows, ".1f")


if __name__ == "__main__":
    main()
