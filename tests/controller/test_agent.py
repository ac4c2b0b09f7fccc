"""The agent against its equations: a_t = squash(W [z_t, h_t] + b), h_t from the frames before frame t."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodels.config import Config, config_to_json
from worldmodels.controller.agent import Agent, AgentEpisode, make_controller
from worldmodels.envs import TaskSpec, make_env
from worldmodels.memory.network import MDNLSTM
from worldmodels.parts import make_memory, make_vision
from worldmodels.rollouts.episode import score
from worldmodels.transfer.weights import save_weights
from worldmodels.vision.network import ConvVAE
from worldmodels.vision.pixels import to_unit

LATENT, HIDDEN, ACTIONS = 4, 6, 2
SPEC = TaskSpec("lunar_lander", np.full(ACTIONS, -1, np.float32), np.full(ACTIONS, 1, np.float32), (), 50)
INPUTS = [["z"], ["z", "h"], ["z", "h", "c"]]
Compose = Callable[..., Config]


@pytest.fixture
def weights(compose: Compose, tmp_path: Path) -> tuple[Path, Path]:
    """V's and M's files."""
    config = small(compose, ["z"])
    save_weights(make_vision(config), tmp_path / "vision.safetensors")
    save_weights(make_memory(config, ACTIONS), tmp_path / "memory.safetensors")
    return tmp_path / "vision.safetensors", tmp_path / "memory.safetensors"


def small(compose: Compose, inputs: list[str]) -> Config:
    return compose(
        "env=lunar_lander",
        "scale=smoke",
        f"vae.network.latent_size={LATENT}",
        f"memory.network.hidden_size={HIDDEN}",
        f"controller.inputs=[{','.join(inputs)}]",
    )


def random_parameters(size: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=size)


def random_frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def make_agent(compose: Compose, inputs: list[str], weights: tuple[Path, Path]) -> Agent:
    agent = Agent(small(compose, inputs), SPEC, *weights)
    agent.controller.parameters = random_parameters(agent.controller.size)
    return agent


def play(agent: Agent, frames: np.ndarray) -> np.ndarray:
    agent.begin()
    return np.stack([agent.act(frame) for frame in frames])


@torch.no_grad()
def by_hand(
    inputs: list[str], parameters: np.ndarray, vision: ConvVAE, memory: MDNLSTM, frames: np.ndarray
) -> np.ndarray:
    """Actions for these frames. h and c are found anew for every frame, from all the frames and actions before."""
    size = sum({"z": LATENT, "h": HIDDEN, "c": HIDDEN}[name] for name in inputs)
    weights, bias = parameters[: ACTIONS * size].reshape(ACTIONS, size), parameters[ACTIONS * size :]
    z = torch.cat([vision.encode(to_unit(torch.from_numpy(frame[None]))).mu for frame in frames])
    actions: list[np.ndarray] = []
    for t in range(len(frames)):
        state = memory.initial_state(1)
        if t:
            state = memory.unroll(z[None, :t], torch.from_numpy(np.stack(actions))[None])[1]
        known = {"z": z[t].numpy(), "h": state.h[0].numpy(), "c": state.c[0].numpy()}
        x = np.concatenate([known[name] for name in inputs])
        actions.append(np.tanh(weights @ x + bias).astype(np.float32))
    return np.stack(actions)


@pytest.mark.parametrize("inputs", INPUTS)
def test_actions_follow_from_z_and_the_state_before_the_frame(
    compose: Compose, weights: tuple[Path, Path], inputs: list[str]
) -> None:
    agent, frames = make_agent(compose, inputs, weights), random_frames(5)
    expected = by_hand(inputs, agent.controller.parameters, agent.vision, agent.memory, frames)
    actions = play(agent, frames)
    assert actions.dtype == np.float32 and actions.shape == (5, ACTIONS)
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", INPUTS)
def test_a_controller_has_a_weight_for_every_input(compose: Compose, inputs: list[str]) -> None:
    sizes = {"z": 32, "h": 256, "c": 256}
    config = compose("env=car_racing", "scale=smoke", f"controller.inputs=[{','.join(inputs)}]")
    assert make_controller(config, 3).size == 3 * (sum(sizes[name] for name in inputs) + 1)


def test_the_first_action_knows_no_history(compose: Compose, weights: tuple[Path, Path]) -> None:
    agent, frames = make_agent(compose, ["z", "h"], weights), random_frames(3)
    size = LATENT + HIDDEN
    only_h = agent.controller.parameters.reshape(-1).copy()
    only_h[: ACTIONS * size].reshape(ACTIONS, size)[:, :LATENT] = 0
    only_h[ACTIONS * size :] = 0
    agent.controller.parameters = only_h
    actions = play(agent, frames)
    assert actions[0].tolist() == [0.0, 0.0], "h is zero before the first frame"
    assert np.all(actions[1:] != 0)
    other = frames.copy()
    other[1] = 255 - other[1]
    np.testing.assert_array_equal(play(agent, other)[:2], actions[:2])
    assert not np.isclose(play(agent, other)[2], actions[2]).all()


def test_a_new_episode_begins_with_nothing_remembered(compose: Compose, weights: tuple[Path, Path]) -> None:
    agent, frames = make_agent(compose, ["z", "h", "c"], weights), random_frames(4)
    first = play(agent, frames)
    assert np.array_equal(play(agent, frames), first)
    agent.begin()
    assert agent.state.h.count_nonzero() == agent.state.c.count_nonzero() == 0


def test_same_weights_and_seed_give_the_same_episode(compose: Compose, weights: tuple[Path, Path]) -> None:
    config = small(compose, ["z", "h"])
    parameters = random_parameters(make_controller(config, ACTIONS).size)
    episode = AgentEpisode(config_to_json(config), *weights, max_steps=12)
    returns = [episode(("any", parameters, seed)) for seed in (5, 6, 5)]
    assert returns[0] == returns[2] != returns[1]
    env = make_env(config.env, max_steps=12)
    agent = Agent(config, env.task_spec, *weights)
    agent.controller.parameters = parameters
    assert score(env, agent, 5) == returns[0], "an agent kept between episodes plays like a new one"
    env.close()
    assert episode(("any", -parameters, 5)) != returns[0], "the parameters handed over must be the ones that play"
