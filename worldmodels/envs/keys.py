"""The keys with which a person acts in a task, for ``python -m worldmodels.play``; one map for each kind of actions.

A task of one's own declares ``keys`` in its `worldmodels.envs.Task`, a `Keys` or several; without, its actions get keys
in their order (`worldmodels.playing.keys`).
"""

from collections.abc import Mapping
from typing import NamedTuple

CHANGES_RESULTS = False  # what a person does by hand


class Keys(NamedTuple):
    """``held``: what each key does while it is down, in a word or two, and the action. A key is named by the letter or
    digit, or as browsers do (``ArrowLeft``). Of continuous actions the values that it sets, by their places; all others
    are as near 0 as they can be, and keys of one place are added. Of a choice the number of the option, counted from
    0; without a key the ``rest`` is chosen, and where that is None, what was chosen last.
    """

    held: Mapping[str, tuple[str, Mapping[int, float] | int]]
    rest: int | None = None


LEFT, RIGHT, UP, DOWN = "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"

KEYS: dict[str, list[Keys]] = {
    "car_racing": [
        Keys(
            {
                LEFT: ("steer left", {0: -1}),
                RIGHT: ("steer right", {0: 1}),
                UP: ("gas", {1: 1}),
                DOWN: ("brake", {2: 0.8}),
            }
        ),
        Keys({LEFT: ("steer left", 2), RIGHT: ("steer right", 1), UP: ("gas", 3), DOWN: ("brake", 4)}, rest=0),
    ],
    "lunar_lander": [
        Keys({LEFT: ("turn left", {1: -1}), RIGHT: ("turn right", {1: 1}), UP: ("main engine", {0: 1})}),
        Keys({LEFT: ("turn left", 1), RIGHT: ("turn right", 3), UP: ("main engine", 2)}, rest=0),
    ],
    "bipedal_walker": [
        Keys(
            {
                "q": ("hip 1 forward", {0: 1}),
                "a": ("hip 1 back", {0: -1}),
                "w": ("knee 1 straight", {1: 1}),
                "s": ("knee 1 bent", {1: -1}),
                "o": ("hip 2 forward", {2: 1}),
                "k": ("hip 2 back", {2: -1}),
                "p": ("knee 2 straight", {3: 1}),
                "l": ("knee 2 bent", {3: -1}),
            }
        )
    ],
    "take_cover": [Keys({LEFT: ("left", 0), RIGHT: ("right", 2)}, rest=1)],
    "pendulum": [Keys({LEFT: ("anticlockwise", {0: 2}), RIGHT: ("clockwise", {0: -2})})],
    "mountain_car": [Keys({LEFT: ("left", {0: -1}), RIGHT: ("right", {0: 1})})],
    "cart_pole": [Keys({LEFT: ("left", 0), RIGHT: ("right", 1)})],
    "pong": [Keys({UP: ("up", 2), DOWN: ("down", 3), " ": ("serve", 1)}, rest=0)],
}

ACTIONS = {  # names of the numbers of an action; of other tasks they have numbers
    "car_racing": ("steer", "gas", "brake"),
    "lunar_lander": ("main engine", "side engines"),
    "bipedal_walker": ("hip 1", "knee 1", "hip 2", "knee 2"),
}
