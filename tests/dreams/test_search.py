"""C searched in dreams, of an M whose dynamics are known."""

import dataclasses
import types
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from gymnasium.utils import seeding
from helpers import box_spec
from safetensors.numpy import load_file
from torch import Tensor

from worldmodels.controller.config import ControllerConfig, PhaseConfig
from worldmodels.controller.phases import phase_at
from worldmodels.dreams import search as module
from worldmodels.dreams.core import DreamModel, Dreams, frames_anywhere
from worldmodels.dreams.returns import dream_returns
from worldmodels.dreams.search import check_dreams, dream_episodes, returns_in_dreams
from worldmodels.memory.interface import Memory
from worldmodels.memory.mixture import Mixture
from worldmodels.pipeline import scoring, searching
from worldmodels.pipeline.stages import controller
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.store.journal import Journal
from worldmodels.utils.errors import ConfigError

SIGMA, TEMPERATURE, STEPS = 0.3, 1.5, 6
STARTS = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
NOWHERE = Path("nowhere")


class State(NamedTuple):
    h: Tensor
    c: Tensor


class Line(Memory):
    """z moves on a line by the action, and half the time by 0.1 more. h is the place before the draw, c the number of
    steps. A step costs z², and beyond 2 is an end.
    """

    latent_size, action_size, hidden_size = 1, 1, 1

    def __init__(self):
        super().__init__()
        self.reward_head = types.SimpleNamespace(mean=lambda h: -h[..., 0].square())
        self.end_head = types.SimpleNamespace(probability=lambda h: (h[..., 0].abs() > 2).float())

    def initial_state(self, batch_size):
        return State(torch.zeros(batch_size, 1), torch.zeros(batch_size, 1))

    def step(self, z, action, state):
        return State(z + action, state.c + 1)

    def mixture(self, h, z):
        mu = torch.stack([h, h + 0.1], -1)
        return Mixture(torch.full_like(mu, 0.5).log(), mu, torch.full_like(mu, SIGMA).log())


def in_numpy(parameters: np.ndarray, seed: int) -> float:
    """The same dream, written down anew for one controller of z, h and c, linear or with two hidden units."""
    stream = seeding.np_random(seed)[0]
    z = STARTS[stream.integers(5), 0] + np.exp(-1.0) * stream.standard_normal(1, np.float32)[0]
    h, c, total = 0.0, 0.0, 0.0
    for _ in range(STEPS):
        uniform, noise = stream.random(1, np.float32)[0], stream.standard_normal(1, np.float32)[0]
        fate = stream.random()
        read, last = np.array([z, h, c]), parameters
        if len(parameters) == 11:
            read, last = np.tanh(parameters[:6].reshape(2, 3) @ read + parameters[6:8]), parameters[8:]
        h = z + np.clip(last[:-1] @ read + last[-1], -1, 1)
        c += 1
        total -= h**2
        z = h + 0.1 * (uniform >= 0.5) + SIGMA * np.sqrt(TEMPERATURE) * noise
        if float(abs(h) > 2) > fate:
            break
    return total


@pytest.fixture
def config(compose):
    """Of a search in dreams of the line."""
    config = compose(
        *("env=lunar_lander", "scale=smoke", "vae.network.latent_size=1", "memory.network.hidden_size=1"),
        *("controller.inputs=[z,h,c]", "controller.where=dream", f"controller.temperature={TEMPERATURE}"),
        *("controller.population=6", "controller.rollouts=4", "controller.generations=5", "env.max_steps=50"),
        *("controller.standardise=false", f"controller.max_steps={STEPS}", "controller.search.sigma=0.3"),
    )
    return dataclasses.replace(config, env=dataclasses.replace(config.env, squash=["clip"]))


@pytest.fixture
def model(config):
    spec = box_spec("line", [-1], [1], ["clip"])
    return DreamModel(config, spec, None, Line().eval(), STARTS, np.full_like(STARTS, -2))


@pytest.fixture
def dreamt(model, monkeypatch):
    """Makes every search dream of the line."""

    def of_the_line(work):
        return dataclasses.replace(model, config=module.config_from_json(work.config))

    monkeypatch.setattr(module, "_model", of_the_line)
    monkeypatch.setattr(scoring, "VALIDATION_DREAMS", 4)


class Cut(SerialExecutor):
    """An executor of several workers that ``lasts`` for so many maps, and knows what the task pays."""

    def __init__(self, workers=1, lasts=None):
        self.workers, self.lasts, self.maps = workers, lasts, []

    def map(self, work, items):
        if len(self.maps) == self.lasts:
            raise KeyboardInterrupt
        self.maps.append(work)
        if hasattr(work, "temperature"):
            yield from super().map(work, items)
        else:
            for item in items:
                yield item, 100.0 - float(np.square(item.player).sum())


def searched(config, folder, executor):
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, None, "controller")
    return searching.run(config, NOWHERE, NOWHERE, 1, None, executor, folder, journal, NOWHERE)


def changed(config, **settings):
    return dataclasses.replace(config, controller=dataclasses.replace(config.controller, **settings))


@pytest.mark.parametrize(("hidden", "size", "spread"), [(None, 4, 0.7), (2, 11, 0.4)])
def test_a_score_is_that_of_the_same_dream_in_numpy(model, hidden, size, spread):
    model.config.controller.hidden = hidden
    population = np.random.default_rng(0).normal(0, spread, (7, size))
    seeds = range(20, 33)
    returns = dream_returns(model, population, seeds, temperature=TEMPERATURE, max_steps=STEPS)
    expected = [[in_numpy(parameters, seed) for seed in seeds] for parameters in population]
    np.testing.assert_allclose(returns, expected, rtol=2e-4, atol=1e-5)
    assert len(np.unique(returns)) == returns.size


def test_the_search_finds_the_controller_that_goes_to_the_middle(config, dreamt, tmp_path):
    """a = -z: what a step costs is known before the drift."""
    config = changed(config, inputs=["z"], generations=25, population=10, rollouts=12)
    searched(config, tmp_path, SerialExecutor())
    weight, bias = load_file(tmp_path / "weights.safetensors")["agent"]
    assert weight == pytest.approx(-1, abs=0.15) and bias == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("workers", [2, 5])
def test_a_score_knows_nothing_of_workers(config, dreamt, workers):
    population = np.random.default_rng(0).normal(0, 0.7, (6, 4))
    work = dream_episodes(config, ["z", "h", "c"], NOWHERE, NOWHERE, phase_at(config.controller, 1))
    assert work.max_steps == STEPS and work.temperature == TEMPERATURE
    whole, parts = (returns_in_dreams(work, population, [3, 4], Cut(count), "dreams") for count in (1, workers))
    assert np.array_equal(whole, parts)


MIXED = [PhaseConfig(4, where="reality", rollouts=3)]


@pytest.mark.parametrize("phases", [[], MIXED])
@pytest.mark.parametrize("lasts", [2, 5])
def test_an_interrupted_search_in_dreams_goes_on(config, dreamt, tmp_path, phases, lasts):
    config = changed(config, phases=phases, validate_every=2, validation_episodes=2)
    rows = searched(config, tmp_path / "a", Cut())["generations"]
    with pytest.raises(KeyboardInterrupt):
        searched(config, tmp_path / "b", Cut(lasts=lasts))
    again = searched(config, tmp_path / "b", Cut(3))["generations"]
    assert [row["fitness"] for row in again] == [row["fitness"] for row in rows]
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in "ab")
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def test_the_search_begins_anywhere_and_held_out_dreams_at_first_frames(config, dreamt, tmp_path):
    config = changed(config, starts="any", validate_every=1, validation_episodes=2, generations=1)
    searched(config, tmp_path, executor := Cut())
    assert [getattr(work, "anywhere", None) for work in executor.maps] == [True, False, None]
    assert [work.max_steps for work in executor.maps] == [STEPS, 50, 50]


def test_the_task_is_told_beside_the_dream_and_chooses_nothing(config, dreamt, tmp_path):
    config = changed(config, validate_every=1, validation_episodes=2)
    rows = searched(config, tmp_path / "a", executor := Cut())["generations"]
    assert {"dream", "dream_std", "validation", "validation_std"} <= set(rows[0])
    assert [hasattr(work, "temperature") for work in executor.maps] == [True, True, False] * 5
    agent = load_file(tmp_path / "a" / "weights.safetensors")["agent"]
    best = max(range(5), key=lambda i: rows[i]["dream"])
    shorter = changed(config, validate_every=None, generations=best + 1)
    searched(shorter, tmp_path / "b", Cut())
    assert np.array_equal(load_file(tmp_path / "b" / "weights.safetensors")["mean"], agent)


def test_scores_of_dreams_and_of_the_task_are_not_compared(config, dreamt, tmp_path):
    """What the task pays here is beyond any dream; of the last generations, in dreams, one in dreams is the agent."""
    phases = [PhaseConfig(1, where="reality"), PhaseConfig(4, where="dream")]
    config = changed(config, phases=phases, validate_every=2, validation_episodes=2)
    rows = searched(config, tmp_path, Cut())["generations"]
    assert ["dream" in row for row in rows] == [False, False, False, True, False]
    shorter = changed(config, validate_every=None, generations=4)
    searched(shorter, tmp_path / "b", Cut())
    agents = [load_file(folder / "weights.safetensors") for folder in (tmp_path, tmp_path / "b")]
    assert np.array_equal(agents[0]["agent"], agents[1]["mean"])


def test_dreams_begin_anywhere_in_real_rollouts_with_the_state_of_then(model):
    """c counts the steps so far, and h is the last place and action."""
    rng = np.random.default_rng(0)
    rollouts = [[rng.normal(size=(length, 1)).astype(np.float32) for _ in range(3)] for length in (2, 40, 33)]
    mu, log_var, state = frames_anywhere(model.memory, rollouts)
    assert len(mu) == len(log_var) == len(state.h) == 3 * 16
    for i in (0, 15, 17, 31, 47):
        [place, *_], actions = rollouts[i // 16], rollouts[i // 16][2]
        t = int(state.c[i])
        assert t == (0 if i < 16 else int(np.linspace(0, len(place) - 2, 16)[i % 16]))
        assert mu[i] == place[t] and log_var[i] == rollouts[i // 16][1][t]
        assert float(state.h[i]) == pytest.approx(0 if t == 0 else (place[t - 1] + actions[t - 1]).item())
    anywhere = dataclasses.replace(model, start_mu=mu, start_log_var=log_var, start_state=state)
    dreams = Dreams(anywhere, 4)
    stream = np.random.default_rng(0)
    chosen = dreams.begin([3, 1], [stream, stream])
    assert chosen[0] == chosen[1] and float(dreams.state.c[3]) == float(state.c[chosen[0]])
    assert float(dreams.state.c[0]) == 0


def test_temperature_counts_in_dreams_and_patience_in_the_task(compose):
    base = ("env=car_racing", "controller.phases=[]", "env.step_reward=1")

    def key(*overrides):
        return controller.STAGE.inputs(compose(*base, *overrides))

    assert key("controller.temperature=2", "controller.end_threshold=0.5", "env.step_reward=2") == key()
    dream = "controller.where=dream"
    assert key(dream) != key() and "memory" in controller.STAGE.parents(compose(*base, dream, "controller.inputs=[z]"))
    assert key("controller.starts=any") == key()
    for setting in (
        *("controller.temperature=2", "controller.end_threshold=0.5", "controller.starts=any", "env.step_reward=2"),
    ):
        assert key(dream, setting) != key(dream)
    assert key(dream, "controller.patience=7") == key(dream) and key("controller.patience=7") != key()
    first = "controller.phases=[{generation: 1, where: dream}]"
    after = "controller.phases=[{generation: 1, where: dream}, {generation: 3, where: reality}]"
    assert len({str(key(each)) for each in (dream, first, after)}) == 3
    assert key(after, "controller.patience=7") != key(after)


def test_nonsense_is_refused(config, compose):
    dream, line = "controller.where=dream", Line()
    config = compose(dream)
    check_dreams(config, line)
    line.reward_head = None
    with pytest.raises(ConfigError, match=r"predicts no reward.*set memory\.network\.reward_head=gaussian"):
        check_dreams(config, line)
    check_dreams(compose(dream, "env.step_reward=1"), line)
    line.end_head = None
    with pytest.raises(ConfigError, match=r"predicts no end.*set memory\.network\.end_head=true"):
        check_dreams(config, line)
    check_dreams(compose(), line)
    with pytest.raises(ConfigError, match="transfer=random_memory leaves M as it begins"):
        check_dreams(compose(dream, "transfer=random_memory"), Line())
    with pytest.raises(ConfigError, match=r"controller\.where=sleep"):
        ControllerConfig(where="sleep")
    with pytest.raises(ConfigError, match=r"controller\.phases\.where=sleep"):
        PhaseConfig(where="sleep")
    with pytest.raises(ConfigError, match=r"controller\.temperature=0"):
        ControllerConfig(temperature=0.0)
    with pytest.raises(ConfigError, match="a search in dreams does not see"):
        ControllerConfig(where="dream", target=5.0, validate_every=2)
