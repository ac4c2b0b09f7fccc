"""The rollout engine: whatever is played beside an episode, it goes as if it were played alone."""

import functools
import itertools

import cv2
import gymnasium
import numpy as np
import pytest

from worldmodels.envs import PixelEnv, make_env
from worldmodels.rollouts.engine import Episode, Items, play

COUNT = 11
CAR_LIMITS = (3, 16, 1, 9, 12)


class Scripted:
    """Players that do what they are told, and remember which slots they were asked for and what they were shown."""

    def __init__(self, sees=False):
        self.sees = sees
        self.calls, self.seen = [], {}
        self._playing, self._steps = {}, {}

    def begin(self, slot, player):
        self._playing[slot], self._steps[slot] = player, 0

    def act(self, slots, frames):
        self.calls.append(list(slots))
        assert frames.shape == ((len(slots), 64, 64, 3) if self.sees else (0,))
        actions = []
        for row, slot in enumerate(slots):
            label, script = self._playing[slot]
            self.seen.setdefault(label, []).append(frames[row] if self.sees else None)
            actions.append(script[self._steps[slot]])
            self._steps[slot] += 1
        return np.stack(actions)


class Toy:
    """A task whose rewards are written down; an action is repeated ``repeat`` times."""

    def __init__(self, rewards, repeat=1, terminates=True):
        self._rewards, self._repeat, self._terminates = rewards, repeat, terminates
        self.looks, self.closed = 0, 0

    def begin(self, seed):
        self.steps = 0

    def advance(self, action):
        rewards = self._rewards[self.steps : self.steps + self._repeat]
        self.steps += len(rewards)
        over = self.steps == len(self._rewards)
        return float(sum(rewards)), over and self._terminates, over and not self._terminates, {}

    def look(self):
        self.looks += 1
        return np.full((64, 64, 3), self.steps, np.uint8)

    def state(self):
        return np.array([self.steps], np.float32)

    def close(self):
        self.closed += 1


class Toys:
    """Makes a toy of each length in turn, and keeps them."""

    def __init__(self, lengths):
        self._lengths = iter(lengths)
        self.made = []

    def __call__(self):
        self.made.append(Toy([0.0] * next(self._lengths)))
        return self.made[-1]


def scripted_episodes(seeds, size, steps=1000):
    """Episodes with a script of uniform actions each."""
    scripts = [np.random.default_rng(seed).uniform(-1, 1, (steps, size)).astype(np.float32) for seed in seeds]
    return [Episode(i, seed, (i, script)) for i, (seed, script) in enumerate(zip(seeds, scripts, strict=True))]


def idle_episodes(count):
    """Episodes for toys, which mind no action."""
    return [Episode(i, i, (i, np.zeros((1000, 1), np.float32))) for i in range(count)]


def one_at_a_time(config, episode, max_steps=None, repeat=1, patience=None):
    """Return and length of an episode in Gymnasium's own task."""
    env = gymnasium.make(config.id, **config.kwargs)
    env.reset(seed=episode.seed)
    total, steps, unrewarded, done = 0.0, 0, 0, False
    for action in episode.player[1]:
        reward = 0.0
        for _ in range(repeat):
            _, step_reward, terminated, truncated, _ = env.step(action)
            reward, steps, unrewarded = reward + float(step_reward), steps + 1, unrewarded + 1
            done = terminated or truncated or steps == max_steps
            if done:
                break
        total += reward
        if reward > 0:
            unrewarded = 0
        if done or (patience is not None and unrewarded >= patience):
            break
    env.close()
    return total, steps


def record(env, episode, **options):
    """The rollout of one episode, and its players."""
    players = Scripted()
    [(_, played)] = play(Items(iter([episode])), lambda: env, players, 1, record=True, **options)
    return played.rollout


@pytest.fixture
def config(compose):
    return compose("env=lunar_lander").env


@pytest.mark.parametrize("slots", [1, 3, 8])
@pytest.mark.parametrize("sees", [False, True])
def test_landings_are_those_of_a_plain_loop_for_any_number_of_slots(config, slots, sees):
    episodes = scripted_episodes(range(20, 20 + COUNT), 2)
    expected = {episode.label: one_at_a_time(config, episode) for episode in episodes}
    players = Scripted(sees)
    played = list(play(Items(iter(episodes)), functools.partial(make_env, config), players, slots))
    assert len(played) == COUNT
    assert {episode.label: (result.total, result.steps) for episode, result in played} == expected
    assert len({steps for _, steps in expected.values()}) > COUNT // 2, "episodes of different lengths"
    assert all(result.rollout is None for _, result in played)


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_drives_are_those_of_a_plain_loop_for_any_number_of_slots(compose, slots):
    config = compose("env=car_racing").env
    episodes = scripted_episodes(range(40, 45), 3)
    expected = {
        episode.label: one_at_a_time(config, episode, limit)
        for episode, limit in zip(episodes, CAR_LIMITS, strict=True)
    }
    tasks = (make_env(config, max_steps=limit) for limit in CAR_LIMITS)
    played = list(play(Items(iter(episodes)), lambda: next(tasks), Scripted(), slots))
    assert {episode.label: (result.total, result.steps) for episode, result in played} == expected
    assert {steps for _, steps in expected.values()} == set(CAR_LIMITS)


def test_players_are_shown_the_frames_of_their_own_episode(compose):
    """Against Gymnasium's own pictures, scaled by hand; a lander's flames fade with each picture taken."""
    config = compose("env=lunar_lander", "env.renderer=gymnasium").env
    episodes, players = scripted_episodes(range(4), 2), Scripted(sees=True)
    played = list(play(Items(iter(episodes)), functools.partial(make_env, config), players, 3))
    assert len({result.steps for _, result in played}) > 2
    for episode, result in played:
        theirs = gymnasium.make(config.id, render_mode="rgb_array", **config.kwargs)
        theirs.reset(seed=episode.seed)
        assert len(players.seen[episode.label]) == result.steps
        for frame, action in zip(players.seen[episode.label], episode.player[1], strict=False):
            np.testing.assert_array_equal(frame, cv2.resize(theirs.render(), (64, 64), interpolation=cv2.INTER_AREA))
            theirs.step(action)
        theirs.close()


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_a_slot_that_is_free_is_filled_at_once(slots):
    lengths = [5, 1, 3, 2, 2, 7, 1, 4, 1, 1, 6]
    players, episodes = Scripted(), idle_episodes(len(lengths))
    order = [episode.label for episode, _ in play(Items(iter(episodes)), Toys(lengths), players, slots)]
    assert sorted(order) == list(range(len(lengths)))
    ends, expected = [0] * slots, [0] * sum(lengths)  # when a slot is free again; how many are busy at each step
    for length in lengths:
        start = min(ends)
        ends[ends.index(start)] = start + length
        for step in range(start, start + length):
            expected[step] += 1
    assert [len(call) for call in players.calls] == [busy for busy in expected if busy]
    for call in players.calls:
        assert len(set(call)) == len(call)
        assert set(call) <= set(range(slots))


def test_an_episode_that_comes_later_joins_those_under_way():
    """A feed without an item now is asked again at each step, and waited for only when nothing is under way."""

    class Trickle:
        """The second item comes at the third time of asking, the third only to who waits."""

        def __init__(self):
            self._items, self.asked, self.checks = idle_episodes(3), [], 0

        def take(self, wait):
            self.asked.append(wait)
            ready = wait or len(self.asked) == 4
            return self._items.pop(0) if ready and self._items else None

        def check(self):
            self.checks += 1

    feed, players = Trickle(), Scripted()
    ends = [(episode.label, played.steps) for episode, played in play(feed, Toys([5, 2, 3]), players, 4)]
    assert ends == [(1, 2), (0, 5), (2, 3)]
    assert [len(call) for call in players.calls] == [1, 1, 2, 2, 1, 1, 1, 1]
    assert [number for number, wait in enumerate(feed.asked) if wait] == [0, 7, 11]
    assert feed.checks == len(players.calls)


def test_no_episodes_need_no_task():
    def never():
        raise AssertionError("a task was made")

    assert list(play(Items(iter([])), never, Scripted(), 4)) == []


def test_a_row_is_the_frame_before_an_action_and_what_it_led_to(compose):
    config = compose("env=lunar_lander", "env.renderer=gymnasium").env
    episodes = scripted_episodes((11, 12, 13), 2)
    played = list(play(Items(iter(episodes)), functools.partial(make_env, config), Scripted(), 2, record=True))
    assert len(played) == 3
    for episode, result in played:
        rollout = result.rollout
        theirs = gymnasium.make(config.id, render_mode="rgb_array", **config.kwargs)
        state, _ = theirs.reset(seed=episode.seed)
        ends = [False, False]
        for t, action in enumerate(episode.player[1][: len(rollout.rewards)]):
            assert not any(ends)
            frame = cv2.resize(theirs.render(), (64, 64), interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(rollout.frames[t], frame)
            np.testing.assert_array_equal(rollout.states[t], state)
            np.testing.assert_array_equal(rollout.actions[t], action)
            state, reward, *ends, _ = theirs.step(action)
            assert rollout.rewards[t] == np.float32(reward)
            assert [rollout.terminated[t], rollout.truncated[t]] == ends
        assert ends == [True, False]
        theirs.close()


def test_recorded_frames_are_those_that_players_see(config):
    """Also as the default renderer draws them, which keeps one canvas for all tasks of a process."""
    episodes, players = scripted_episodes((1, 2, 3), 2), Scripted(sees=True)
    for episode, result in play(
        Items(iter(episodes)), functools.partial(make_env, config, max_steps=70), players, 2, record=True
    ):
        env = make_env(config, max_steps=70)
        frame, _ = env.reset(seed=episode.seed)
        for t, action in enumerate(episode.player[1][: result.steps]):
            np.testing.assert_array_equal(result.rollout.frames[t], frame)
            np.testing.assert_array_equal(players.seen[episode.label][t], frame)
            frame, *_ = env.step(action)
        env.close()


def test_arrays_are_equally_long_and_typed(config):
    [episode] = scripted_episodes([0], 2)
    rollout = record(make_env(config, max_steps=6), episode)
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
    [episode] = scripted_episodes([0], 2)
    rollout = record(make_env(config, max_steps=1), episode)
    assert rollout.frames.shape == (1, 64, 64, 3)
    assert rollout.rewards.shape == (1,)


def test_the_return_is_the_sum_of_the_rewards(config):
    [episode] = scripted_episodes([3], 2)
    [(_, played)] = play(Items(iter([episode])), lambda: make_env(config), Scripted(), 1, record=True)
    assert played.total == pytest.approx(played.rollout.rewards.sum(dtype=np.float64), rel=1e-5)
    assert played.steps == len(played.rollout.rewards)


def test_the_seed_decides_the_episode(config):
    [seven], [eight] = (scripted_episodes([seed], 2) for seed in (7, 8))
    eight = Episode(0, 8, seven.player)  # the same script
    first, again, other = (record(make_env(config, max_steps=20), episode) for episode in (seven, seven, eight))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.states, again.states)
    assert not np.array_equal(first.states, other.states)


# Rewards of a toy, and after how many steps a patience of 3 ends it.
HOPELESS = [
    ([0.0] * 9, 3),
    ([-1.0] * 9, 3),
    ([1.0] + [0.0] * 9, 4),
    ([0.0, 0.0, 1.0] + [0.0] * 9, 6),  # in the nick of time
    ([0.0, 0.0, 0.0, 1.0, 0.0], 3),  # too late
    ([0.0, 1e-9, 0.0, 0.0, 2.0] + [-0.1] * 9, 8),
    ([1.0] * 9, 9),
    ([0.0] * 2, 2),
]


@pytest.mark.parametrize(("rewards", "steps"), HOPELESS)
def test_patience_ends_an_episode_after_so_many_steps_without_reward(rewards, steps):
    [episode] = idle_episodes(1)
    [(_, played)] = play(Items(iter([episode])), lambda: Toy(rewards), Scripted(), 1, record=True, patience=3)
    assert played.steps == steps == len(played.rollout.rewards)
    assert played.total == sum(rewards[:steps])
    over = steps == len(rewards)
    assert played.rollout.truncated.tolist() == [False] * (steps - 1) + [not over]
    assert played.rollout.terminated.tolist() == [False] * (steps - 1) + [over]


def test_an_end_of_the_tasks_own_is_no_cut():
    [episode] = idle_episodes(1)
    [(_, played)] = play(Items(iter([episode])), lambda: Toy([0.0] * 3), Scripted(), 1, record=True, patience=3)
    assert played.rollout.terminated.tolist() == [False, False, True]
    assert not played.rollout.truncated.any()


def test_without_patience_an_episode_goes_on_to_its_end():
    [episode] = idle_episodes(1)
    [(_, played)] = play(Items(iter([episode])), lambda: Toy([0.0] * 300, terminates=False), Scripted(), 1)
    assert played.steps == 300


@pytest.mark.parametrize(("repeat", "patience", "steps"), [(4, 10, 12), (4, 12, 12), (4, 13, 16), (5, 1, 5)])
def test_patience_counts_the_tasks_steps_not_the_agents(repeat, patience, steps):
    [episode] = idle_episodes(1)
    [(_, played)] = play(Items(iter([episode])), lambda: Toy([0.0] * 100, repeat), Scripted(), 1, patience=patience)
    assert played.steps == steps


def test_patience_starts_anew_with_each_episode():
    players, toys = Scripted(), iter([Toy([0.0] * 2), Toy([0.0] * 9), Toy([0.0] * 9)])
    ends = [
        played.steps for _, played in play(Items(iter(idle_episodes(3))), lambda: next(toys), players, 1, patience=3)
    ]
    assert ends == [2, 3, 3]


@pytest.mark.parametrize(("repeat", "patience"), [(1, 3), (2, 5), (3, 4)])
def test_patience_in_a_task_is_that_of_a_plain_loop(compose, repeat, patience):
    config = compose("env=lunar_lander", f"env.action_repeat={repeat}").env
    episodes = scripted_episodes(range(9), 2)
    expected = {e.label: one_at_a_time(config, e, repeat=repeat, patience=patience) for e in episodes}
    played = play(Items(iter(episodes)), functools.partial(make_env, config), Scripted(), 3, patience=patience)
    results = {episode.label: (result.total, result.steps) for episode, result in played}
    assert results == {label: (pytest.approx(total, rel=1e-12), steps) for label, (total, steps) in expected.items()}
    free = {e.label: one_at_a_time(config, e, repeat=repeat)[1] for e in episodes}
    assert any(results[label][1] < free[label] for label in free), "some were cut"
    assert len({steps for _, steps in results.values()}) > 3


def test_nothing_is_drawn_for_players_that_do_not_look(config, monkeypatch):
    def look(self):
        raise AssertionError("a frame was drawn")

    episodes = scripted_episodes(range(4), 2)
    expected = {episode.label: one_at_a_time(config, episode)[0] for episode in episodes}
    monkeypatch.setattr(PixelEnv, "look", look)
    played = play(Items(iter(episodes)), functools.partial(make_env, config), Scripted(), 2)
    assert {episode.label: result.total for episode, result in played} == expected


@pytest.mark.parametrize(("sees", "recorded"), [(True, False), (False, True), (True, True)])
def test_a_frame_is_drawn_once_for_each_action(sees, recorded):
    """No more: drawing costs most of a step, and ages what is only for show."""
    toys = Toys([4, 1, 3])
    list(play(Items(iter(idle_episodes(3))), toys, Scripted(sees), 2, record=recorded))
    assert [toy.looks for toy in toys.made] == [4, 1, 3]


def test_every_episode_has_a_task_of_its_own_which_is_closed_at_its_end():
    toys, ended = Toys([3, 1, 2, 2]), 0
    for _ in play(Items(iter(idle_episodes(4))), toys, Scripted(), 2):
        ended += 1
        assert sum(toy.closed > 0 for toy in toys.made) == ended
    assert len(toys.made) == ended == 4


def test_tasks_are_closed_when_the_caller_has_enough():
    toys = Toys(itertools.repeat(3))
    results = play(Items(iter(idle_episodes(100))), toys, Scripted(), 4)
    next(results)
    results.close()
    assert len(toys.made) == 4
    assert all(toy.closed for toy in toys.made)


@pytest.mark.parametrize("culprit", ["act", "check", "advance", "begin"])
def test_tasks_are_closed_when_something_fails(culprit, monkeypatch):
    def fail(*arguments):
        raise ValueError(culprit)

    toys, players, feed = Toys([5, 5, 5]), Scripted(), Items(iter(idle_episodes(3)))
    monkeypatch.setattr({"act": Scripted, "check": Items}.get(culprit, Toy), culprit, fail)
    with pytest.raises(ValueError, match=culprit):
        list(play(feed, toys, players, 3))
    assert toys.made
    assert all(toy.closed for toy in toys.made)
