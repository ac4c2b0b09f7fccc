"""Commands without the seconds that the libraries take to load: a process that has them forks one for each command.

A forked command is a process with a session, an exit code and an output of its own, as a fresh one is. It is asked for
over a Unix socket: a JSON object of the working folder, of the environment and of what follows ``python``
(``-m MODULE …`` or ``FILE …``), with a pipe for what it prints and one for what becomes of it: its number first, at its
end its wait status. What it starts first of a fork server or of a worker has the libraries from the beginning too.

All workers of a test run share the one process: the first that needs it starts it, and it ends with the last.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import pkgutil
import re
import resource
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import util
from pathlib import Path
from typing import Any, NoReturn

import filelock
import reading
from joblib.externals.loky.backend import fork_exec

ROOT = Path(__file__).parents[1]
LONGEST_REQUEST = 1 << 16
MOST_FILES = 64
LATE = (  # libraries that are imported only where something needs them
    *("matplotlib.pyplot", "torch.utils.tensorboard", "torch.utils.serialization", "torch.profiler._cupti_monitor"),
    *("hydra._internal.logging_config", "imageio_ffmpeg.binaries"),
)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # only a process of one thread forks safely


class Command:
    """A command under way, with what tests need of `subprocess.Popen`."""

    def __init__(self, requests: socket.socket, request: Mapping[str, Any]) -> None:
        self.returncode: int | None = None
        self._output, output = os.pipe()
        self._fate, fate = os.pipe()
        socket.send_fds(requests, [json.dumps(request).encode()], [output, fate])
        os.close(output)
        os.close(fate)
        self.pid = self._told()

    def _told(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._fate, 1)
            assert byte, "the warm process is gone"
            line += byte
        return int(line)

    def wait(self, timeout: float) -> int:
        """Its exit code."""
        if self.returncode is None:
            self._expect(self._fate, timeout)
            self.returncode = os.waitstatus_to_exitcode(self._told())
            os.close(self._fate)
        return self.returncode

    def communicate(self, timeout: float = 600) -> tuple[str, None]:
        """What it prints, errors among it, once it has ended."""
        until, printed = time.monotonic() + timeout, b""
        while True:
            self._expect(self._output, until - time.monotonic())
            data = os.read(self._output, 1 << 16)
            printed += data
            if not data:
                break
        os.close(self._output)
        self.wait(max(0.0, until - time.monotonic()))
        return printed.decode(), None

    def first_line(self, timeout: float = 600) -> str:
        """The first line that it prints, the only one that is ever read."""
        printed = b""
        while not printed.endswith(b"\n"):
            self._expect(self._output, timeout)
            byte = os.read(self._output, 1)
            assert byte, "it has ended"
            printed += byte
        os.close(self._output)
        return printed.decode()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    @staticmethod
    def _expect(pipe: int, timeout: float) -> None:
        if not select.select([pipe], [], [], max(0.0, timeout))[0]:
            raise subprocess.TimeoutExpired("a warm command", timeout)


class Warm:
    """The process that forks, which all that name one folder share; it ends with the last of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._requests = socket.socket(socket.AF_UNIX)
        with filelock.FileLock(folder / "lock"):
            address = folder / "address"
            try:
                self._requests.connect(address.read_text())
            except OSError:  # there is none yet, or it has ended
                address.write_text(self._started())
                self._requests.connect(address.read_text())

    def _started(self) -> str:
        """Start the process. Returns the address at which it listens."""
        with socket.socket(socket.AF_UNIX) as listener:
            address = os.path.join(tempfile.mkdtemp(prefix="warm"), "socket")  # an address is of 107 letters at most
            listener.bind(address)
            listener.listen()
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                env={**os.environ, **ONE_THREAD},
                pass_fds=[listener.fileno()],
            )
        return address

    def start(
        self,
        arguments: Sequence[str],
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        largest_file: int | None = None,
        spares: int = 1,
    ) -> Command:
        """Start ``python ARGUMENTS`` as leader of a process group. ``environment`` is added to this process's, no file
        may become larger than ``largest_file`` bytes, and as many ``spares`` are kept (`keep_spares`).
        """
        request = {
            "arguments": list(map(str, arguments)),
            "cwd": str(cwd),
            "environment": {**os.environ, **ONE_THREAD, **(environment or {})},
            "largest_file": largest_file,
            "spares": spares,
        }
        return Command(self._requests, request)

    def close(self) -> None:
        self._requests.close()
        if self._process is not None:
            self._process.wait(timeout=600)  # for those that share it


def serve(listener: socket.socket) -> dict[str, Any]:
    """Fork a process for each request; in that process alone this returns what to run."""
    clients: list[socket.socket] = []
    while True:
        ready, *_ = select.select([listener, *clients], [], [])
        if listener in ready:
            clients.append(listener.accept()[0])
            continue
        message, pipes, *_ = socket.recv_fds(ready[0], LONGEST_REQUEST, 2)
        if not message:
            clients.remove(ready[0])
            ready[0].close()
            if not clients and not select.select([listener], [], [], 0)[0]:
                shutil.rmtree(Path(listener.getsockname()).parent)
                os._exit(0)
            continue
        if os.fork() == 0:
            break
        for pipe in pipes:
            os.close(pipe)
    for each in (listener, *clients):
        each.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output, fate = pipes
    if command := os.fork():  # this process waits for the second fork, which is the command
        os.close(output)
        tell(fate, command)
        tell(fate, os.waitpid(command, 0)[1])
        os._exit(0)
    os.close(fate)
    os.setsid()
    for place, pipe in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(pipe, place)
    os.close(output)
    return json.loads(message)


def tell(pipe: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
        os.write(pipe, f"{number}\n".encode())


def load_libraries() -> None:
    """Import whatever commands and studies may, but no command: each is to run from its own first line."""
    gc.disable()  # until all is imported, of which nothing is garbage
    reading.once()
    for library in LATE:
        importlib.import_module(library)
    importlib.import_module("PIL.Image").preinit()
    rooms = importlib.import_module("worldmodels").__path__
    for room in [room.name for room in pkgutil.iter_modules(rooms, "worldmodels.") if room.ispkg]:
        for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
            importlib.import_module(module.name)
    share_what_is_made_once()
    torch = importlib.import_module("torch")
    one_thread = functools.partial(torch.set_num_threads, 1)
    torch.set_num_threads = lambda _: one_thread()  # beside other commands, threads wait for each other and spin
    os.fsync = lambda _: None  # what is killed here needs no disk that outlives a power cut
    gc.freeze()  # a fork whose collector leaves them alone shares them, and ends a second sooner
    gc.enable()


def prepare(request: dict[str, Any]) -> None:
    """What a new interpreter would begin with."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    own = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[1:1] = [folder for folder in own if folder not in sys.path[1:]]
    if encoding := os.environ.get("PYTHONIOENCODING"):
        sys.stdout, sys.stderr = (open(number, "w", encoding=encoding, closefd=False) for number in (1, 2))  # noqa: SIM115
    if (most := request["largest_file"]) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def keep_spares(count: int) -> None:
    """Fork processes that are to be what the command starts first of a fork server, a spawned worker or a worker of
    joblib: by then the command has threads, and in a new interpreter these would load the libraries anew.
    """
    spares = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if (number := os.fork()) == 0:
            ours.close()
            for other, _ in spares:
                other.close()
            wait_as_a_spare(theirs)
        theirs.close()
        spares.append((ours, number))

    def started(arguments: Sequence[str], files: Sequence[int], environment: Mapping[str, str]) -> int:
        ours, number = spares.pop()
        request = {"arguments": arguments, "files": list(files), "environment": {**os.environ, **environment}}
        socket.send_fds(ours, [json.dumps(request).encode()], list(files))
        ours.close()
        return number

    def spawned(path: Any, arguments: Sequence[Any], files: Sequence[int]) -> int:
        if spares and re.search(r"multiprocessing\.(forkserver|spawn) ", " ".join(map(os.fsdecode, arguments))):
            return started([os.fsdecode(each) for each in arguments], files, {})
        return usual_spawned(path, arguments, files)

    def executed(arguments: Sequence[str], files: Sequence[int], env: Mapping[str, str] | None = None) -> int:
        return started(arguments, files, env or {}) if spares else usual_executed(arguments, files, env)

    usual_spawned, usual_executed = util.spawnv_passfds, fork_exec.fork_exec
    util.spawnv_passfds, fork_exec.fork_exec = spawned, executed


def wait_as_a_spare(requests: socket.socket) -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is nothing yet that could be interrupted
    message, files, *_ = socket.recv_fds(requests, LONGEST_REQUEST, MOST_FILES)
    requests.close()
    if not message:
        os._exit(0)
    request = json.loads(message)
    os.environ.clear()
    os.environ.update(request["environment"])
    above = max(*files, *request["files"]) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, above) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(moved, request["files"], strict=True):  # the command line names them by their numbers
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, *arguments = request["arguments"]
    place = next(place for place, each in enumerate(arguments) if each in ("-c", "-m"))
    kind, what, *others = arguments[place:]
    with ending():
        if kind == "-c":
            sys.argv = ["-c", *others]
            exec(what, {"__name__": "__main__"})
        else:
            run(["-m", what, *others])
    raise AssertionError("it has ended")


def share_what_is_made_once() -> None:
    """What takes a process a second when it is used first: the digests and versions of the code, Hydra's plugins,
    grammar and files, and Numba's functions.
    """
    pipeline, config = (
        importlib.import_module("worldmodels.pipeline.pipeline"),
        importlib.import_module("worldmodels.api").compose(),
    )
    for stage in pipeline.DECLARED.values():
        pipeline.fingerprint([stage.build.__module__], pipeline.libraries_of(stage, config))
    building = importlib.import_module("worldmodels.store.building")
    building._versions()
    building._git_revision()
    env = importlib.import_module("worldmodels.envs").make_env(config.env)
    env.reset(seed=0)
    env.close()


def run(arguments: list[str]) -> None:
    """What ``python`` does with these arguments."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """End as an interpreter does, but leave the libraries' memory, which taking apart would copy, to the system."""
    code: Any = None
    try:
        yield
    except SystemExit as end:
        code = end.code
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream, failed in ((sys.stdout, 120), (sys.stderr, None)):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            code = failed or code
    os._exit((code or 0) & 255)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    load_libraries()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    prepare(asked)
    keep_spares(asked["spares"])
    with ending():
        run(asked["arguments"])
