"""Random policies."""

import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete
from helpers import box_spec

from worldmodels.envs import TaskSpec, action_codec
from worldmodels.envs.config import EnvConfig
from worldmodels.rollouts.config import CollectConfig, HeldoutConfig
from worldmodels.rollouts.engine import NO_FRAMES
from worldmodels.rollouts.policies.base import RandomPlayers, make_players, random_policy
from worldmodels.utils.errors import ConfigError

SPEC = box_spec("car_racing", [-1, 0, 0], [1, 1, 2])
POLICIES = ("uniform", "sticky", "brownian", "biased")


def make_policy(name, seed=0, spec=SPEC, **settings):
    config = CollectConfig(rollouts=2, policy={"_target_": name, **settings}, seed=0)
    return random_policy(config, spec, np.random.default_rng(seed))


def actions(name, count=4000, seed=0, spec=SPEC, **settings):
    policy = make_policy(name, seed, spec, **settings)
    return np.stack([policy.act() for _ in range(count)])


def correlation(values):
    """Of each action with the one before it."""
    return np.array([np.corrcoef(column[:-1], column[1:])[0, 1] for column in values.T])


@pytest.mark.parametrize("name", POLICIES)
def test_actions_are_within_the_bounds_and_use_them(name):
    chosen = actions(name)
    assert chosen.dtype == np.float32
    assert (chosen >= SPEC.action_low).all()
    assert (chosen <= SPEC.action_high).all()
    span = (chosen.max(0) - chosen.min(0)) / (SPEC.action_high - SPEC.action_low)
    assert (span > 0.9).all()


@pytest.mark.parametrize("name", POLICIES)
def test_the_stream_alone_decides(name):
    np.testing.assert_array_equal(actions(name, 50), actions(name, 50))
    assert not np.array_equal(actions(name, 50), actions(name, 50, seed=1))


@pytest.mark.parametrize("persistence", [0.0, 0.5, 0.9])
def test_sticky_repeats_with_its_probability(persistence):
    chosen = actions("sticky", persistence=persistence)
    repeated = (chosen[1:] == chosen[:-1]).all(axis=1).mean()
    assert repeated == pytest.approx(persistence, abs=0.025)


def test_uniform_never_repeats_and_is_not_correlated():
    chosen = actions("uniform")
    assert (chosen[1:] != chosen[:-1]).any(axis=1).all()
    assert np.abs(correlation(chosen)).max() < 0.06
    np.testing.assert_allclose(chosen.mean(0), (SPEC.action_low + SPEC.action_high) / 2, atol=0.05)


def test_brownian_walks():
    chosen = actions("brownian", std=0.1)
    assert correlation(chosen).min() > 0.9
    inside = ((chosen > SPEC.action_low) & (chosen < SPEC.action_high))[1:]
    half = (SPEC.action_high - SPEC.action_low) / 2
    steps = np.diff(chosen, axis=0) / half
    assert [steps[inside[:, i], i].std() for i in range(3)] == pytest.approx([0.1] * 3, rel=0.15)


def test_biased_prefers_an_action_of_its_own_that_often_lies_at_a_bound():
    middles = np.array([np.median(actions("biased", 400, seed, bias=1.0, persistence=0.0), 0) for seed in range(200)])
    low, high = SPEC.action_low, SPEC.action_high
    for bound in (low, high):  # noise at a bound is clipped on one side, so that the median stays near it
        at = (np.abs(middles - bound) < 0.02 * (high - low)).mean(axis=0)
        np.testing.assert_allclose(at, 0.25, atol=0.1)
    spread = actions("biased", 4000, seed=3, bias=1.0, persistence=0.0).std(axis=0) / (high - low)
    assert (spread < 0.051).all()
    chosen = actions("biased", bias=0.0, persistence=0.0)
    np.testing.assert_allclose(chosen.mean(0), (low + high) / 2, atol=0.05)


@pytest.mark.parametrize("name", POLICIES)
def test_each_slot_follows_its_own_stream_whoever_plays_beside_it(name):
    expected = {seed: actions(name, 6, seed) for seed in (1, 2, 3)}
    players = RandomPlayers(5, lambda seed: make_policy(name, seed))
    assert not players.sees
    seeds = {4: 1, 0: 2, 3: 3}
    for slot, seed in seeds.items():
        players.begin(slot, seed)
    rows = {slot: [] for slot in seeds}
    for slots in ([4], [0, 4], [3, 0, 4], [4, 3], [0], [3, 0, 4], [0, 3, 4], [3, 0], [4, 0, 3], [3]):
        chosen = players.act(slots, NO_FRAMES)
        assert (chosen.shape, chosen.dtype) == ((len(slots), 3), np.float32)
        for slot, action in zip(slots, chosen, strict=True):
            rows[slot].append(action)
    for slot, seed in seeds.items():
        np.testing.assert_array_equal(rows[slot][:6], expected[seed])


@pytest.mark.parametrize("name", ["sticky", "brownian"])
def test_an_episode_does_not_go_on_with_the_last_ones_action(name):
    rng = np.random.default_rng(0)
    setting = {"persistence": 0.999} if name == "sticky" else {"std": 1e-6}
    config = CollectConfig(rollouts=2, policy={"_target_": name, **setting}, seed=0)
    players = RandomPlayers(1, lambda player: random_policy(config, SPEC, rng))
    players.begin(0, None)
    first = players.act([0], NO_FRAMES)
    np.testing.assert_allclose(players.act([0], NO_FRAMES), first, atol=1e-4)
    players.begin(0, None)
    assert np.abs(players.act([0], NO_FRAMES) - first).max() > 1e-2


def choosing(space):
    return TaskSpec("toy", action_codec(space, EnvConfig(name="toy")), (), 50)


CHOICES = {"discrete": Discrete(4, start=2), "several": MultiDiscrete([2, 3]), "switches": MultiBinary(3)}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("kind", CHOICES)
def test_choices_are_valid_and_all_of_them_are_made(name, kind):
    space, spec = CHOICES[kind], choosing(CHOICES[kind])
    seeds = range(20 if name == "biased" else 1)
    chosen = np.concatenate([actions(name, 2000 // len(seeds), seed, spec) for seed in seeds])
    assert (chosen.shape, chosen.dtype) == ((2000, spec.action_size), np.float32)
    assert set(np.unique(chosen)) == {0.0, 1.0}
    assert all(space.contains(spec.actions.decode(action)) for action in chosen[:50])
    assert (chosen.mean(axis=0) > 0.1).all()


def test_uniform_choices_are_equally_frequent():
    shares = actions("uniform", spec=choosing(CHOICES["several"])).mean(axis=0)
    np.testing.assert_allclose(shares, [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], atol=0.03)


def test_sticky_choices_repeat_with_their_probability():
    chosen = actions("sticky", spec=choosing(Discrete(4)), persistence=0.5)
    repeated = (chosen[1:] == chosen[:-1]).all(axis=1).mean()
    assert repeated == pytest.approx(0.5 + 0.5 / 4, abs=0.025)


def test_a_walk_over_choices_stays_a_while():
    chosen = actions("brownian", spec=choosing(Discrete(4)), std=0.05).argmax(axis=1)
    assert (chosen[1:] == chosen[:-1]).mean() > 0.9


def test_a_biased_policy_prefers_one_choice_another_one_in_each_rollout():
    preferred = []
    for seed in range(40):
        shares = actions("biased", 300, seed, choosing(Discrete(4)), bias=1.0, persistence=0.0).mean(axis=0)
        assert shares.max() > 0.95
        preferred.append(int(shares.argmax()))
    assert set(preferred) == {0, 1, 2, 3}


class Mistaken:
    """A policy of one's own that gives what it is told to, and NaN from the third step on."""

    def __init__(self, spec, rng, given="nan"):
        self.given, self.step = given, 0

    def act(self):
        self.step += 1
        action = np.full(3, 2.0**99, np.float32)
        if self.given == "nan" and self.step > 2:
            action[1] = np.nan
        return {"none": None, "long": np.zeros(4), "number": 0.5, "words": "left", "list": [0, 1.0, 2]}.get(
            self.given, action
        )


class MistakenSeeing:
    """One that sees, and gives one action for all slots."""

    sees = True

    def __init__(self, spec, slots): ...

    def begin(self, slot, player): ...

    def act(self, slots, frames):
        return np.zeros(3) if len(slots) > 1 else [np.zeros(3), None]


class Uneven:
    """A policy whose actions are of any length."""

    def __init__(self, spec, rng):
        self.rng = rng

    def act(self):
        return np.zeros(self.rng.integers(1, 9))


class Idle:
    def __init__(self, spec): ...


def players_of(name, slots=1, node=CollectConfig, **settings):
    config = node(rollouts=2, policy={"_target_": f"{__name__}.{name}", **settings}, seed=0)
    players = make_players(config, SPEC, slots, lambda number: np.random.default_rng(number))
    for slot in range(slots):
        players.begin(slot, slot)
    return players


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nan", r"act\(\) gave \[6\.\d+e\+29, nan, 6\.\d+e\+29\]: expected finite numbers"),
        ("none", r"act\(\) gave no array of numbers: expected \(3,\) finite numbers"),
        ("long", r"act\(\) gave \(4,\) of float64: expected \(3,\) finite numbers"),
        ("number", r"act\(\) gave \(\) of float64: expected \(3,\)"),
        ("words", r"act\(\) gave \(\) of <U4: expected \(3,\)"),
    ],
)
@pytest.mark.parametrize("node", [CollectConfig, HeldoutConfig])
def test_what_a_policy_of_ones_own_gives_is_checked(given, told, node):
    players = players_of("Mistaken", node=node, given=given)
    with pytest.raises(ConfigError, match=rf"^{node.node}\.policy={__name__}\.Mistaken: {told}"):
        for _ in range(2):
            assert players.act([0], NO_FRAMES).shape == (1, 3)
        players.act([0], NO_FRAMES)


def test_a_list_of_numbers_is_an_action():
    np.testing.assert_array_equal(players_of("Mistaken", given="list").act([0], NO_FRAMES), [[0, 1, 2]])


def test_a_policy_that_sees_gives_an_action_for_each_slot():
    players, frames = players_of("MistakenSeeing", slots=2), np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"gave \(3,\) of float64: expected \(2, 3\) finite numbers"):
        players.act([0, 1], frames)
    with pytest.raises(ConfigError, match=r"gave no array of numbers: expected \(1, 3\) finite numbers"):
        players.act([1], frames[:1])


def test_actions_of_several_lengths_are_refused_in_several_slots():
    with pytest.raises(ConfigError, match=r"Uneven: act\(\) gave no array of numbers: expected \(3,\) finite numbers"):
        players_of("Uneven", slots=2).act([0, 1], NO_FRAMES)


def test_a_policy_without_its_method_is_refused():
    with pytest.raises(ConfigError, match=rf"collect\.policy={__name__}\.Idle has no act"):
        players_of("Idle")
