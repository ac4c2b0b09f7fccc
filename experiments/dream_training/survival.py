"""Do M's dreams rank controllers of Take Cover as the game does, and what does a search in them find?
``python experiments/dream_training/survival.py RUN … [--agent weights.safetensors] [--search SEED] [--to FOLDER]``.

Of each run, that went as far as ``stage=memory``. Controllers read z. A dream is scored by the steps that a controller
is expected to survive, Σ Π (1 - p) with the probabilities p of the end head, from frames throughout real rollouts on:
ends that are not drawn are no noise. All runs need the same V.

``ranking.csv``: a line for a controller, its score in the game and in the dreams of each run. With ``--search``
``searches.csv``: a search by CMA-ES in the last run's dreams, whose mean plays the game at each eighth generation.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import cma
import numpy as np
import torch
from safetensors.numpy import load_file

from worldmodels.config import config_to_json
from worldmodels.controller.agent import AgentEpisodes
from worldmodels.controller.individuals import first_step
from worldmodels.controller.policy import Shape
from worldmodels.controller.scaling import Scaling, moments, spread
from worldmodels.dreams.core import DreamModel, frames_anywhere
from worldmodels.memory import mixture
from worldmodels.memory.interface import take
from worldmodels.reports.tidy import write_csv
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import SerialExecutor, one_thread
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun

STUDY = Path(__file__).parent
ROLLOUTS = 256  # that dreams begin in
STEPS, DREAMS = 100, 64  # of the agent; dreams of a controller
EPISODES, SEED = 16, 500_000  # of the game
GENERATIONS, POPULATION, EVERY = 48, 24, 8


def dream_model(run: FinishedRun) -> DreamModel:
    """M, and frames of its rollouts to begin in."""
    model = DreamModel.blind(run.config, run.memory.weights, run.artifact("encode").path)
    store = RolloutStore(run.artifact("encode").path)
    names = ("mu", "log_var", "actions")
    rollouts = [[store.read(i, name) for name in names] for i in spread(len(store), ROLLOUTS)]
    return DreamModel(run.config, model.spec, None, model.memory, *frames_anywhere(model.memory, rollouts))


@torch.inference_mode()
def expected_steps(model: DreamModel, controllers: np.ndarray, temperature: float, seed: int) -> np.ndarray:
    """Steps that each controller is expected to survive in each dream: (P, 65) -> (P, DREAMS). All meet the same
    chances.
    """
    generator, latents = torch.Generator().manual_seed(seed), model.memory.latent_size
    start = torch.randint(len(model.start_mu), (DREAMS,), generator=generator)
    mu, log_var = (torch.from_numpy(values)[start] for values in (model.start_mu, model.start_log_var))
    z = (mu + torch.exp(log_var / 2) * torch.randn(mu.shape, generator=generator)).repeat(len(controllers), 1)
    state: Any = type(model.memory.initial_state(1))(*take(model.start_state, start.repeat(len(controllers))))
    weights = torch.from_numpy(controllers.astype(np.float32))
    alive = torch.ones(len(z), dtype=torch.float64)
    survived = torch.zeros_like(alive)
    for _ in range(STEPS):
        uniform, noise = (
            draw(DREAMS, latents, generator=generator).repeat(len(controllers), 1) for draw in (torch.rand, torch.randn)
        )
        seen = z.view(len(controllers), DREAMS, -1)
        outputs = (seen * weights[:, None, :-1]).sum(-1) + weights[:, None, -1]
        actions = model.spec.actions.decide(outputs.reshape(-1, 1).double().numpy())
        actions = torch.from_numpy(np.asarray(model.spec.actions.nearest(actions), np.float32))
        state = model.memory.step(z, actions, state)
        alive = alive * (1 - model.end_head.probability(state.h).double())
        survived += alive
        z = mixture.draw(model.memory.mixture(state.h, z), temperature, uniform, noise)
    return survived.view(len(controllers), DREAMS).numpy()


def returns_in_the_game(run: FinishedRun, controllers: np.ndarray) -> np.ndarray:
    """(P, 65) -> (P, EPISODES)"""
    config = dataclasses.replace(
        run.config, controller=dataclasses.replace(run.config.controller, inputs=["z"], phases=[])
    )
    work = AgentEpisodes(config_to_json(config), run.vision.weights, None, config.env.max_steps, config.executor.slots)
    returns = np.empty((len(controllers), EPISODES))
    episodes = [Episode((i, j), SEED + j, row) for i, row in enumerate(controllers) for j in range(EPISODES)]
    for episode, value in SerialExecutor().map(work, episodes):
        returns[episode.label] = value
    return returns


def coordinates(run: FinishedRun) -> Scaling:
    """In which z has mean 0 and deviation 1."""
    store = RolloutStore(run.artifact("encode").path)
    latents = np.concatenate([store.read(i, "mu") for i in spread(len(store), ROLLOUTS)])
    return Scaling(*moments(latents, 0.3), Shape(latents.shape[1], outputs=1))


def population(scaling: Scaling, agent: Path | None) -> dict[str, np.ndarray]:
    """Controllers of many kinds, by name."""
    rng, size = np.random.default_rng(0), len(scaling.mean)
    controllers = {name: np.append(np.zeros(size), bias) for name, bias in (("left", -5), ("stay", 0), ("right", 5))}
    for number in range(12):
        drawn = np.append(rng.normal(0, 0.35, size) * rng.choice([0.5, 1, 2]), rng.normal(0, 0.3))
        controllers[f"random {number}"] = scaling.to_controller(drawn)
    if agent is not None:
        found = load_file(agent)["agent"].astype(np.float64)
        controllers |= {f"agent times {share:g}": share * found for share in (1, 0.5, 0.25, -0.5, -1)}
        for number in range(5):
            noise = rng.normal(0, np.std(scaling.to_search(found)), size + 1) * rng.choice([0.7, 1.5])
            controllers[f"agent with noise {number}"] = found + scaling.to_controller(noise)
    return controllers


def ranked(runs: list[FinishedRun], agent: Path | None) -> list[dict[str, Any]]:
    controllers = population(coordinates(runs[0]), agent)
    stacked = np.stack(list(controllers.values()))
    game = returns_in_the_game(runs[0], stacked)
    dreams = {run.config.collect.frames: expected_steps(dream_model(run), stacked, 1.0, 0) for run in runs}
    return [
        {"controller": name, "game": game[i].mean(), "game_std": game[i].std(ddof=1)}
        | {f"dream_{frames}_frames": steps[i].mean() for frames, steps in dreams.items()}
        for i, name in enumerate(controllers)
    ]


def searched(run: FinishedRun, seed: int, temperature: float) -> list[dict[str, Any]]:
    model, scaling = dream_model(run), coordinates(run)
    size, rows = len(scaling.mean) + 1, []
    options = {"popsize": POPULATION, "seed": seed + 1, "verbose": -9}
    strategy = cma.CMAEvolutionStrategy(np.zeros(size), first_step(size), options)
    for generation in range(1, GENERATIONS + 1):
        asked = strategy.ask()
        controllers = np.stack([scaling.to_controller(each) for each in asked])
        steps = expected_steps(model, controllers, temperature, 1000 * seed + generation).mean(1)
        strategy.tell(asked, -steps)
        row = {"seed": seed, "temperature": temperature, "generation": generation, "dream": steps.mean()}
        if generation % EVERY == 0:
            game = returns_in_the_game(run, scaling.to_controller(strategy.mean)[None])
            row |= {"game": game.mean(), "game_std": game.std(ddof=1)}
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--agent", type=Path, help="weights of a C on z of the same V")
    parser.add_argument("--search", type=int, help="seed of a search in the last run's dreams")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--to", type=Path, default=STUDY, help="where the tables go")
    chosen = parser.parse_args()
    runs = [FinishedRun(folder) for folder in chosen.runs]
    with one_thread():
        if chosen.search is None:
            write_csv(chosen.to / "ranking.csv", ranked(runs, chosen.agent), ".3f")
        else:
            write_csv(chosen.to / "searches.csv", searched(runs[-1], chosen.search, chosen.temperature), ".3f")


if __name__ == "__main__":
    main()
