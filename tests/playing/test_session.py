"""What a person plays is the dream and the task that everything else knows."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import worldmodels as wm
from worldmodels.controller.policy import Controllers, Shape
from worldmodels.dreams.env import DreamEnv
from worldmodels.envs import make_env
from worldmodels.memory.mixture import Mixture
from worldmodels.playing.noise import Noise
from worldmodels.playing.session import Played, Session
from worldmodels.store.runs import FinishedRun
from worldmodels.vision.interface import Latent
from worldmodels.vision.scaling import to_pixels

HELD = (["ArrowUp"], ["ArrowUp", "ArrowLeft"], [], ["ArrowRight"])


@pytest.fixture
def session(played):
    session = Session(played)
    session.handle({"ends": False})
    yield session
    session.close()


def dream_env(played, start, **settings):
    """The dream that begins at one of the first frames."""
    first = dataclasses.replace(
        played.model, start_mu=played.model.start_mu[[start]], start_log_var=played.model.start_log_var[[start]]
    )
    return DreamEnv(first, observation="latent_hidden", render_mode="rgb_array", **settings)


def test_it_is_the_dream_of_the_environment(played, session):
    """To float rounding, under the same keys, with the same random numbers."""
    env = dream_env(played, 2, temperature=1.3)
    env.np_random = Noise(5)
    seen, _ = env.reset()
    session.handle({"begin": [2, 5], "temperature": 1.3})
    for held in HELD * 3:
        np.testing.assert_allclose(session.dream.z[0], seen[: session.memory.latent_size], atol=1e-4)
        assert np.abs(session.pictures()[0].astype(int) - env.render()).max() <= 1
        session.handle({"keys": held})
        assert session.step()
        seen, reward, *_ = env.step(session.action)
        assert session.dream.reward == pytest.approx(reward, abs=1e-4)
    np.testing.assert_allclose(session.dream.state.h[0], seen[session.memory.latent_size :], atol=1e-4)


def test_the_real_task_goes_on_beside_it_under_the_same_keys(played, session):
    session.handle({"task": True, "begin": [1, 0]})
    env = make_env(session.config.env)
    frame, _ = env.reset(seed=played.starts[1].seed)
    total = 0.0
    for held in HELD:
        assert np.array_equal(session.pictures()[2], frame)
        session.handle({"keys": held})
        session.step()
        frame, reward, *_ = env.step(session.action)
        total += reward
    assert session.facts()["task"]["total"] == pytest.approx(total)
    with torch.inference_mode():
        seen = to_pixels(session.vision.decode(played.encode(session.pictures()[2][None]).mu))[0].numpy()
    assert np.abs(session.pictures()[1].astype(int) - seen).max() <= 1
    session.handle({"task": False})
    assert session.facts()["task"] is None
    assert np.array_equal(session.pictures()[2], played.starts[1].frame)
    env.close()


def test_the_agent_takes_over_in_both(run, played, session):
    """In the task as it is scored; in the dream by what M has of the dream. What the person did before, M remembers."""
    session.handle({"task": True, "agent": True})
    agent, frame = wm.load(run).agent(), session.pictures()[2]
    controllers = Controllers(1, Shape(session.memory.latent_size + 16, 2))
    controllers.set(0, played.controller)
    env = make_env(session.config.env)
    env.reset(seed=played.starts[0].seed)
    for _ in range(4):
        seen = torch.cat([session.dream.z, session.dream.state.h], dim=1).double().numpy()
        expected = session.spec.actions.decide(controllers([0], seen))[0]
        session.step()
        frame, *_ = env.step(agent.act(frame))
        assert np.abs(session.pictures()[2].astype(int) - frame).max() <= 1
        np.testing.assert_allclose(session.facts()["action"], expected, atol=1e-6)
    env.close()


def test_the_same_start_seed_and_keys_give_the_same_dream(session):
    def pictures(start, seed):
        session.handle({"begin": [start, seed], "keys": ["ArrowUp"]})
        for _ in range(3):
            session.step()
        return session.pictures().copy()

    first = pictures(0, 3)
    assert not np.array_equal(first, pictures(0, 4)) and not np.array_equal(first, pictures(1, 3))
    assert np.array_equal(first, pictures(0, 3))


def test_m_ends_the_dream_unless_told_not_to_and_then_nothing_moves(session):
    session.handle({"ends": True})
    while session.step():
        assert session.dream.step < 100  # an untrained head ends half of all steps
    ended = session.facts()["dream"]
    assert ended["over"] and not session.step() and session.facts()["dream"] == ended
    session.handle({"begin": [0, 0], "ends": False, "pause": True})
    assert not session.step() and session.dream.step == 0
    session.handle({"pause": False})
    assert all(session.step() for _ in range(20)) and 0 < session.dream.end < 1


@pytest.mark.parametrize(
    "message",
    [
        {"keys": "ArrowUp"},
        {"keys": [1]},
        {"temperature": 0},
        {"temperature": "hot"},
        {"begin": [3, 0]},
        {"begin": [0]},
        {"speed": 7},
        {"run": "rm"},
    ],
)
def test_what_makes_no_sense_is_refused(session, message):
    with pytest.raises(ValueError, match="nothing that can be asked for"):
        session.handle(message)


class State(NamedTuple):
    h: Tensor


class OwnMemory(nn.Module):
    """What is asked of an M, and nothing more: each z is the one before, and a little of the action."""

    latent_size, action_size, hidden_size = 4, 2, 3

    def initial_state(self, batch_size):
        return State(torch.zeros(batch_size, 3))

    def step(self, z, action, state):
        return State(state.h + action.sum(-1, keepdim=True))

    def mixture(self, h, z):
        return Mixture(
            torch.zeros(*z.shape, 1), z[..., None] + h.mean(-1)[..., None, None], torch.full((*z.shape, 1), -9.0)
        )


class OwnVision(nn.Module):
    """A V without convolutions."""

    latent_size = 4

    def encode(self, frames):
        mu = frames.mean((2, 3))[:, [0, 1, 2, 0]]
        return Latent(mu, torch.full_like(mu, -9))

    def decode(self, z):
        return z[:, :3, None, None].expand(-1, 3, 64, 64)


@pytest.fixture
def foreign(played):
    model = dataclasses.replace(played.model, vision=OwnVision(), memory=OwnMemory())
    starts = tuple(dataclasses.replace(each, mu=each.mu[:4], log_var=each.log_var[:4]) for each in played.starts)
    return Played(model, lambda frames: OwnVision().encode(torch.rand(1, 3, 64, 64)), played.keys, starts, None)


def test_models_of_ones_own_are_played_by_their_interfaces(foreign):
    session = Session(foreign)
    assert (session.greeting()["agent"], session.greeting()["ends"]) == (False, False)
    session.handle({"keys": ["ArrowUp"], "task": True})
    before = session.dream.z
    session.step()
    np.testing.assert_allclose(session.dream.z - before, 1, atol=1e-3)
    assert session.pictures().shape == (3, 64, 64, 3)
    assert session.facts()["dream"]["reward"] is None
    session.close()


def test_a_run_without_a_controller_plays(make_run):
    folder = make_run("env=pendulum", "memory.network.hidden_size=8")
    run = FinishedRun(folder)
    del run.results["stages"]["controller"]
    session = Session(Played.of(run, 1))
    session.handle({"keys": ["ArrowLeft"]})
    session.step()
    assert (session.action.tolist(), session.greeting()["agent"]) == ([2], False)
