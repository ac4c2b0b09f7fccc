"""Runs work on a Ray cluster, one actor a core, each with the same lockstep engine as a worker process has.

Work is put into the object store once, with the bytes of the files that it reads, so no folder is shared; what it
writes comes back as bytes and is written here. Whatever happens to a worker or its node, its episodes are played by
others (`worldmodels.rollouts.dispatch`).
"""

import atexit
import contextlib
import hashlib
import logging
import pickle
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from worldmodels.rollouts.actors import Installation, Joined, Seat
from worldmodels.rollouts.dispatch import ATTEMPTS, Dispatcher, Worker
from worldmodels.rollouts.executor import Work
from worldmodels.rollouts.lifelines import PAUSE_SECONDS, Lifelines, answers, leave, lost, place, require_none_lost
from worldmodels.rollouts.parcels import landed, pack
from worldmodels.rollouts.pipes import ActorLife, ActorPipe, InStore, import_ray, wait
from worldmodels.rollouts.processes import LONGEST_FOLDER, PATIENCE, RENEWAL
from worldmodels.utils.errors import ConfigError, Failure, first_line

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
log = logging.getLogger(__name__)
TELL_SECONDS = 60.0  # between two lines that no worker has begun
LEAVE_SECONDS = 2.0
STORE_BYTES = 2**29  # object store of a local cluster; what does not fit goes to the disk


def _reason(error: BaseException) -> str:
    """Of an error at a server, whose message is a heading and the server's traceback: both ends of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(dict.fromkeys([first_line(error), *lines[-1:]]))


class RayExecutor(Dispatcher):
    """``workers`` actors, of one core each, on the cluster at ``address`` (``auto``, ``ray://…``), or on one that is
    started on this machine where that is None. Where ``workers`` is None, as many as the cluster has cores.
    """

    def __init__(
        self,
        workers: int | None,
        address: str | None = None,
        patience_seconds: Annotated[float, PATIENCE] = 300.0,
        renew_after: Annotated[int, RENEWAL] = 5000,
    ) -> None:
        super().__init__(patience_seconds, renew_after)
        self._ray, self._address, self._asked = import_ray(), address, workers
        self._connected = self._ours = False
        self._lifelines = Lifelines({})
        self._objects: dict[Any, Any] = {}  # in the object store, by what they are
        self._stillborn = 0  # workers in a row that ended before they began
        self._told = time.monotonic()
        self._other_processors: set[str] = set()

    @property
    def workers(self) -> int:
        if self._asked is None:
            self._connect()
            self._asked = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return self._asked

    def _connect(self) -> None:
        if self._connected:
            return
        require_none_lost()
        self._ours = not self._ray.is_initialized()
        atexit.register(leave)
        if self._ours:
            self._require_reachable()
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                self._ray.init(**self._options())
            except ValueError as error:  # no address at all
                raise ConfigError(
                    f"executor.address={self._address} is no address of a Ray cluster ({first_line(error)}): expected "
                    "auto, HOST:6379 or ray://HOST:10001"
                ) from error
            except Exception as error:  # of many kinds, Exception itself among them
                raise self._unreachable(_reason(error)) from error
            finally:
                for number, handler in handlers.items():  # Ray takes SIGTERM, and would end without a word
                    signal.signal(number, handler)
        self._here, self._connected, self._told = Installation.here(), True, time.monotonic()
        self._lifelines = Lifelines.of(self._ray)

    def _require_reachable(self) -> None:
        """Raise `Failure` where nothing listens: Ray itself would try for minutes."""
        _, _, port = (self._address or "").rpartition(":")
        if self._address and port.isdigit() and not answers(place(self._address.removeprefix("ray://"))):
            raise self._unreachable("nothing answers there")

    def _unreachable(self, why: str) -> Failure:
        if self._address is None:
            return Failure(
                f"no Ray cluster could be started on this machine ({why}): expected one of its cores; the same command "
                "tries again, and executor=process needs none"
            )
        token = "; if it asks for a token, set RAY_AUTH_MODE=token" if self._address.startswith("ray://") else ""
        return Failure(
            f"executor.address={self._address} is no Ray cluster that can be reached ({why}): expected one that "
            f"`ray start --head` began{token}; without an address one is started on this machine"
        )

    def _options(self) -> dict[str, Any]:
        options = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is not None:
            return {"address": self._address, **options}
        options |= {"num_cpus": self._asked, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        if len(tempfile.gettempdir()) > LONGEST_FOLDER:  # a socket's path has room for 107 characters
            options["_temp_dir"] = "/tmp/ray"
        return {"address": "local", **options}

    def _start(self) -> Worker:
        self._connect()
        self._lifelines.require()
        job = self._ray.get_runtime_context().get_job_id()
        kind = self._ray.remote(num_cpus=1, max_concurrency=3, scheduling_strategy="SPREAD")(Seat)
        actor = kind.remote(self._pulse, job)
        return Worker(ActorLife(actor), ActorPipe(actor), ready=False)

    def _wait(self, pipes: Sequence[Any], seconds: float) -> Sequence[Any]:
        if any(worker.ready for worker in self._workers):
            self._told = time.monotonic()
        elif time.monotonic() - self._told >= TELL_SECONDS:
            log.warning("no worker has begun on the cluster yet: has it free cores? `ray status` tells")
            self._told = time.monotonic()
        end = time.monotonic() + min(seconds, TELL_SECONDS)
        while True:
            self._lifelines.require()
            left = end - time.monotonic()
            if (found := wait(pipes, max(0.0, min(left, PAUSE_SECONDS)))) or left <= PAUSE_SECONDS:
                return found

    def _receive(self, worker: Worker) -> Any:
        self._lifelines.require(at_once=getattr(worker.pipe, "problem", None) is not None)  # it may have gone with them
        outcome = super()._receive(worker)
        if isinstance(outcome, Joined):
            self._require_same(outcome)
            worker.ready, self._stillborn = True, 0
            return None
        if not worker.ready and isinstance(outcome, str):
            self._stillborn += 1
            if self._stillborn >= ATTEMPTS:
                problem = getattr(worker.pipe, "problem", None) or outcome.strip().splitlines()[-1]
                raise Failure(
                    f"workers end on the cluster before they begin ({problem}): expected worldmodels and its packages "
                    "on every node, as they are here"
                )
        return outcome

    def _require_same(self, joined: Joined) -> None:
        """Raise `Failure` where a node has other code or versions; say where it has another processor."""
        theirs, ours = joined.installation, self._here
        versions = [f"{name} {version}" for name, version in theirs.versions.items() if version != ours.versions[name]]
        if theirs.code != ours.code or versions:
            raise Failure(
                f"node {joined.node} has {', '.join(versions) or 'other code of worldmodels'}, not what is installed "
                "here, so results would differ: expected the same on every node; install it there"
            )
        if theirs.processor != ours.processor and joined.node not in self._other_processors:
            self._other_processors.add(joined.node)
            log.warning(
                "node %s has another processor (%s, here %s): returns played there differ in their last digits",
                *(joined.node, theirs.processor, ours.processor),
            )

    def _sent(self, work: Work) -> InStore:
        self._lifelines.require()  # after a training, in which nobody asked
        parcel = pack(work, self._put)
        key = hashlib.sha256(pickle.dumps((parcel.work, parcel.places))).hexdigest()
        if key not in self._objects:
            self._objects[key] = self._ray.put(parcel)
        return InStore(key, self._objects[key])

    def _put(self, path: Path) -> tuple[str, Any]:
        """A file's digest and its reference in the object store, where it is put once."""
        state = path.stat()
        known = (path, state.st_size, state.st_mtime_ns)
        if known not in self._objects:
            data = path.read_bytes()
            self._objects[known] = (hashlib.sha256(data).hexdigest(), self._ray.put(data))
        return self._objects[known]

    def _landed(self, work: Work, result: Any) -> Any:
        return landed(work, result)

    def close(self) -> None:
        if not self._connected:
            return
        with contextlib.suppress(Failure):  # it may be what ended the work
            self._lifelines.require(at_once=True)
        if lost():  # each call of Ray's would end this process, or wait for what is gone
            self._workers.clear()
            return
        leaving = [worker.pipe._actor.leave.remote() for worker in self._workers if worker.ready]  # type: ignore[attr-defined]
        if leaving:
            self._ray.wait(leaving, num_returns=len(leaving), timeout=LEAVE_SECONDS)
        super().close()
        self._objects.clear()
        if self._ours:
            self._ray.shutdown()
        self._connected = False
