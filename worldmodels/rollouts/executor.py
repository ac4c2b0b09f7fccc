"""Runs work over items: what work and an executor are, and the executor that stays in this process.

The seam for other engines is `Executor`: whatever gets the work and the items to where they are played, and the results
back. `worldmodels.rollouts.processes` has the usual one.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from worldmodels.rollouts.config import ENGINE, ExecutorConfig
from worldmodels.rollouts.engine import Feed, Items
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.settings import arguments

Results = Generator[tuple[Any, Any], None, None]

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made


class Work(Protocol):
    """What is done with the items, ``slots`` of them at once; it is sent to the workers by pickle.

    A result may depend on its item only, so that it is the same for any number of workers. For workers on other
    machines: it is a dataclass, its fields that are a `Path` are the files or folders that it reads, and a field
    ``folder`` is where it writes a file for each item, which the result calls ``file``.
    """

    @property
    def slots(self) -> int: ...

    def __call__(self, feed: Feed) -> Results:
        """Yield (item, result) pairs in any order. The item is the very object that the feed gave, and the result is
        small: a worker that sends does not receive, nor does one that is sent to. ``feed.check()``, called at every
        step, is also the sign of life of what takes long.
        """
        ...


class Executor(Protocol):
    """Anything with ``map`` and ``close``. Its constructor is given ``workers``, the number of cores that this job may
    use, and its own settings; one that takes an ``address`` is given ``executor.address``, and where there is one and
    ``executor.workers`` is not set, ``workers`` is None. `SerialExecutor` is the smallest one, `examples/own_executor`
    another.

    Results are the same to the last bit wherever an item is played, as long as torch has one thread there
    (`one_thread`) and no two threads of a process are at work at once: work keeps its networks between calls.
    """

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        """Yield (item, result) pairs in the order they finish; the items are the very objects that were given.

        ``items`` may have no end, and are taken as they are needed. The caller may close the generator when it has
        enough: then nothing may be left under way, since what it would still write belongs to nobody. A `ConfigError`
        in the work is raised here as what it is. Called again and again, with other work, until `close`.
        """
        ...

    def close(self) -> None:
        """End whatever was started."""
        ...


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class SerialExecutor:
    """Everything in this process, one thread as in a worker, so that results are the same to the last bit."""

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        with contextlib.closing(work(Items(iter(items)))) as results:
            while True:
                with one_thread():
                    result = next(results, None)
                if result is None:
                    return
                yield result

    def close(self) -> None: ...


def make_executor(config: ExecutorConfig, cores: int) -> Executor:
    """The executor that ``executor.engine`` names; a class is given ``workers`` and ``address`` if it asks for them.
    ``cores``: this job's share of this machine's.
    """
    takes = {argument.name for argument in arguments(parts.find(ENGINE, config.engine, "executor.engine"))}
    require(
        config.address is None or "address" in takes,
        f"executor.address={config.address} is a cluster, which executor={parts.name(ENGINE, config.engine)} does not "
        "use: expected executor=ray",
    )
    workers = config.workers or (cores if config.address is None else None)
    return parts.make(ENGINE, config.engine, "executor.engine", workers=workers, address=config.address)
