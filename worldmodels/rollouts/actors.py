"""A worker on a Ray cluster: an actor in which `workers.attend` runs, with two queues in place of a pipe."""

import hashlib
import os
import pickle
import platform
import queue
import shutil
import socket
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worldmodels.rollouts.executor import Work
from worldmodels.rollouts.parcels import unpack
from worldmodels.rollouts.workers import attend, prepare_libraries
from worldmodels.store.fingerprint import fingerprint
from worldmodels.utils.orphans import alive

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
LIBRARIES = ("torch", "numpy", "gymnasium", "box2d", "opencv-python-headless", "numba", "h5py")
LAST_WORDS = 1.0  # seconds in which what a worker sent before its end is fetched
KEPT = 4  # works


@dataclass(frozen=True)
class Installation:
    """What results depend on besides the work: of two machines, the same gives the same to the last bit."""

    code: str  # digest of the package
    versions: dict[str, str]
    processor: str  # what torch makes of it

    @classmethod
    def here(cls) -> "Installation":
        package = Path(__file__).parents[1]
        digest = hashlib.sha256()
        for path in sorted(package.rglob("*.py")):
            digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
        versions = {"python": platform.python_version(), **fingerprint([], LIBRARIES)["versions"]}
        bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return cls(digest.hexdigest()[:8], versions, torch.backends.cpu.get_cpu_capability() + " bf16" * bf16)


@dataclass(frozen=True)
class Joined:
    """A worker's first message."""

    node: str
    installation: Installation


@dataclass(frozen=True)
class Sent:
    """Work that lies in the object store. Its reference is delivered beside it, since Ray has to see that."""

    key: str


class Seat:
    """The actor. For `workers.attend` it is the worker's end of a pipe; `RayExecutor` calls `deliver` and `fetch`."""

    def __init__(self, pulse: float, job: str) -> None:
        self._in: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._early: dict[int, list[bytes]] = {}
        self._delivered = 0
        self._lock = threading.Lock()
        self._references: dict[str, Any] = {}  # of works, by their keys
        self._works: dict[str, Work] = {}
        prefix = f"worldmodels-{os.getuid()}-"
        self._folder = Path(tempfile.gettempdir()) / f"{prefix}{os.getppid()}-{job}"  # one for all workers of a node
        _remove_left(self._folder.parent, prefix)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        threading.Thread(target=self._live, args=(pulse,), daemon=True).start()

    def deliver(self, number: int, messages: list[bytes], references: dict[str, Any]) -> None:
        """The ``number``-th delivery; they need not arrive in their order. ``references``: of the works among them."""
        with self._lock:
            self._references |= references
            self._early[number] = messages
            while self._delivered in self._early:
                for message in self._early.pop(self._delivered):
                    self._in.put(message)
                self._delivered += 1

    def fetch(self, seconds: float) -> list[bytes]:
        """What there is to tell, as soon as there is something; nothing after so many seconds."""
        try:
            messages = [self._out.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._out.empty():
            messages.append(self._out.get())
        return messages

    def leave(self) -> None:
        """Take away the files that came with the work."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _live(self, pulse: float) -> None:
        try:
            prepare_libraries()  # here, since some of them count their threads by the thread that asks
            self.send(Joined(socket.gethostname(), Installation.here()))
            attend(self, pulse)
        except BaseException:
            self._out.put(pickle.dumps(traceback.format_exc()))
            time.sleep(LAST_WORDS)
        finally:
            os._exit(1)

    def send(self, obj: Any, /) -> None:
        self._out.put(pickle.dumps(obj))

    def poll(self, timeout: float | None = 0.0, /) -> bool:
        return not self._in.empty()

    def recv(self) -> Any:
        session, message = pickle.loads(self._in.get())
        return session, self._unpacked(message) if isinstance(message, Sent) else message

    def close(self) -> None: ...

    def _unpacked(self, sent: Sent) -> Work:
        import ray

        if sent.key not in self._works:
            if len(self._works) >= KEPT:
                del self._works[next(iter(self._works))]
            parcel: Any = ray.get(self._references[sent.key])
            self._works[sent.key] = unpack(parcel, self._folder, lambda reference: ray.get(reference))
        return self._works[sent.key]


def _remove_left(folder: Path, prefix: str) -> None:
    """Remove the folders of nodes that are gone."""
    for path in folder.glob(f"{prefix}*"):
        node = path.name.removeprefix(prefix).split("-")[0]
        if node.isdigit() and not alive(int(node)):
            shutil.rmtree(path, ignore_errors=True)
