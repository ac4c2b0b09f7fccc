"""The rollout engine: several episodes in lockstep, so that one call of a network serves all of them.

Episodes end at different times; a free slot takes the next one at once. The result of an episode depends on the episode
alone, as long as players treat each slot independently: neither the number of slots matters, nor which episodes share
them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from worldmodels.envs import PixelEnv

NO_FRAMES = np.empty(0, dtype=np.uint8)


@dataclass(frozen=True)
class Episode:
    """An episode to play: the task's seed, what its player begins with, and a label for whoever asked."""

    label: Any
    seed: int
    player: Any = None


@dataclass(frozen=True)
class Rollout:
    """What happened, T steps long. Row t: the frame before action t, the action, and the reward and ends it led to."""

    frames: np.ndarray  # (T, 64, 64, 3) uint8
    states: np.ndarray  # (T, S) float32
    actions: np.ndarray  # (T, A) float32
    rewards: np.ndarray  # (T,) float32
    terminated: np.ndarray  # (T,) bool
    truncated: np.ndarray  # (T,) bool

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(vars(self))


@dataclass(frozen=True)
class Played:
    """Return (sum of rewards) and length of an episode, in the task's steps; its rollout, if it was recorded."""

    total: float
    steps: int
    rollout: Rollout | None


class Players(Protocol):
    """Chooses the actions in all slots. A slot's actions depend on that slot's episode alone."""

    sees: bool  # whether it looks at the frames; if not, none are drawn for it, and it is given empty ones
    # Optional: ``knows``, whether `act` is given the true states as well, (n, K) float32, as a third argument.

    def begin(self, slot: int, player: Any) -> None:
        """A new episode in ``slot``."""
        ...

    def act(self, slots: Sequence[int], frames: np.ndarray) -> np.ndarray:
        """frames: (n, 64, 64, 3) uint8 of the n slots, or (0,) where it does not look -> actions (n, A) float32."""
        ...


class Feed(Protocol):
    """Where episodes come from."""

    def take(self, wait: bool) -> Any:
        """The next item; None if there is none now, or, with ``wait``, if there will be none."""
        ...

    def check(self) -> None:
        """Raise if nobody wants the results any more. Called at every step."""
        ...


@dataclass(frozen=True)
class Items:
    """A feed from an iterator in this process."""

    items: Iterator[Any]

    def take(self, wait: bool) -> Any:
        return next(self.items, None)

    def check(self) -> None: ...


@dataclass
class _Slot:
    number: int
    episode: Episode
    env: PixelEnv
    frame: np.ndarray | None
    total: float = 0.0
    unrewarded: int = 0  # steps of the task since the last reward above 0
    rows: list[tuple[Any, ...]] = field(default_factory=list)


def play(
    feed: Feed,
    make_env: Callable[[], PixelEnv],
    players: Players,
    slots: int,
    record: bool = False,
    patience: int | None = None,
) -> Iterator[tuple[Episode, Played]]:
    """Play the feed's episodes, each in a task of its own, ``slots`` at a time; yield each as it ends.

    ``patience`` ends an episode after so many steps without a reward above 0.
    """
    free = list(reversed(range(slots)))
    active: list[_Slot] = []
    try:
        while True:
            while free and (episode := feed.take(wait=not active)) is not None:
                env = make_env()  # anew: BipedalWalker's world remembers past a reset
                number = free.pop()
                slot = _Slot(number, episode, env, None)
                active.append(slot)
                env.begin(episode.seed)
                slot.frame = env.look() if players.sees or record else None
                players.begin(number, episode.player)
            if not active:
                return
            feed.check()
            frames = np.stack([slot.frame for slot in active]) if players.sees else NO_FRAMES  # type: ignore[misc]
            known = [np.stack([slot.env.known() for slot in active])] if getattr(players, "knows", False) else []
            actions = players.act([slot.number for slot in active], frames, *known)
            going = []
            for slot, action in zip(active, actions, strict=True):
                if _step(slot, action, players.sees or record, record, patience):
                    going.append(slot)
                    continue
                slot.env.close()
                free.append(slot.number)
                rollout = Rollout(*(np.stack(column) for column in zip(*slot.rows, strict=True))) if record else None
                yield slot.episode, Played(slot.total, slot.env.steps, rollout)
            active = going
    finally:
        for slot in active:
            slot.env.close()


def _step(slot: _Slot, action: np.ndarray, look: bool, record: bool, patience: int | None) -> bool:
    """One step in a slot. Returns whether the episode goes on."""
    env = slot.env
    state = env.state() if record else None
    before = env.steps
    reward, terminated, truncated, _ = env.advance(action)
    slot.total += reward
    slot.unrewarded = 0 if reward > 0 else slot.unrewarded + env.steps - before
    if patience is not None and slot.unrewarded >= patience and not terminated:
        truncated = True
    if record:
        slot.rows.append((slot.frame, state, action, np.float32(reward), terminated, truncated))
    done = terminated or truncated
    if look and not done:
        slot.frame = env.look()
    return not done
