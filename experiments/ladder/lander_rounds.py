"""Whether a linear C on [z, h] can land: ``python experiments/ladder/lander_rounds.py RUN [--rounds 5] [--to FOLDER]``.

RUN went as far as ``stage=memory``. A C that lands on the true state (found with noise on it, without the legs) acts on
a linear read-out of that state from [z, h]: together a linear C on [z, h]. In each round it plays, without noise and
with it; its rollouts join the run's, M trains on, and the read-out is fitted again (DAgger, Ross et al. 2011, with the
state in the expert's place). V stays as it is. The read-out is fitted to the true state, so no score here is one of an
agent that learnt from pixels: it bounds what one can reach. ``lander_rounds.csv`` has a line for a round.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

from worldmodels.controller.cma_es import CMAES
from worldmodels.controller.scaling import seen
from worldmodels.envs import make_env, task_class, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.interface import put, take
from worldmodels.reports.tidy import write_csv
from worldmodels.rollouts import engine
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.seeds import episode_seed, generator
from worldmodels.vision.inference import FrameEncoder

STUDY = Path(__file__).parent
sys.path.insert(0, str(STUDY))
from lander_state import ACTIONS, EPISODES, GENERATIONS, POPULATION, STATES, play  # noqa: E402

SLOTS, ROWS = 16, 16
SCORED, FINAL = 24, 64  # episodes
PLAYED = ((0.0, 40), (0.3, 60))  # deviation of the noise, episodes
PERSISTENCE = 0.8
STEPS, BATCH, LENGTH, RATE = 1500, 64, 32, 7e-4  # of M in a round
READ_FROM = 1500  # rollouts, the latest
RIDGE = 1e-3
SOLVED = 200


class Seen(NamedTuple):
    """An encoded rollout: μ (T, Z), actions (T, A), true states (T, S)."""

    mu: np.ndarray
    actions: np.ndarray
    states: np.ndarray


class ReadOut(NamedTuple):
    """State from [z, h]: weights (S, D) and bias (S,)."""

    weights: np.ndarray
    bias: np.ndarray


def upright(s: np.ndarray) -> np.ndarray:
    """Frames (T,) with the ship in the picture and not tumbling; s: (T, 8)."""
    shown = (abs(s[:, 0]) < 1) & (s[:, 1] < 1.5) & (s[:, 1] > -0.2)
    return shown & (abs(s[:, 4]) < 0.7) & (abs(s[:, 5]) < 1)


def landing(held: int) -> np.ndarray:
    """C on the true state, (A (S + 1),), row by row."""
    env = gymnasium.make("LunarLander-v3", continuous=True)
    strategy = CMAES(ACTIONS * (STATES + 1), POPULATION, 0, sigma=0.5)
    for generation in range(1, GENERATIONS + 1):
        seeds = [episode_seed(0, "controller", 1, generation, i) for i in range(EPISODES)]
        returns = [[play(env, each, number, held, 1.0, False) for number in seeds] for each in strategy.ask()]
        strategy.tell(np.mean(returns, axis=1).tolist())
    env.close()
    return strategy.mean


def fitted(memory: torch.nn.Module, rollouts: Sequence[Seen]) -> ReadOut:
    """Least squares with a small ridge on upright frames."""
    latest = [each for each in rollouts[-READ_FROM:] if len(each.mu) > 2]
    x = np.concatenate([seen(["z", "h"], memory, each.mu, each.actions) for each in latest]).astype(np.float64)
    y = np.concatenate([each.states for each in latest]).astype(np.float64)
    x, y = x[upright(y)], y[upright(y)]
    mean, std, target = x.mean(0), x.std(0) + 1e-3 * x.std(), y.mean(0)
    x = (x - mean) / std
    weights = np.linalg.solve(x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]), x.T @ (y - target) / len(x))
    return ReadOut((weights / std[:, None]).T, target - (mean / std) @ weights)


class Players:
    """C on the read-out. Keeps what it saw, and how far the read-out was from the state."""

    sees, knows = True, True

    def __init__(self, run: FinishedRun, memory: Any, controller: np.ndarray, read: ReadOut, noise: float) -> None:
        self.spec = task_spec(run.config.env)
        vision = make_vision(run.config, run.vision.weights).eval()
        self.encode = FrameEncoder(vision, "32-true", ROWS)
        self.memory, self.read, self.noise = memory, read, noise
        self.controller = controller.reshape(ACTIONS, STATES + 1)
        self.state = memory.initial_state(SLOTS)
        self.random = generator(0, "figures", 6)
        self.pushed = np.zeros((SLOTS, ACTIONS))
        self.rows: dict[int, list[tuple[np.ndarray, ...]]] = {}
        self.rollouts: list[Seen] = []
        self.errors: list[np.ndarray] = []

    @torch.inference_mode()
    def begin(self, slot: int, player: Any) -> None:
        self.state = put(self.state, torch.tensor([slot]), self.memory.initial_state(1))
        self.finish(slot)
        self.pushed[slot] = 0

    def finish(self, slot: int) -> None:
        if rows := self.rows.pop(slot, None):
            self.rollouts.append(Seen(*(np.stack(column) for column in zip(*rows, strict=True))))

    @torch.inference_mode()
    def act(self, slots: Sequence[int], frames: np.ndarray, known: np.ndarray) -> np.ndarray:
        z, rows = self.encode(frames).mu, torch.tensor(slots)
        state = take(self.state, rows)
        told = torch.cat([z, state.h], 1).numpy().astype(np.float64) @ self.read.weights.T + self.read.bias
        self.errors.append((told - known)[:, :6])
        told[:, 6:] = 0  # the legs
        actions = self.spec.actions.decide(told @ self.controller[:, :-1].T + self.controller[:, -1])
        fresh = np.sqrt(1 - PERSISTENCE**2) * self.noise * self.random.standard_normal((len(rows), ACTIONS))
        self.pushed[list(slots)] = PERSISTENCE * self.pushed[list(slots)] + fresh
        actions = np.clip(actions + self.pushed[list(slots)], -1, 1).astype(np.float32)
        for row, slot in enumerate(slots):
            self.rows.setdefault(slot, []).append((z[row].numpy(), actions[row], known[row].copy()))
        self.state = put(self.state, rows, self.memory.step(z, torch.from_numpy(actions), state))
        return actions


def played(run: FinishedRun, players: Players, episodes: int, *numbers: int) -> np.ndarray:
    """Returns of so many episodes."""
    env = functools.partial(make_env, run.config.env)
    work = [engine.Episode(i, episode_seed(0, "figures", *numbers, i)) for i in range(episodes)]
    totals = [done.total for _, done in engine.play(engine.Items(iter(work)), env, players, SLOTS)]
    for slot in list(players.rows):
        players.finish(slot)
    return np.array(totals)


def train(memory: Any, rollouts: Sequence[Seen], fresh: int) -> None:
    """M on sequences of all rollouts, half of them of the last ``fresh``."""
    random, memory = generator(0, "memory", 9), memory.train()
    optimizer = torch.optim.Adam(memory.parameters())
    lengths = np.array([len(each.mu) for each in rollouts], dtype=np.float64)
    share = lengths * (lengths > 4)
    share[-fresh:] *= max(1.0, share[:-fresh].sum() / share[-fresh:].sum())
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS) + 1e-5
        z = torch.zeros(BATCH, LENGTH, rollouts[0].mu.shape[1])
        actions, there = torch.zeros(BATCH, LENGTH, ACTIONS), torch.zeros(BATCH, LENGTH, 1)
        for row, number in enumerate(random.choice(len(rollouts), BATCH, p=share / share.sum())):
            each = rollouts[number]
            first = int(random.integers(0, max(0, len(each.mu) - LENGTH) + 1))
            count = len(each.mu[first : first + LENGTH])
            z[row, :count] = torch.from_numpy(each.mu[first : first + LENGTH])
            actions[row, :count] = torch.from_numpy(each.actions[first : first + LENGTH])
            there[row, :count] = 1
        h, _ = memory.unroll(z, actions)
        mixture = memory.mixture(h[:, :-1], z[:, :-1])
        normal = torch.distributions.Normal(mixture.mu, mixture.log_sigma.exp())
        likelihood = (mixture.log_pi + normal.log_prob(z[:, 1:, :, None])).logsumexp(-1) * there[:, 1:]
        optimizer.zero_grad()
        (-likelihood.sum() / there[:, 1:].sum() / z.shape[2]).backward()
        torch.nn.utils.clip_grad_value_(memory.parameters(), 1.0)
        optimizer.step()
    memory.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, default=STUDY, help="where lander_rounds.csv goes")
    chosen = parser.parse_args()
    run = FinishedRun(chosen.run)
    config = run.config
    controller = landing(config.env.action_repeat)
    memory = make_memory(config, task_spec(config.env).action_size, run.memory.weights).eval()
    latents, dataset = (RolloutStore(run.artifact(stage).path) for stage in ("encode", "collect"))
    known = task_class(config.env).known
    rollouts = [
        Seen(latents.read(i, "mu"), latents.read(i, "actions"), known(dataset.read(i, "states")))
        for i in range(len(latents))
    ]
    rows: list[dict[str, Any]] = []
    for number in range(chosen.rounds + 1):
        read = fitted(memory, rollouts)
        players = Players(run, memory, controller, read, 0.0)
        returns = played(run, players, SCORED if number < chosen.rounds else FINAL, 7, number)
        errors = np.sqrt((np.concatenate(players.errors) ** 2).mean(0))
        names = ("x", "y", "velocity_x", "velocity_y", "angle", "angular_velocity")
        rows.append(
            {
                "round": number,
                "frames": sum(len(each.mu) for each in rollouts),
                "episodes": len(returns),
                "mean": returns.mean(),
                "std": returns.std(ddof=1),
                "solved": (returns > SOLVED).mean(),
                **{f"error_{name}": error for name, error in zip(names, errors, strict=True)},
            }
        )
        print(*rows[-1].values(), flush=True)
        write_csv(chosen.to / "lander_rounds.csv", rows, ".3f")
        if number < chosen.rounds:
            before = len(rollouts)
            for index, (noise, episodes) in enumerate(PLAYED):
                players = Players(run, memory, controller, read, noise)
                played(run, players, episodes, 8, number, index)
                rollouts += players.rollouts
            train(memory, rollouts, len(rollouts) - before)


if __name__ == "__main__":
    main()
