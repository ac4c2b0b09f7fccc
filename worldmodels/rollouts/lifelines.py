"""What a command on a Ray cluster hangs on: the head's server, and the node on its own machine.

Where Ray has lost one of them, it ends the whole process without an exception. So they are asked before Ray is.
"""

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from worldmodels.utils.errors import Failure

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
ANSWER_SECONDS = 5.0  # for a connection
PAUSE_SECONDS = 1.0  # between two questions
HEAD_SECONDS = 20.0  # that the head may be away, a third of what Ray grants it; this machine's node is gone at once

Place = tuple[str, int] | str  # host and port, or the path of a socket
_lost: list[str] = []  # what this process has lost: like its connection to a cluster, for good


class Lifelines:
    """``places``: where each answers, and how many seconds it may be away."""

    def __init__(self, places: Mapping[str, tuple[Place, float]]) -> None:
        self._places = dict(places)
        self._asked = time.monotonic()
        self._away: dict[str, float] = {}  # since when those that do not answer have been asked

    @classmethod
    def of(cls, ray: Any) -> "Lifelines":
        """Those of the cluster that this process has joined; of one at ``ray://`` none, whose loss is an exception."""
        from ray.util.client import ray as client

        if client.is_connected():
            return cls({})
        context = ray.get_runtime_context()
        [node] = [each for each in ray.nodes() if each["NodeID"] == context.get_node_id()]
        return cls(
            {
                "its node on this machine": (node["RayletSocketName"], 0.0),
                "its head": (place(context.gcs_address), HEAD_SECONDS),
            }
        )

    def require(self, at_once: bool = False) -> None:
        """Raise `Failure` where one of them has gone; ``at_once``: as of now, not of a second ago."""
        if at_once or time.monotonic() - self._asked >= PAUSE_SECONDS:
            for name, (where, seconds) in self._places.items():
                if answers(where):
                    self._away.pop(name, None)
                elif time.monotonic() - self._away.setdefault(name, time.monotonic()) >= seconds:
                    _lost.append(name)
            self._asked = time.monotonic()
        require_none_lost()


def lost() -> bool:
    return bool(_lost)


def require_none_lost() -> None:
    if _lost:
        raise Failure(
            f"the Ray cluster has lost {_lost[0]}, which answers no more: expected a cluster that stays; the same "
            "command goes on where it was, on another cluster or with executor=process"
        )


def leave() -> None:
    """End the process before Ray takes leave of a cluster that is gone: it would crash."""
    if _lost:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def place(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, also of [IPv6]:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def answers(where: Place) -> bool:
    """Whether something accepts connections there."""
    with contextlib.suppress(OSError, UnicodeError):  # the latter: of a host of no name
        if isinstance(where, tuple):
            socket.create_connection(where, ANSWER_SECONDS).close()
        else:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(ANSWER_SECONDS)
                line.connect(where)
        return True
    return False
