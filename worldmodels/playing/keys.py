"""From keys that are held down to actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodels.envs import ActionCodec, task_class
from worldmodels.envs.actions import BoxCodec, ChoiceCodec
from worldmodels.envs.config import EnvConfig
from worldmodels.envs.keys import DOWN, KEYS, LEFT, RIGHT, UP, Keys
from worldmodels.utils.checks import require

CHANGES_RESULTS = False
ARROWS = ((LEFT, RIGHT), (DOWN, UP))
PAIRS = tuple(zip("asdfghjkl", "qwertyuio", strict=True))  # down and up
ROW = "1234567890qwertyuiopasdfghjklzxcvbnm"
CHOSEN = 2.0  # more than the 1 of an option that is chosen without a key


@dataclass(frozen=True)
class Key:
    """``key`` as a browser names it. While it is down, ``values`` are added to the action at ``places``."""

    key: str
    label: str
    places: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class KeyMap:
    """The keys of a task. ``rest``: the action of no key, (A,); with ``stays`` the last action goes on instead."""

    actions: ActionCodec
    keys: tuple[Key, ...]
    rest: tuple[float, ...]
    stays: bool

    def action(self, held: Sequence[str], before: np.ndarray | None = None) -> np.ndarray:
        """The action of the keys that are ``held``, in the order in which they were pressed, ``before`` being the one
        of the step before: (A,) float32. Of several options of a choice, the last key's is taken.
        """
        action = np.array(self.rest if before is None or not self.stays else before, np.float32)
        known = {key.key: key for key in self.keys}
        for order, key in enumerate((known[name] for name in held if name in known), start=1):
            weight = order if isinstance(self.actions, ChoiceCodec) else 1
            action[list(key.places)] += weight * np.array(key.values, np.float32)
        return self.actions.nearest(action)

    def described(self) -> list[dict[str, Any]]:
        """The keys, for a page."""
        return [vars(key) for key in self.keys]


def key_map(env: EnvConfig, actions: ActionCodec) -> KeyMap:
    """The keys that the task's class declares, or those of `KEYS`, where they fit its actions; else some in the
    actions' order. Raises `ConfigError` where the class declares others.
    """
    declared = getattr(task_class(env), "keys", None)
    maps = [declared] if isinstance(declared, Keys) else list(declared or KEYS.get(env.name, []))
    fitting = [keys for keys in maps if _fits(keys, actions)]
    require(
        bool(fitting) or not declared,
        f"env.name={env.name} has keys that do not fit its {actions.size} numbers of an action: expected "
        "worldmodels.envs.keys.Keys with places, or options, below that",
    )
    return _declared(fitting[0], actions) if fitting else _in_order(actions)


def _fits(keys: Keys, actions: ActionCodec) -> bool:
    chooses = isinstance(actions, ChoiceCodec)
    meanings = [meaning for _, meaning in keys.held.values()]
    places = [place for each in meanings for place in ([each] if isinstance(each, int) else each)]
    if keys.rest is not None:
        places.append(keys.rest)
    suits = all(isinstance(each, int) == chooses for each in meanings) and (chooses or keys.rest is None)
    return suits and all(0 <= place < actions.size for place in places)


def _declared(keys: Keys, actions: ActionCodec) -> KeyMap:
    made = []
    for key, (label, meaning) in keys.held.items():
        values = {meaning: CHOSEN} if isinstance(meaning, int) else meaning
        made.append(Key(key, label, tuple(values), tuple(map(float, values.values()))))
    rest = np.zeros(actions.size, np.float32)
    if keys.rest is not None:
        rest[keys.rest] = 1
    stays = isinstance(actions, ChoiceCodec) and keys.rest is None
    return KeyMap(actions, tuple(made), tuple(actions.nearest(rest).tolist()), stays)


def _in_order(actions: ActionCodec) -> KeyMap:
    """Two keys for each continuous action, a key for each option or switch, as far as there are keys."""
    rest = actions.nearest(np.zeros(actions.size, np.float32)).tolist()
    made = []
    if isinstance(actions, BoxCodec):
        pairs = ARROWS if actions.size <= len(ARROWS) else PAIRS
        for place, pair in enumerate(pairs[: actions.size]):
            for key, bound, sign in zip(pair, (actions.low[place], actions.high[place]), "−+", strict=True):
                if bound != rest[place]:
                    made.append(Key(key, f"action {place + 1} {sign}", (place,), (float(bound) - rest[place],)))
    else:
        made = [
            Key(key, label, (place,), (CHOSEN,))
            for place, (key, label) in enumerate(zip(ROW, _options(actions), strict=False))
        ]
    return KeyMap(actions, tuple(made), tuple(rest), isinstance(actions, ChoiceCodec))


def choices(actions: ActionCodec) -> list[int]:
    """Where each choice among options begins in the vector of an action; nothing for other actions."""
    if not isinstance(actions, ChoiceCodec):
        return []
    return np.flatnonzero(actions.nearest(np.zeros(actions.size, np.float32))).tolist()  # of equal ones, the first


def _options(actions: ActionCodec) -> list[str]:
    """What each number of an action stands for, in words."""
    starts = choices(actions)
    if not starts:
        return [f"switch {place + 1}" for place in range(actions.size)]
    named = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], actions.size], strict=True), start=1):
        which = f"choice {number}, " if len(starts) > 1 else ""
        named += [f"{which}option {option}" for option in range(end - start)]
    return named
