"""Keys that are held down, and the actions that they are."""

import numpy as np
import pytest
from gymnasium.spaces import Box
from toys import ACTIONS

from worldmodels.config import conf_dir
from worldmodels.envs import Task, action_codec, task_spec
from worldmodels.envs.config import EnvConfig
from worldmodels.envs.keys import KEYS, Keys
from worldmodels.playing.keys import key_map
from worldmodels.utils.errors import ConfigError

SHIPPED = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))
PACKAGES = {"pong": "ale_py", "take_cover": "vizdoom"}


@pytest.mark.parametrize("task", [*SHIPPED, "lunar_lander discrete", "car_racing discrete"])
def test_every_task_of_ours_has_keys_of_its_own_each_an_action_of_its_own(task, compose):
    name, _, discrete = task.partition(" ")
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    env = compose(f"env={name}", *(["env.kwargs.continuous=false", "env.squash=[]"] if discrete else [])).env
    keys = key_map(env, task_spec(env).actions)
    assert [key.label for key in keys.keys] in [[label for label, _ in each.held.values()] for each in KEYS[name]]
    actions = {tuple(keys.action([key.key]).tolist()) for key in keys.keys}
    assert len(actions | {keys.rest}) == len(keys.keys) + (not keys.stays)
    for action in actions:
        assert tuple(keys.actions.nearest(np.float32(action)).tolist()) == action


def of(name, compose):
    env = compose(f"env={name}").env
    return key_map(env, task_spec(env).actions)


def test_keys_of_pedals_and_wheel_add_up(compose):
    keys = of("car_racing", compose)
    for held, action in {
        (): [0, 0, 0],
        ("ArrowLeft", "ArrowUp"): [-1, 1, 0],
        ("ArrowLeft", "ArrowRight", "x"): [0, 0, 0],
        ("ArrowDown",): [0, 0, 0.8],
    }.items():
        np.testing.assert_allclose(keys.action(held), action)
        assert keys.action(held).dtype == np.float32


def test_of_a_choice_the_last_key_counts_and_without_one_it_rests_or_stays(compose):
    push = of("cart_pole", compose)
    right = push.action(["ArrowRight"])
    assert right.tolist() == push.action([], right).tolist() == push.action(["ArrowLeft", "ArrowRight"], right).tolist()
    assert push.action(["ArrowRight", "ArrowLeft"], right).tolist() == [1, 0]
    pytest.importorskip("vizdoom")
    dodge = of("take_cover", compose)
    assert dodge.action([], dodge.action(["ArrowLeft"])).tolist() == [0, 1, 0]


def toy(kind, **settings):
    env = EnvConfig(name="toy", **settings)
    return key_map(env, action_codec(kind if isinstance(kind, Box) else ACTIONS[kind], env))


def test_other_tasks_have_keys_in_the_order_of_their_actions():
    box = toy("box")
    assert {key.key: box.action([key.key]).tolist() for key in box.keys} == {
        "ArrowLeft": [-1, 0],
        "ArrowRight": [1, 0],
        "ArrowUp": [0, 2],  # the lower bound is where it rests
    }
    many = toy(Box(np.float32([-1] * 4), np.float32([1] * 4)))
    assert [key.key for key in many.keys] == ["a", "q", "s", "w", "d", "e", "f", "r"]
    choice = toy("discrete")
    assert [(key.key, key.label) for key in choice.keys] == [(str(i + 1), f"option {i}") for i in range(3)]
    choices = toy("multi_discrete")
    assert [key.label for key in choices.keys][1:3] == ["choice 1, option 1", "choice 2, option 0"]
    second = choices.action(["2"])
    assert choices.action(["5"], second).tolist() == [0, 1, 0, 0, 1]
    switches = toy("multi_binary")
    assert switches.action(["1", "3"]).tolist() == [1, 0, 1]
    assert switches.action([], switches.action(["1"])).tolist() == [0, 0, 0]


class Keyed(Task):
    name = "toy"
    keys = Keys({"n": ("north", 1)}, rest=0)


class Misfit(Task):
    name = "toy"
    keys = (Keys({"n": ("north", 3)}), Keys({"n": ("north", {0: 1})}), Keys({"n": ("north", 1)}, rest=3))


def test_a_task_of_ones_own_declares_its_keys():
    keys = toy("discrete", task=f"{__name__}.Keyed")
    assert (keys.action(["n"]).tolist(), keys.action([]).tolist()) == ([0, 1, 0], [1, 0, 0])
    with pytest.raises(ConfigError, match="keys that do not fit its 3 numbers"):
        toy("discrete", task=f"{__name__}.Misfit")
