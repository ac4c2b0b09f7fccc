"""The parent's ends of actors on a Ray cluster, with the interfaces of a pipe and of a process."""

import itertools
import os
import pickle
import time
from collections import deque
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from worldmodels.rollouts.actors import Sent
from worldmodels.utils.errors import ConfigError, first_line

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
FETCH_SECONDS = 10.0  # a call for results lasts at most so long


def import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "executor=ray needs Ray, which is not installed: expected the extra ray; run pip install 'worldmodels[ray]'"
        ) from None
    return ray


@dataclass(frozen=True)
class InStore:
    """Work that lies in the object store."""

    key: str
    reference: Any


class ActorPipe:
    """The parent's end of an actor's queues, with the interface of a pipe."""

    def __init__(self, actor: Any) -> None:
        self._ray, self._actor = import_ray(), actor
        self._out: list[bytes] = []
        self._references: dict[str, Any] = {}  # of the works among them
        self._deliveries = itertools.count()
        self._received: deque[bytes] = deque()
        self._fetching: Future[list[bytes]] | None = None
        self.problem: str | None = None  # why the actor is gone

    @property
    def full(self) -> bool:
        """Whether there is something to receive, were it the news that the actor is gone."""
        return bool(self._received) or self.problem is not None

    def send(self, obj: Any, /) -> None:
        session, message = obj
        if isinstance(message, InStore):
            self._references[message.key] = message.reference
            message = Sent(message.key)
        self._out.append(pickle.dumps((session, message)))

    def fetching(self) -> Future[list[bytes]]:
        """Send what is waiting, and return the future of what comes next: waiting for it needs no call of Ray's."""
        if self._out:
            self._actor.deliver.remote(next(self._deliveries), self._out, self._references)
            self._out, self._references = [], {}
        self._fetching = self._fetching or self._fetch()
        return self._fetching

    def _fetch(self) -> Future[list[bytes]]:
        return self._actor.fetch.remote(FETCH_SECONDS).future()

    def take(self) -> None:
        """Take what was fetched."""
        assert self._fetching is not None
        try:
            self._received.extend(self._fetching.result())
        except self._ray.exceptions.RayError as error:  # its node or its process is gone, or what they held
            self.problem = first_line(error)
        self._fetching = None

    def poll(self, timeout: float | None = 0.0, /) -> bool:
        return bool(wait([self], timeout))

    def recv(self) -> Any:
        self.poll(None)
        if not self._received:
            raise EOFError(self.problem)
        return pickle.loads(self._received.popleft())

    def close(self) -> None:
        self._ray.kill(self._actor)


class ActorLife:
    """An actor with the interface of a process."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def kill(self) -> None:
        import_ray().kill(self._actor)

    terminate = kill

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool:
        return False


def wait(pipes: Sequence[ActorPipe], seconds: float | None) -> list[ActorPipe]:
    """Those that have something to receive, as soon as one has, or after so many seconds."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        fetching = {pipe.fetching(): pipe for pipe in pipes if not pipe.full}
        if not (full := [pipe for pipe in pipes if pipe.full]):
            left = None if end is None else max(0.0, end - time.monotonic())
            done, _ = futures.wait(fetching, left, futures.FIRST_COMPLETED)
            if not done:
                return []
            for future in done:
                fetching[future].take()
            full = [pipe for pipe in pipes if pipe.full]
        if full:
            return full
