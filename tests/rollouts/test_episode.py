"""One recorded episode."""

import gymnasium
import numpy as np
import pytest

from worldmodels.envs import make_env
from worldmodels.rollouts.episode import record, score


class Scripted:
    """A policy that does what it is told and remembers what it was shown."""

    def __init__(self, size):
        self.script = np.random.default_rng(0).uniform(-1, 1, (1000, size)).astype(np.float32)

    def begin(self):
        self.seen = []

    def act(self, frame):
        self.seen.append(frame)
        return self.script[len(self.seen) - 1]


@pytest.fixture
def config(compose):
    return compose("env=lunar_lander").env


def test_a_row_is_the_frame_before_an_action_and_what_it_led_to(config):
    policy = Scripted(2)
    rollout = record(make_env(config), policy, seed=11)
    theirs = gymnasium.make(config.id, **config.kwargs)
    state, _ = theirs.reset(seed=11)
    for t, action in enumerate(policy.script[: len(rollout.rewards)]):
        np.testing.assert_array_equal(rollout.states[t], state)
        np.testing.assert_array_equal(rollout.frames[t], policy.seen[t])
        np.testing.assert_array_equal(rollout.actions[t], action)
        state, reward, *ends, _ = theirs.step(action)
        assert rollout.rewards[t] == np.float32(reward)
        assert [rollout.terminated[t], rollout.truncated[t]] == ends
    assert ends == [True, False]


def test_arrays_are_equally_long_and_typed(config):
    rollout = record(make_env(config, max_steps=6), Scripted(2), seed=0)
    shapes = {name: (array.shape, array.dtype.name) for name, array in rollout.arrays().items()}
    assert shapes == {
        "frames": ((6, 64, 64, 3), "uint8"),
        "states": ((6, 8), "float32"),
        "actions": ((6, 2), "float32"),
        "rewards": ((6,), "float32"),
        "terminated": ((6,), "bool"),
        "truncated": ((6,), "bool"),
    }
    assert rollout.truncated.tolist() == [False] * 5 + [True]
    assert not rollout.terminated.any()


def test_an_episode_of_one_step(config):
    rollout = record(make_env(config, max_steps=1), Scripted(2), seed=0)
    assert rollout.frames.shape == (1, 64, 64, 3)
    assert rollout.rewards.shape == (1,)


def test_the_score_is_the_sum_of_the_rewards(config):
    env = make_env(config)
    rewards = record(env, Scripted(2), seed=3).rewards
    assert score(env, Scripted(2), seed=3) == pytest.approx(rewards.sum(dtype=np.float64), rel=1e-5)


def test_the_same_seed_gives_the_same_episode(config):
    env = make_env(config, max_steps=20)
    first, again, other = (record(env, Scripted(2), seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.states, again.states)
    assert not np.array_equal(first.states, other.states)
