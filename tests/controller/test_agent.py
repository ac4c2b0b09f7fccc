"""The agent against its equations: a_t = squash(W [z_t, h_t] + b), h_t from the frames before frame t. A slot's actions
are the same to the last bit whoever plays beside it.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from helpers import box_spec

from worldmodels.config import Config, config_to_json
from worldmodels.controller.agent import Agent, AgentEpisodes, controller_size
from worldmodels.envs import make_env, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.network import MDNLSTM
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import Executor, SerialExecutor
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.transfer.weights import save_weights
from worldmodels.vision.network import ConvVAE
from worldmodels.vision.scaling import to_unit

LATENT, HIDDEN, ACTIONS = 4, 6, 2
SPEC = box_spec("lunar_lander", [-1] * ACTIONS, [1] * ACTIONS, ["tanh"] * ACTIONS)
INPUTS = [["z"], ["z", "h"], ["z", "h", "c"]]
PRECISIONS = ["32-true", "bf16-mixed"]
Compose = Callable[..., Config]
Files = tuple[Path, Path]


@pytest.fixture
def weights(compose: Compose, tmp_path: Path) -> Files:
    """V's and M's files."""
    return save(small(compose, ["z"]), tmp_path)


@pytest.fixture(scope="module")
def large(compose: Compose, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Files]:
    """The published sizes: small matrices are multiplied another way."""
    config = compose("env=lunar_lander", "scale=smoke", "controller.inputs=[z,h,c]", "trainer.precision=32-true")
    return config, save(config, tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="module")
def episodes(large: tuple[Config, Files]) -> list[Episode]:
    return [Episode(i, 100 + i, random_parameters(large[0], i, 0.3)) for i in range(36)]


@pytest.fixture(scope="module")
def alone(large: tuple[Config, Files], episodes: list[Episode]) -> dict[object, float]:
    """Returns of the episodes, one after another."""
    work = AgentEpisodes(config_to_json(large[0]), *large[1], max_steps=9, slots=1, patience=2)
    return {episode.label: value for episode, value in SerialExecutor().map(work, episodes)}


@pytest.fixture(scope="module")
def pools() -> Iterator[dict[int, Executor]]:
    with closing(ProcessExecutor(1)) as one, closing(ProcessExecutor(2)) as two:
        yield {0: SerialExecutor(), 1: one, 2: two}


def save(config: Config, folder: Path) -> Files:
    save_weights(make_vision(config), folder / "vision.safetensors")
    save_weights(make_memory(config, ACTIONS), folder / "memory.safetensors")
    return folder / "vision.safetensors", folder / "memory.safetensors"


def small(compose: Compose, inputs: list[str], *overrides: str) -> Config:
    return compose(
        "env=lunar_lander",
        "scale=smoke",
        f"vae.network.latent_size={LATENT}",
        f"memory.network.hidden_size={HIDDEN}",
        f"controller.inputs=[{','.join(inputs)}]",
        "trainer.precision=32-true",
        *overrides,
    )


def random_parameters(config: Config, seed: int = 1, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=controller_size(config, ACTIONS)) * scale


def random_frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def act_alone(agent: Agent, parameters: np.ndarray, frames: np.ndarray, slot: int = 0) -> np.ndarray:
    """Actions of one episode, with nothing beside it."""
    agent.begin(slot, parameters)
    return np.concatenate([agent.act([slot], frame[None]) for frame in frames])


@torch.no_grad()
def by_hand(
    inputs: list[str], parameters: np.ndarray, vision: ConvVAE, memory: MDNLSTM | None, frames: np.ndarray
) -> np.ndarray:
    """Actions for these frames. h and c are found anew for every frame, from all the frames and actions before; an
    agent without M reads z alone.
    """
    size = sum({"z": LATENT, "h": HIDDEN, "c": HIDDEN}[name] for name in inputs)
    weights, bias = parameters[: ACTIONS * size].reshape(ACTIONS, size), parameters[ACTIONS * size :]
    z = torch.cat([vision.encode(to_unit(torch.from_numpy(frame[None]))).mu for frame in frames])
    actions: list[np.ndarray] = []
    for t in range(len(frames)):
        known = {"z": z[t].numpy()}
        if memory is not None:
            state = memory.initial_state(1)
            if t:
                state = memory.unroll(z[None, :t], torch.from_numpy(np.stack(actions))[None])[1]
            known |= {"h": state.h[0].numpy(), "c": state.c[0].numpy()}
        x = np.concatenate([known[name] for name in inputs])
        actions.append(np.tanh(weights @ x + bias).astype(np.float32))
    return np.stack(actions)


def schedule(lengths: list[int], slots: int, seed: int) -> list[list[tuple[int, int]]]:
    """Which (slot, episode) pairs act at each step: episodes of these lengths, each in a free slot drawn by lot."""
    rng = np.random.default_rng(seed)
    waiting, playing, calls = list(range(len(lengths))), {}, []
    while waiting or playing:
        for slot in rng.permutation(slots).tolist():
            if slot not in playing and waiting:
                playing[slot] = [waiting.pop(0), 0]
        order = rng.permutation(list(playing)).tolist()
        calls.append([(slot, playing[slot][0]) for slot in order])
        for slot in order:
            playing[slot][1] += 1
            if playing[slot][1] == lengths[playing[slot][0]]:
                del playing[slot]
    return calls


def act_together(
    agent: Agent, parameters: list[np.ndarray], frames: list[np.ndarray], slots: int, seed: int
) -> tuple[list[np.ndarray], set[int]]:
    """Actions of episodes that share the agent's slots, and how many acted at once."""
    actions: list[list[np.ndarray]] = [[] for _ in frames]
    calls = schedule([len(part) for part in frames], slots, seed)
    for call in calls:
        for slot, episode in call:
            if not actions[episode]:
                agent.begin(slot, parameters[episode])
        shown = np.stack([frames[episode][len(actions[episode])] for _, episode in call])
        for (_, episode), action in zip(call, agent.act([slot for slot, _ in call], shown), strict=True):
            actions[episode].append(action)
    return [np.stack(part) for part in actions], {len(call) for call in calls}


@pytest.mark.parametrize("inputs", INPUTS)
def test_actions_follow_from_z_and_the_state_before_the_frame(
    compose: Compose, weights: Files, inputs: list[str]
) -> None:
    config, frames = small(compose, inputs), random_frames(5)
    agent, parameters = Agent(config, SPEC, *weights), random_parameters(config)
    expected = by_hand(inputs, parameters, agent.vision, agent.memory, frames)
    actions = act_alone(agent, parameters, frames)
    assert actions.dtype == np.float32 and actions.shape == (5, ACTIONS)
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("slots", [3, 19])
def test_each_slot_has_its_own_controller_and_history(
    compose: Compose, weights: Files, inputs: list[str], slots: int
) -> None:
    """Episodes of different lengths come and go; 19 slots are more than one batch of V and M."""
    config = small(compose, inputs)
    lengths = [4, 1, 6, 2, 3, 5, 1, 2] + [3] * (slots - 3)
    parameters = [random_parameters(config, seed) for seed in range(len(lengths))]
    frames = [random_frames(length, seed) for seed, length in enumerate(lengths)]
    agent = Agent(config, SPEC, *weights, slots)
    together, _ = act_together(agent, parameters, frames, slots, seed=0)
    for own, seen, actions in zip(parameters, frames, together, strict=True):
        expected = by_hand(inputs, own, agent.vision, agent.memory, seen)
        np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_action_is_the_same_to_the_last_bit_in_any_slot_and_company(
    large: tuple[Config, Files], precision: str
) -> None:
    config, files = large
    config.trainer.precision = precision
    lengths = [1 + 7 * i % 8 for i in range(24)]
    parameters = [random_parameters(config, seed, 0.3) for seed in range(len(lengths))]
    frames = [random_frames(length, seed) for seed, length in enumerate(lengths)]
    agent = Agent(config, SPEC, *files, slots=20)
    alone = [
        act_alone(agent, own, seen, slot % 20) for slot, (own, seen) in enumerate(zip(parameters, frames, strict=True))
    ]
    company: set[int] = set()
    for slots, seed in ((20, 0), (17, 1), (7, 2), (3, 3)):
        together, counts = act_together(agent, parameters, frames, slots, seed)
        company |= counts
        for actions, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(actions.view(np.uint32), expected.view(np.uint32))
    assert {1, 2, 3, 17, 20} <= company
    assert len(np.unique(np.concatenate(alone))) > 100, "actions that are not all at a bound"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_first_action_is_the_same_at_every_place_of_every_batch(
    large: tuple[Config, Files], precision: str
) -> None:
    config, files = large
    config.trainer.precision = precision
    agent, frames = Agent(config, SPEC, *files, slots=20), random_frames(20)
    parameters = random_parameters(config, scale=0.3)
    expected = act_alone(agent, parameters, frames[:1])[0]
    for active in range(1, 21):
        for slot in range(20):
            agent.begin(slot, parameters)
        place = active - 1  # the last of the batch, where a kernel's remainder is
        shown = np.concatenate([frames[1:active], frames[:1]])
        slots = np.random.default_rng(active).permutation(20)[:active].tolist()
        np.testing.assert_array_equal(agent.act(slots, shown)[place], expected)


@pytest.mark.parametrize(("workers", "counts"), [(0, (3, 16, 33)), (1, (16,)), (2, (1, 5))])
def test_returns_are_the_same_to_the_last_bit_for_any_number_of_slots_and_workers(
    large: tuple[Config, Files],
    episodes: list[Episode],
    alone: dict[object, float],
    pools: dict[int, Executor],
    workers: int,
    counts: tuple[int, ...],
) -> None:
    """Whole episodes, of different lengths, so that the company changes."""
    config, files = large
    assert len(set(alone.values())) == 36
    for slots in counts:
        many = AgentEpisodes(config_to_json(config), *files, max_steps=9, slots=slots, patience=2)
        results = [(episode.label, value) for episode, value in pools[workers].map(many, episodes)]
        assert len(results) == 36
        assert dict(results) == alone, f"{slots} slots"


def test_a_return_is_the_sum_of_the_tasks_rewards_for_the_agents_actions(compose: Compose, weights: Files) -> None:
    """Against Gymnasium's own task; the frames alone come from here."""
    config = small(compose, ["z", "h"])
    parameters = random_parameters(config)
    work = AgentEpisodes(config_to_json(config), *weights, max_steps=25, slots=2)
    [(_, value)] = SerialExecutor().map(work, [Episode("any", 5, parameters)])
    env, theirs = make_env(config.env), gymnasium.make(config.env.id, **config.env.kwargs)
    frame, _ = env.reset(seed=5)
    theirs.reset(seed=5)
    agent, total = Agent(config, SPEC, *weights), 0.0
    agent.begin(0, parameters)
    for _ in range(25):
        action = agent.act([0], frame[None])[0]
        frame, *_ = env.step(action)
        total += float(theirs.step(action)[1])
    assert value == total


def test_patience_and_length_are_the_searchs_own(compose: Compose, weights: Files) -> None:
    """Both differ between two works that share an agent."""
    config = small(compose, ["z"])
    episode = Episode("any", 5, random_parameters(config))

    def value(max_steps: int, patience: int | None) -> float:
        work = AgentEpisodes(config_to_json(config), *weights, max_steps, 1, patience)
        [(_, value)] = SerialExecutor().map(work, [episode])
        return value

    values = [value(12, None), value(30, None), value(30, 1)]
    assert len(set(values)) == 3
    assert [value(12, None), value(30, None), value(30, 1)] == values


@pytest.mark.parametrize("inputs", INPUTS)
def test_a_controller_has_a_weight_for_every_input(compose: Compose, inputs: list[str]) -> None:
    sizes = {"z": 32, "h": 256, "c": 256}
    config = compose("env=car_racing", "scale=smoke", f"controller.inputs=[{','.join(inputs)}]")
    assert controller_size(config, 3) == 3 * (sum(sizes[name] for name in inputs) + 1)


def test_the_first_action_knows_no_history(compose: Compose, weights: Files) -> None:
    config, frames = small(compose, ["z", "h"]), random_frames(3)
    agent, size = Agent(config, SPEC, *weights), LATENT + HIDDEN
    only_h = random_parameters(config)
    only_h[: ACTIONS * size].reshape(ACTIONS, size)[:, :LATENT] = 0
    only_h[ACTIONS * size :] = 0
    actions = act_alone(agent, only_h, frames)
    assert actions[0].tolist() == [0.0, 0.0], "h is zero before the first frame"
    assert np.all(actions[1:] != 0)
    other = frames.copy()
    other[1] = 255 - other[1]
    np.testing.assert_array_equal(act_alone(agent, only_h, other)[:2], actions[:2])
    assert not np.isclose(act_alone(agent, only_h, other)[2], actions[2]).all()


def test_a_new_episode_begins_with_nothing_remembered_and_leaves_the_others_alone(
    compose: Compose, weights: Files
) -> None:
    config, frames = small(compose, ["z", "h", "c"]), random_frames(4)
    agent, parameters = Agent(config, SPEC, *weights, slots=2), random_parameters(config)
    first = act_alone(agent, parameters, frames)
    assert np.array_equal(act_alone(agent, parameters, frames), first)
    act_alone(agent, parameters, frames, slot=1)
    beside = [part[1].clone() for part in agent.state]
    agent.begin(0, parameters)
    assert agent.state.h[0].count_nonzero() == agent.state.c[0].count_nonzero() == 0
    for part, kept in zip(agent.state, beside, strict=True):
        assert kept.count_nonzero() == HIDDEN
        assert torch.equal(part[1], kept)


def test_same_weights_and_seed_give_the_same_episode(compose: Compose, weights: Files) -> None:
    config = small(compose, ["z", "h"])
    parameters = random_parameters(config)
    work = AgentEpisodes(config_to_json(config), *weights, max_steps=12, slots=1)

    def play(*episodes: Episode) -> list[float]:
        return [value for _, value in SerialExecutor().map(work, episodes)]

    returns = play(*(Episode("any", seed, parameters) for seed in (5, 6, 5)))
    assert returns[0] == returns[2] != returns[1], "an agent kept between episodes plays like a new one"
    [other] = play(Episode("any", 5, -parameters))
    assert other != returns[0], "the parameters handed over must be the ones that play"


@pytest.mark.parametrize(("rule", "outputs"), [("argmax", 4), ("threshold", 1)])
def test_an_agent_chooses_among_discrete_actions_and_m_reads_them_one_hot(
    compose: Compose, tmp_path: Path, rule: str, outputs: int
) -> None:
    config = small(compose, ["z", "h"], "env.kwargs.continuous=false", f"env.discrete={rule}")
    spec = task_spec(config.env)
    assert (spec.action_size, spec.outputs) == (4, outputs)
    save_weights(make_vision(config), tmp_path / "vision.safetensors")
    save_weights(make_memory(config, spec.action_size), tmp_path / "memory.safetensors")
    agent = Agent(config, spec, tmp_path / "vision.safetensors", tmp_path / "memory.safetensors")
    parameters = np.random.default_rng(3).normal(size=controller_size(config, outputs)) * 3
    assert parameters.size == outputs * (LATENT + HIDDEN + 1)
    frames = random_frames(12)
    actions = act_alone(agent, parameters, frames)
    weights, bias = parameters[:-outputs].reshape(outputs, -1), parameters[-outputs:]
    assert agent.memory is not None
    with torch.no_grad():
        state = agent.memory.initial_state(1)
        for frame, action in zip(frames, actions, strict=True):
            z = agent.vision.encode(to_unit(torch.from_numpy(frame[None]))).mu
            found = weights @ torch.cat([z, state.h], dim=1)[0].numpy() + bias
            index = found.argmax() if rule == "argmax" else min(int((np.tanh(found[0]) + 1) / 2 * 4), 3)
            np.testing.assert_array_equal(action, np.eye(4, dtype=np.float32)[index])
            state = agent.memory.step(z, torch.from_numpy(action[None]), state)
