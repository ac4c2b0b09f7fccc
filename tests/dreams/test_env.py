"""Dreams as environments: Gymnasium's own checker, dreams by hand, and independence of each other."""

import dataclasses
import json
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from helpers import box_spec
from torch import Tensor, nn

import worldmodels  # noqa: F401 - registers the dream
from worldmodels.config import plain
from worldmodels.controller.agent import controller_shape, controller_size
from worldmodels.controller.policy import Controllers
from worldmodels.dreams.core import DreamModel
from worldmodels.dreams.env import DreamEnv, DreamVectorEnv
from worldmodels.dreams.returns import dream_returns
from worldmodels.envs import TaskSpec, action_codec
from worldmodels.envs.config import EnvConfig
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.network import MDNLSTM
from worldmodels.rollouts.storage import split, write_index, write_rollout
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.building import Store
from worldmodels.store.runs import path_from
from worldmodels.transfer.weights import save_weights
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.network import ConvVAE

ID = "worldmodels/Dream-v0"
Z, A, H = 4, 3, 8


class RewardHead(nn.Module):
    """The reward is the mean of h."""

    def mean(self, h: Tensor) -> Tensor:
        return h.mean(-1)


class EndHead(nn.Module):
    def __init__(self, probability: float) -> None:
        super().__init__()
        self.p = probability

    def probability(self, h: Tensor) -> Tensor:
        return torch.full_like(h[..., 0], self.p)


@pytest.fixture
def model(compose):
    """A small untrained M and V, with a reward head."""
    config = compose("vae.network.latent_size=4", "memory.network.hidden_size=8", "env.max_steps=12")
    torch.manual_seed(0)
    memory, vision = MDNLSTM(Z, A, H, mixtures=3).eval(), ConvVAE(Z).eval()
    memory.reward_head = RewardHead()
    rng = np.random.default_rng(0)
    first = rng.normal(size=(2, 5, Z)).astype(np.float32)
    spec = box_spec("car_racing", [-1, 0, 0], [1, 1, 1], config.env.squash)
    return DreamModel(config, spec, vision, memory, *first)


@pytest.fixture
def run(tmp_path, compose):
    """The folder of a run that went as far as memory, untrained. Rollout i's first latent is i + 1, surely; all its
    others are -1."""
    config = compose("env=lunar_lander")
    folder, store = tmp_path / "runs" / "r", Store(tmp_path / "artifacts")
    folder.mkdir(parents=True)

    def encode(place):
        entries = []
        for i in range(5):
            mu = np.full((3, 32), -1, np.float32)
            mu[0] = i + 1
            entries.append(write_rollout(place / f"{i}.h5", {"mu": mu, "log_var": np.full_like(mu, -40)}, i, 0.0))
        write_index(place, entries)
        return {}

    made = {"encode": encode}
    for stage, network in (("vision", make_vision(config)), ("memory", make_memory(config, 2))):
        made[stage] = lambda place, network=network: save_weights(network, place / WEIGHTS) or {}
    stages = {stage: {"artifact": store.build(stage, "x", {}, {}, work, {}).name} for stage, work in made.items()}
    results = {"stages": stages, "artifacts": path_from(folder, store.root), "config": plain(config)}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_a_dream_of_choices_takes_the_nearest_one(model):
    codec = action_codec(gymnasium.spaces.Discrete(A, start=1), EnvConfig(name="toy"))
    chooses = dataclasses.replace(model, spec=TaskSpec("toy", codec, (), 50.0))
    env, other = DreamEnv(chooses), DreamEnv(chooses)
    assert env.action_space == gymnasium.spaces.Box(0, 1, (A,))
    for dream, action in ((env, [0.1, 0.9, 0.3]), (other, codec.encode(2))):
        dream.reset(seed=5)
        dream.seen = dream.step(np.float32(action))[0]
    np.testing.assert_array_equal(env.seen, other.seen)
    population = np.random.default_rng(0).normal(size=(2, controller_size(chooses.config, codec.outputs)))
    assert dream_returns(chooses, population, [1, 2], max_steps=3).shape == (2, 2)


@pytest.mark.parametrize("observation", ["latent", "latent_hidden", "pixels"])
def test_gymnasium_finds_nothing_to_say(run, observation):
    env = gymnasium.make(ID, run=str(run), observation=observation, temperature=1.15, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    assert env.action_space == gymnasium.make("LunarLander-v3", continuous=True).action_space
    assert env.metadata["rewards"] is env.metadata["ends"] is False


def test_a_run_gives_first_frames_of_its_training_rollouts(run):
    model = DreamModel.of(run)
    training, held_out = split(range(5), model.config.memory.validation_fraction)
    assert held_out
    assert sorted(model.start_mu[:, 0]) == [i + 1 for i in training]
    env = gymnasium.make("worldmodels:" + ID, run=model)
    seen = {round(float(env.reset(seed=seed)[0].mean()), 3) for seed in range(40)}
    assert seen == {i + 1.0 for i in training}
    assert model.max_steps == env.unwrapped.model.config.env.max_steps == 1000


def test_importing_the_package_stays_light():
    code = "import worldmodels, sys; assert not {'torch', 'h5py', 'worldmodels.dreams'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cold_dream_by_hand(model):
    """τ → 0: z follows the likeliest components' means; h is what C sees; the reward is the head's of the new h."""
    env = DreamEnv(model, temperature=0.001, observation="latent_hidden")
    seen, _ = env.reset(seed=3)
    z, state = torch.from_numpy(seen[None, :Z]), model.memory.initial_state(1)
    assert not seen[Z:].any()
    env.action_space.seed(0)
    for t in range(12):
        action = env.action_space.sample()
        given = action if t else np.float32([7, -7, 7])  # beyond the bounds is at them
        action = action if t else np.float32([1, 0, 1])
        seen, reward, terminated, truncated, _ = env.step(given)
        with torch.no_grad():
            state = model.memory.step(z, torch.from_numpy(action[None]), state)
            parts = model.memory.mixture(state.h, z)
        z = torch.take_along_dim(parts.mu, parts.log_pi.argmax(-1, keepdim=True), -1).squeeze(-1)
        np.testing.assert_allclose(seen[:Z], z[0], atol=0.2)  # √τ = 0.03, σ about 1
        np.testing.assert_allclose(seen[Z:], state.h[0], atol=1e-6)
        assert reward == pytest.approx(float(state.h.mean()), abs=1e-6)
        z = torch.from_numpy(seen[None, :Z])
        assert (terminated, truncated) == (False, t == 11)


@pytest.mark.parametrize(("observation", "count"), [("latent_hidden", 1), ("latent_hidden", 70), ("pixels", 3)])
def test_an_environment_knows_nothing_of_the_others(model, observation, count):
    """Environment i of a batch is the single one of seed s + i, bit for bit, whatever the number."""
    model.memory.end_head = EndHead(0.05)
    actions = np.random.default_rng(0).uniform(0, 1, (14, 70, A)).astype(np.float32)
    batch = DreamVectorEnv(count, run=model, observation=observation)
    assert batch.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for i in {0, count - 1}:
        single = DreamEnv(model, observation=observation)
        rows, _ = batch.reset(seed=5)
        row, _ = single.reset(seed=5 + i)
        over, ends = False, 0
        for t in range(14):
            assert rows in batch.observation_space
            assert np.array_equal(rows[i], row)
            rows, *outcome, _ = batch.step(actions[t, :count])
            if over:  # the step after an end is a reset
                (row, _), expected = single.reset(), (0.0, False, False)
            else:
                row, *expected, _ = single.step(actions[t, i])
            assert tuple(x[i] for x in outcome) == tuple(expected)
            over = expected[1] or expected[2]
            ends += over
        assert ends >= 1


def test_the_same_step_may_reset_and_no_step_may(model):
    actions = np.zeros((2, A), np.float32)
    same = DreamVectorEnv(2, run=model, max_steps=3, autoreset_mode="SameStep")
    never = DreamVectorEnv(2, run=model, max_steps=3, autoreset_mode=AutoresetMode.DISABLED)
    for env in (same, never):
        env.reset(seed=1)
        for _ in range(2):
            env.step(actions)
    first, _, _, truncated, infos = same.step(actions)
    last, *_ = never.step(actions)
    assert truncated.all()
    assert infos["_final_obs"].all() and infos["_start"].all()
    assert np.array_equal(np.stack(infos["final_obs"]), last)
    assert not np.isclose(first, last).any()
    with pytest.raises(ResetNeeded):
        never.step(actions)
    rows, _ = never.reset(options={"reset_mask": np.array([False, True])})
    assert np.array_equal(rows, np.stack([last[0], first[1]]))
    with pytest.raises(ResetNeeded, match=r"\[0\]"):
        never.step(actions)


def test_gymnasium_makes_the_batch_itself(model):
    batch = gymnasium.make_vec(ID, num_envs=2, run=model, render_mode="rgb_array")
    assert isinstance(batch, DreamVectorEnv)
    rows, _ = batch.reset(seed=[4, 9])
    assert np.array_equal(rows[1], DreamEnv(model).reset(seed=9)[0])
    pictures = batch.render()
    with torch.no_grad():
        decoded = model.vision.decode(torch.from_numpy(rows)) * 255
    for picture, expected in zip(pictures, decoded, strict=True):
        assert np.abs(picture - expected.movedim(0, -1).numpy()).max() <= 0.501
    with pytest.raises(ValueError, match="expected 2 seeds"):
        batch.reset(seed=[1])


def test_ends_come_as_often_as_the_head_says(model):
    model.memory.end_head = EndHead(0.3)
    batch = DreamVectorEnv(2000, run=model, autoreset_mode=AutoresetMode.DISABLED)
    batch.reset(seed=0)
    terminated = batch.step(np.zeros((2000, A), np.float32))[2]
    assert terminated.mean() == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 2000) ** 0.5)
    for threshold, ends in ((0.29, True), (0.31, False)):
        env = DreamEnv(model, end_threshold=threshold)
        env.reset(seed=0)
        assert env.step(np.zeros(A, np.float32))[2] is ends


def test_heads_do_not_change_what_is_dreamt(model):
    seen = []
    for probability in (None, 1e-9):
        model.memory.end_head = None if probability is None else EndHead(probability)
        env = DreamEnv(model)
        env.reset(seed=0)
        seen.append(np.stack([env.step(np.zeros(A, np.float32))[0] for _ in range(5)]))
    assert np.array_equal(*seen)


@pytest.mark.parametrize(("inputs", "hidden"), [(["z"], None), (["z", "h"], None), (["z", "h", "c"], None), (["z"], 5)])
def test_a_population_scores_as_each_would_alone(model, inputs, hidden):
    model.config.controller.inputs, model.config.controller.phases = inputs, []
    model.config.controller.hidden = hidden
    model.memory.end_head = EndHead(0.1)
    population = np.random.default_rng(1).normal(size=(3, controller_size(model.config, A)))
    returns = dream_returns(model, population, [7, 8], temperature=1.15)
    assert np.array_equal(dream_returns(model, population[1:2], [8], temperature=1.15), returns[1:2, 1:])
    for row, parameters in enumerate(population):
        for column, seed in enumerate([7, 8]):
            alone, squash = Controllers(1, controller_shape(model.config, A)), model.spec.actions.decide
            alone.set(0, parameters)
            env = DreamEnv(model, temperature=1.15, observation="latent_hidden")
            seen, _ = env.reset(seed=seed)
            total, over = 0.0, False
            while not over:
                known = {"z": seen[:Z], "h": seen[Z:], "c": env._dreams.state.c[0].numpy()}
                x = np.concatenate([known[name] for name in inputs]).astype(np.float64)
                seen, reward, terminated, truncated, _ = env.step(squash(alone([0], x[None]))[0])
                total, over = total + reward, terminated or truncated
            assert returns[row, column] == pytest.approx(total, rel=1e-12)
    assert len(np.unique(returns)) == returns.size


def test_nonsense_is_refused(model, tmp_path):
    for arguments, got in [
        ({"temperature": 0}, "temperature=0"),
        ({"observation": "words"}, "observation=words"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"end_threshold": 0.0}, "end_threshold=0.0"),
        ({"render_mode": "human"}, "render_mode=human"),
    ]:
        for make in (DreamEnv, lambda **rest: DreamVectorEnv(2, **rest)):
            with pytest.raises(ConfigError, match=f"{got} .*expected"):
                make(run=model, **arguments)
    with pytest.raises(ConfigError, match="is no run"):
        DreamEnv(tmp_path)
    with pytest.raises(ResetNeeded):
        DreamEnv(model).step(np.zeros(A, np.float32))
    with pytest.raises(ConfigError, match="expected \\(P, "):
        dream_returns(model, np.zeros((2, 5)), [0])
    model.memory.reward_head = None
    with pytest.raises(ConfigError, match=r"predicts no reward.*or env\.step_reward"):
        dream_returns(model, np.zeros((1, controller_size(model.config, A))), [0])
