"""Any Gymnasium environment as a task: pictures from wherever they are, actions of any kind, a state if it has one."""

import dataclasses

import cv2
import gymnasium
import numpy as np
import pytest
import toys
from gymnasium.utils.env_checker import check_env

from worldmodels.envs import TASKS, checked_spec, make_env, task_class, task_path
from worldmodels.envs.config import EnvConfig
from worldmodels.envs.task import Task
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import counted


def toy(kwargs=None, **values):
    return EnvConfig(**{"name": "toy", "id": "toys:Toy-v0", "kwargs": kwargs or {}, **values})


def refused(config, match):
    with pytest.raises(ConfigError, match=match) as caught:
        checked_spec(config)
    assert "\n" not in str(caught.value)


def bar(row, channels=3):
    shown = np.zeros((toys.HEIGHT, toys.WIDTH), np.uint8)
    shown[row] = 200
    small = cv2.resize(shown, (64, 64), interpolation=cv2.INTER_AREA)
    return np.repeat(small[..., None], channels, axis=2)


PICTURES = {
    "rendered in colour": ({"drawn": "rgb"}, "auto"),
    "rendered in grey": ({"drawn": "grey"}, "auto"),
    "rendered in one channel": ({"drawn": "one_channel"}, "render"),
    "observed in colour": ({"observes": "rgb"}, "auto"),
    "observed in grey": ({"observes": "grey"}, "observation"),
    "observed in one channel": ({"observes": "one_channel"}, "auto"),
    "a key of the observation": ({"observes": "dict"}, "camera"),
    "rendered beside a dict": ({"observes": "dict"}, "auto"),
    "rendered beside a map": ({"observes": "small"}, "auto"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_picture_becomes_64_by_64_in_three_channels(case):
    kwargs, picture = PICTURES[case]
    env = make_env(toy(kwargs, picture=picture), pictures=True)
    frame, _ = env.reset(seed=0)
    for row in range(4):
        np.testing.assert_array_equal(frame, bar(row))
        assert frame.dtype == np.uint8 and frame.flags.c_contiguous
        large = env.render()
        assert large.shape == (toys.HEIGHT, toys.WIDTH, 3) and large[row].min() == 200
        frame = env.step(env.action_space.sample())[0]


def test_the_observation_and_the_rendered_picture_can_be_chosen_apart():
    kwargs = {"observes": "rgb", "drawn": "floats"}  # who renders it is told that it is no picture
    assert make_env(toy(kwargs)).reset()[0].max() > 0
    with pytest.raises(ConfigError, match=r"env\.picture=render .* float32 of shape \(40, 30, 3\).*expected uint8"):
        make_env(toy(kwargs, picture="render")).reset()


def test_a_task_that_cannot_render_shows_what_it_observes():
    env = make_env(toy({"observes": "small"}, id="toys:Undrawn-v0"), pictures=True)
    assert env.reset(seed=0)[0].shape == (64, 64, 3)
    assert env.render().shape == (5, 5, 3)
    refused(toy({}, id="toys:Undrawn-v0"), r"env\.picture=auto .*render, which is nothing .*: expected uint8")


def test_pictures_that_are_none_are_refused():
    refused(toy({"drawn": "floats"}), r"float32 of shape \(40, 30, 3\) .*: expected uint8 of shape \(H, W, 3\)")
    refused(toy(picture="observation"), r"env\.picture=observation .*float32 of shape \(3,\)")
    refused(toy({"observes": "dict"}, picture="speed"), r"env\.picture=speed .*float32 of shape \(3,\)")
    refused(
        toy({"observes": "dict"}, picture="lidar"),
        r"env\.picture=lidar is no part of .*: expected render, observation, camera, speed",
    )


@pytest.mark.parametrize("actions", sorted(set(toys.ACTIONS) - {"half_open", "text"}))
def test_the_task_is_given_its_own_actions(actions):
    """The toy refuses any other."""
    env = make_env(toy({"actions": actions}))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    codec = env.task_spec.actions
    chosen = [codec.sample(rng) for _ in range(5)]
    for vector in chosen:
        assert env.advance(vector)[:3] == (1.0, False, False)
    for given, vector in zip(env.task.world.actions, chosen, strict=True):
        np.testing.assert_array_equal(codec.encode(given), vector)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("actions", ["integers", "discrete", "multi_discrete", "multi_binary"])
def test_gymnasiums_own_check_passes(actions):
    check_env(make_env(toy({"actions": actions})), skip_render_check=True)


def test_actions_of_another_kind_are_refused():
    refused(toy({"actions": "half_open"}), "without bounds")
    refused(toy({"actions": "text"}), "expected Box, Discrete, MultiDiscrete or MultiBinary")


def test_a_vector_that_is_observed_is_the_state_and_nothing_else_is():
    env = make_env(toy())
    env.reset(seed=0)
    env.advance(env.task_spec.action_low)
    assert env.task_spec.state_names == ("observation0", "observation1", "observation2")
    np.testing.assert_array_equal(env.state(), np.full(3, 0.001, np.float32))
    for kind in ("rgb", "dict", "small"):
        env = make_env(toy({"observes": kind}))
        env.reset(seed=0)
        assert env.task_spec.state_names == ()
        assert (env.state().shape, env.state().dtype) == ((0,), np.float32)


def test_a_task_of_ones_own_says_what_it_knows():
    config = toy(task="toys.ToyState")
    assert task_class(config) is __import__("toys").ToyState
    assert checked_spec(config).state_names == ("first", "second", "third")
    assert checked_spec(toy(task={"_target_": "toys.ToyNames"})).state_names == ("first", "second", "third")
    refused(toy({"observes": "small"}, task="toys.ToyState"), r"state of toys\.ToyState has 25 .*: expected 3")
    refused(
        toy(task="toys.ToyUnknownTarget"),
        r"toys\.ToyUnknownTarget has no target fourth .*: expected one of first, second, third",
    )


def test_a_class_that_is_no_task_is_refused():
    refused(toy(task="toys.Toy"), r"env\.task=toys\.Toy is no task: expected a subclass of worldmodels\.envs\.Task")
    refused(toy(task="toys.Nothing"), r"env\.task=toys\.Nothing is not there")
    refused(toy(task="nowhere.Nothing"), r"env\.task=nowhere\.Nothing cannot be imported")


def test_the_class_is_that_of_the_name_unless_one_is_chosen():
    assert task_path(toy()) == "worldmodels.envs.task.Task"
    assert task_class(toy()) is Task
    for name, path in TASKS.items():
        assert task_path(toy(name=name)) == task_path(toy(task=name)) == path
        assert task_class(toy(name=name)).name == name
    assert task_path(toy(name="lunar_lander", task="toys.ToyState")) == "toys.ToyState"


def test_a_class_counts_only_where_it_was_chosen():
    ours = counted(EnvConfig(), "evaluate")
    assert not {"task", "picture", "discrete"} & set(ours)
    assert ours["renderer"] == counted(EnvConfig(renderer="fast"))["renderer"] == "fast"
    assert counted(toy(task="lunar_lander"))["task"] == "lunar_lander"
    assert counted(toy(task="toys.ToyState"))["task"] == {"_target_": "toys.ToyState"}
    assert counted(toy(picture="camera"))["picture"] == "camera"
    assert "discrete" not in counted(toy(discrete="threshold"), "collect")
    assert counted(toy(discrete="threshold"), "controller")["discrete"] == "threshold"


def test_a_scene_is_needed_to_draw_fast_and_no_other_picture():
    refused(toy(renderer="fast"), r"env\.renderer=fast has no scene for env\.name=toy: .*use env\.renderer=auto")


@pytest.mark.parametrize("name", TASKS)
def test_our_tasks_draw_fast_unless_told_otherwise(name, compose):
    config = compose(f"env={name}").env
    assert config.renderer == "auto"
    action = np.zeros(checked_spec(config).action_size)
    shown = []
    for renderer in ("auto", "fast"):
        env = make_env(dataclasses.replace(config, renderer=renderer))
        shown.append([env.reset(seed=3)[0], env.step(action)[0]])
    np.testing.assert_array_equal(*shown)
    chosen = dataclasses.replace(config, renderer="fast", picture="render")
    with pytest.raises(ConfigError, match=r"env\.renderer=fast .*env\.picture=render"):
        make_env(chosen)


def test_the_large_picture_of_a_race_can_be_what_the_agent_sees(compose):
    config = compose("env=car_racing", "env.picture=render").env
    theirs = gymnasium.make(config.id, render_mode="rgb_array", **config.kwargs)
    theirs.reset(seed=1)
    expected = cv2.resize(np.asarray(theirs.render()), (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(make_env(config).reset(seed=1)[0], expected)


@pytest.mark.parametrize("name", TASKS)
def test_an_episode_that_nobody_looks_at_pays_the_same(name, compose):
    config = compose(f"env={name}").env
    blind, seen = make_env(config, drawn=False), make_env(config)
    rng = np.random.default_rng(0)
    actions = [seen.task_spec.actions.sample(rng) for _ in range(60)]
    for seed in (0, 1):
        blind.begin(seed), seen.reset(seed=seed)
        for action in actions:
            after = blind.advance(action)
            assert after[:3] == seen.step(action)[1:4]
            np.testing.assert_array_equal(blind.state(), seen.state())
            if after[1] or after[2]:
                break
    with pytest.raises(RuntimeError, match="drawn=False"):
        blind.look()


@pytest.mark.parametrize("name", ["car_racing", "lunar_lander"])
def test_our_tasks_have_discrete_actions_too(name, compose):
    config = compose(f"env={name}", "env.kwargs.continuous=false").env
    spec = checked_spec(config)
    assert (spec.action_size, spec.outputs) == {"car_racing": (5, 5), "lunar_lander": (4, 4)}[name]
    env, theirs = make_env(config), gymnasium.make(config.id, **config.kwargs)
    env.reset(seed=1), theirs.reset(seed=1)
    for action in (1, 3, 2, 0):
        assert env.step(spec.actions.encode(action))[1:4] == theirs.step(action)[1:4]


def test_arguments_are_refused_in_the_tasks_own_words(compose):
    config = compose("env=lunar_lander", "+env.kwargs.gravity=5").env
    refused(config, r"env\.kwargs=.*'gravity': 5.* does not suit env\.id=LunarLander-v3 \(.*between -12 and 0.*\)")
    refused(toy({"length": 0}), r"does not suit env\.id=toys:Toy-v0 \(length=0 is too short for a toy\)")
    refused(toy({"colour": 1}), r"does not suit .*unexpected keyword argument 'colour'")


def test_a_fault_of_the_task_that_nobody_asked_for_stays_one():
    gymnasium.register("Broken-v0", broken)
    with pytest.raises(KeyError, match="a fault"):
        checked_spec(toy(id="Broken-v0"))


def broken(render_mode=None):
    raise KeyError("a fault")


def test_episodes_of_one_frame_are_refused_at_the_start(compose):
    config = compose("env=lunar_lander", "+env.kwargs.max_episode_steps=1").env
    refused(config, r"ends its episodes after 1 steps.*: expected two frames.*max_episode_steps to 2 or more")
    repeated = dataclasses.replace(toy({"max_episode_steps": 4}), action_repeat=4)
    refused(repeated, r"after 4 steps, which is one frame with env\.action_repeat=4")
    checked_spec(dataclasses.replace(repeated, action_repeat=3))
    refused(toy(id="toys:Limited-v0"), "after 1 steps")


@pytest.mark.parametrize("missing", ["nowhere:Mine-v0", "toys:Mine-v0", "toys:nowhere/Toy-v0", "Toy-v7"])
def test_an_id_that_is_not_there_is_refused(missing):
    refused(toy(id=missing), rf"^env\.id={missing} .*expected")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_id_without_a_version_is_the_latest():
    assert checked_spec(toy(id="toys:Toy")).action_size == 3


def test_a_task_that_declares_places_is_refused_with_the_new_name(monkeypatch):
    monkeypatch.setattr(toys.ToyNames, "places", ("first",), raising=False)
    with pytest.raises(ConfigError, match="visible_targets"):
        task_class(toy(task="toys.ToyNames"))


class Faulty(toys.Toy):
    """A toy with one mistake of those that a first task has, ``fault``."""

    def __init__(self, fault="", **kwargs):
        super().__init__(**kwargs)
        self.fault = fault

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if self.fault == "four":
            return observation, reward, terminated, info
        if self.fault == "late" and self.steps == 3:
            reward = np.nan
        return observation, {"none": None, "nan": np.nan}.get(self.fault, reward), terminated, truncated, info


class Blank(toys.Toy):
    """It says nothing of render modes, and does not render."""

    metadata = {}  # noqa: RUF012
    render = gymnasium.Env.render


gymnasium.register("Faulty-v0", Faulty)
gymnasium.register("Blank-v0", Blank)
FAULTY = {
    "four": r"cannot be stepped \(ValueError: not enough values.*\): expected of step a tuple of five",
    "none": r"cannot be stepped \(TypeError: .*NoneType.*\): expected of step a tuple of five.* the reward a number",
    "nan": r"gave a reward of nan at step 1 of an episode: expected finite numbers",
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_step_that_is_none_is_refused_at_the_start(fault):
    refused(toy({"fault": fault}, id="Faulty-v0"), rf"^env\.id=Faulty-v0 {FAULTY[fault]}")


def test_a_reward_that_is_not_finite_is_refused_when_it_comes():
    env = make_env(toy({"fault": "late"}, id="Faulty-v0", action_repeat=2))
    env.reset(seed=0)
    env.step(env.task_spec.action_low)
    with pytest.raises(ConfigError, match="gave a reward of nan at step 4 of an episode"):
        env.step(env.task_spec.action_low)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_task_that_cannot_be_drawn_is_refused():
    refused(toy(id="Blank-v0"), "takes the picture from render, which is nothing with env.id=Blank-v0: expected")
