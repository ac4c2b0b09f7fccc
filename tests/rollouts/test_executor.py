"""Executors: the same results for any number of workers and slots, whatever happens to them."""

import collections
import functools
import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from helpers import ROOT

from worldmodels.rollouts.config import ExecutorConfig
from worldmodels.rollouts.dispatch import ATTEMPTS
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import SerialExecutor, make_executor
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.utils.errors import ConfigError, Failure

SOON = 60.0  # seconds in which what must happen does, on a busy machine too


@dataclass(frozen=True)
class Apply:
    """Work: holds up to ``slots`` items and applies a function to one after another, the latest first."""

    function: Callable[[Any], Any]
    slots: int = 1

    def __call__(self, feed):
        held = []
        while True:
            while len(held) < self.slots and (item := feed.take(wait=not held)) is not None:
                held.append(item)
            if not held:
                return
            feed.check()
            item = held.pop()
            yield item, self.function(item)


@dataclass(frozen=True)
class Slowly:
    """Work on all its items at once, step by step; leaves a mark in ``folder`` for each item that begins, is done, or
    is dropped half-way.
    """

    folder: Path
    slots: int

    def __call__(self, feed):
        held = {}
        try:
            while True:
                while len(held) < self.slots and (item := feed.take(wait=not held)) is not None:
                    held[item] = 0
                    (self.folder / f"{item}.begun").touch()
                if not held:
                    return
                feed.check()
                time.sleep(0.002)
                for item in list(held):
                    held[item] += 1
                    if held[item] >= 10 * (item + 1):
                        del held[item]
                        (self.folder / f"{item}.done").touch()
                        yield item, os.getpid()
        finally:
            for item in held:
                time.sleep(0.02)  # so that a caller who does not wait is gone by now
                (self.folder / f"{item}.dropped").touch()


@dataclass(frozen=True)
class Long:
    """Work whose items take ``seconds`` each, in steps."""

    seconds: float
    slots: int = 1

    def __call__(self, feed):
        while (item := feed.take(wait=True)) is not None:
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                time.sleep(0.01)
                feed.check()
            yield item, os.getpid()


class Unloadable:
    """Work that this process can make and no worker can."""

    slots = 2

    def __reduce__(self):
        return refuse_in_a_worker, ()

    def __call__(self, feed):
        raise AssertionError("never played")


def refuse_in_a_worker():
    if multiprocessing.parent_process() is not None:
        raise ModuleNotFoundError("no module named elsewhere")
    return Unloadable()


def square(x):
    return x * x


def cube(x):
    return x**3


def process_id(_):
    return os.getpid()


def slow_process_id(_):
    time.sleep(0.01)
    return os.getpid()


def thread_counts(_):
    return torch.get_num_threads(), cv2.getNumThreads(), os.getpid()


def attempt(folder, number):
    """How often an item has been tried before; counts this time."""
    before = len(list(folder.glob(f"{number}-*")))
    (folder / f"{number}-{before}").touch()
    return before


def die_once(folder, number):
    """Item 3 takes its worker with it, the first time."""
    if attempt(folder, number) == 0 and number == 3:
        os._exit(7)
    return number * number


def stumble_once(folder, number):
    if attempt(folder, number) == 0 and number == 3:
        raise ValueError("stumbled over item 3")
    return number * number


def exhaust_python(_):
    bytearray(10**16)


def exhaust_torch(_):
    torch.empty(10**16)


def exhaust_once(folder, number):
    if attempt(folder, number) == 0 and number == 3:
        exhaust_python(number)
    return number * number


def lose_a_file_once(folder, number):
    if attempt(folder, number) == 0 and number == 3:
        (folder / "nowhere" / "file").read_bytes()
    return os.getpid()


def always_fail(folder, number):
    attempt(folder, number)
    if number == 1:
        raise ValueError("never works")
    return number


def hang_once(folder, number):
    """Item 3 never ends, the first time."""
    if attempt(folder, number) == 0 and number == 3:
        time.sleep(10 * SOON)
    return number * number


def sleep_for_ever(_):
    time.sleep(10 * SOON)


def refuse(folder, number):
    attempt(folder, number)
    raise ConfigError(f"item={number} makes no sense: expected another")


def unsendable(_):
    return lambda: None


def always_die(number):
    os._exit(7)


def wait_for_the_others(folder, count, number):
    """Item 0 ends after all the others."""
    deadline = time.monotonic() + SOON
    while number == 0 and len(list(folder.iterdir())) < count - 1:
        if time.monotonic() > deadline:
            return "in vain"
        time.sleep(0.005)
    if number:
        (folder / str(number)).touch()
    return number


def within(seconds, function):
    """What ``function`` gives or raises; fails if it takes longer, rather than hang."""
    outcome = {}

    def call():
        try:
            outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"still busy after {seconds} seconds"
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def is_gone(process):
    """Whether a process has ended and been waited for; a zombie has not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def eventually(condition):
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def all_gone(processes):
    return eventually(lambda: all(is_gone(process) for process in processes))


def workers_of(pool):
    """The processes behind a pool, by what they say of themselves."""
    seen = {pid for _, pid in pool.map(Apply(slow_process_id), range(8 * pool.workers))}
    assert len(seen) == pool.workers
    return seen


@pytest.fixture(scope="module")
def pools():
    """One and two workers, kept for the whole file."""
    with closing(ProcessExecutor(1)) as one, closing(ProcessExecutor(2)) as two:
        yield {1: one, 2: two}


@pytest.mark.parametrize("slots", [1, 4])
def test_results_are_the_same_for_any_number_of_workers_and_slots(pools, slots):
    expected = {number: number * number for number in range(20)}
    for executor in (SerialExecutor(), *pools.values()):
        results = list(executor.map(Apply(square, slots), range(20)))
        assert len(results) == 20
        assert dict(results) == expected


def test_no_items_give_no_results(pools):
    for executor in (SerialExecutor(), *pools.values()):
        assert list(executor.map(Apply(square, 4), [])) == []


def test_items_may_be_equal(pools):
    """The very same object even, as small numbers are."""
    items = [7] * 5 + [8, 7, 8]
    for executor in (SerialExecutor(), *pools.values()):
        assert sorted(executor.map(Apply(square, 4), items)) == [(7, 49)] * 6 + [(8, 64)] * 2


def test_no_more_workers_are_started_than_there_are_items():
    """A worker takes seconds to start."""
    with closing(ProcessExecutor(3)) as pool:
        for items, workers in ((0, 0), (1, 1), (2, 2), (9, 3), (0, 3)):
            assert len(list(pool.map(Apply(slow_process_id, 4), range(items)))) == items
            assert len(pool._workers) == workers


def test_one_work_after_another_gets_its_own_results(pools):
    first, second = Apply(square, 4), Apply(cube, 4)
    for work in (first, second, second, first):
        results = dict(pools[2].map(work, range(9)))
        assert results == {number: work.function(number) for number in range(9)}


def test_items_are_shared_out_evenly(pools):
    """Fewer than there are slots: not all to one worker while the other is idle."""
    pids = [pid for _, pid in pools[2].map(Apply(process_id, 16), range(8))]
    assert sorted(collections.Counter(pids).values()) == [4, 4]


def test_no_item_waits_behind_a_long_one_while_a_worker_is_idle(pools, tmp_path):
    work = Apply(functools.partial(wait_for_the_others, tmp_path, 12), slots=1)
    results = [value for _, value in pools[2].map(work, range(12))]
    assert results[-1] == 0
    assert sorted(results) == list(range(12))


def test_work_leaves_this_process_and_its_threads_are_one(pools):
    rows = [row for _, row in pools[2].map(Apply(thread_counts), range(8))]
    assert {row[0] for row in rows} == {1}
    assert all(row[1] <= 1 for row in rows)
    assert os.getpid() not in {row[2] for row in rows}


def test_work_in_this_process_has_one_thread_too():
    """The order of a sum depends on the number of threads, and so would a return's last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = [(row[0], torch.get_num_threads()) for _, row in SerialExecutor().map(Apply(thread_counts), [0, 1])]
        assert seen == [(1, 2), (1, 2)]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_is_replaced_and_what_it_had_under_way_redone(pools, tmp_path, caplog, workers, slots):
    before = workers_of(pools[workers])
    results = list(pools[workers].map(Apply(functools.partial(die_once, tmp_path), slots), range(12)))
    assert sorted(results) == [(number, number**2) for number in range(12)]
    assert (tmp_path / "3-1").exists()
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("a worker died; it is replaced")
    after = workers_of(pools[workers])
    assert len(before - after) == len(after - before) == 1
    assert all_gone(before - after), "the dead worker stays a zombie"


def test_an_exception_is_logged_with_the_workers_traceback_and_its_item_redone(pools, tmp_path, caplog):
    before = workers_of(pools[2])
    results = list(pools[2].map(Apply(functools.partial(stumble_once, tmp_path), 4), range(8)))
    assert sorted(results) == [(number, number**2) for number in range(8)]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "ValueError: stumbled over item 3" in caplog.text
    assert "in stumble_once" in caplog.text  # a line of the worker's own stack
    assert workers_of(pools[2]) == before


def test_a_file_that_work_cannot_read_is_a_failure_and_no_death(pools, tmp_path, caplog):
    """The pipe to a dead worker raises OSError too."""
    worker = workers_of(pools[1])
    results = list(pools[1].map(Apply(functools.partial(lose_a_file_once, tmp_path), 2), range(8)))
    assert sorted(number for number, _ in results) == list(range(8))
    assert {pid for _, pid in results} == worker
    assert "FileNotFoundError" in caplog.text
    assert "in lose_a_file_once" in caplog.text
    assert "died" not in caplog.text


def test_an_item_that_always_fails_ends_the_run(pools, tmp_path):
    with pytest.raises(RuntimeError, match=rf"gave up on item 1 after {ATTEMPTS} attempts.*ValueError: never works"):
        list(pools[2].map(Apply(functools.partial(always_fail, tmp_path)), range(4)))
    assert len(list(tmp_path.glob("1-*"))) == ATTEMPTS
    assert dict(pools[2].map(Apply(square), range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}  # and the pool is good for another


def test_a_worker_without_memory_is_replaced_and_its_item_redone(pools, tmp_path, caplog):
    before = workers_of(pools[2])
    results = list(pools[2].map(Apply(functools.partial(exhaust_once, tmp_path), 4), range(8)))
    assert sorted(results) == [(number, number**2) for number in range(8)]
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("a worker ran out of memory; it is replaced")
    assert len(before - workers_of(pools[2])) == 1


@pytest.mark.parametrize("allocate", [exhaust_python, exhaust_torch])
def test_an_item_that_always_takes_too_much_memory_ends_the_run_in_a_line(pools, allocate):
    with pytest.raises(Failure, match=f"gave up on item 1 after {ATTEMPTS} attempts.* expected more memory, or fewer"):
        list(pools[1].map(Apply(allocate), [1]))


def test_an_item_that_always_kills_its_worker_ends_the_run(pools):
    with pytest.raises(RuntimeError, match=f"gave up on item 1 after {ATTEMPTS} attempts"):
        list(pools[1].map(Apply(always_die), [1]))


def test_a_failure_in_this_process_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        list(SerialExecutor().map(Apply(functools.partial(divmod, 1), 2), [0]))


@pytest.mark.parametrize("workers", [1, 2])
def test_enough_is_enough_and_the_workers_stay(pools, workers):
    pool = pools[workers]
    before = workers_of(pool)
    results = pool.map(Apply(square, 4), itertools.count())  # no end
    taken = dict(itertools.islice(results, 5))
    results.close()
    assert len(taken) == 5
    assert all(value == number * number for number, value in taken.items())
    assert dict(pool.map(Apply(cube, 4), range(30))) == {number: number**3 for number in range(30)}
    assert workers_of(pool) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_closing_early_drops_what_is_under_way_and_waits_until_the_workers_have(pools, tmp_path, workers):
    """Otherwise a rollout could still be written after the stage has cleaned up."""
    pool = pools[workers]
    results = pool.map(Slowly(tmp_path, slots=4), range(100))
    next(results)
    results.close()
    left = sorted(path.name for path in tmp_path.iterdir())
    begun, done, dropped = (
        {name.split(".")[0] for name in left if name.endswith(e)} for e in ("begun", "done", "dropped")
    )
    assert dropped
    assert begun == done | dropped
    assert not done & dropped
    assert dict(pool.map(Apply(square, 4), range(9))) == {number: number**2 for number in range(9)}
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_closing_early_ends_the_work_in_this_process(tmp_path):
    results = SerialExecutor().map(Slowly(tmp_path, slots=3), range(100))
    assert next(results)[0] == 0
    results.close()
    assert sorted(path.name for path in tmp_path.glob("*.dropped")) == ["1.dropped", "2.dropped"]


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_between_two_uses_is_replaced(pools, workers, wait):
    """A broken pool must not leave the caller waiting for ever."""
    pool = pools[workers]
    before = workers_of(pool)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    if wait:
        assert all_gone([victim])
    results = within(SOON, lambda: list(pool.map(Apply(square, 4), range(12))))
    assert sorted(results) == [(number, number**2) for number in range(12)]
    after = workers_of(pool)
    assert before - after == {victim}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_at_work_is_replaced(pools, workers):
    pool = pools[workers]
    results = pool.map(Apply(slow_process_id, 4), range(24))
    first = next(results)
    os.kill(first[1], signal.SIGKILL)
    rest = within(SOON, lambda: list(results))
    assert sorted(number for number, _ in [first, *rest]) == list(range(24))
    assert len(workers_of(pool) - {first[1]}) == workers


def test_a_worker_that_is_killed_does_not_keep_the_caller_from_closing(pools, tmp_path):
    results = pools[2].map(Slowly(tmp_path, slots=4), range(100))
    _, victim = next(results)
    os.kill(victim, signal.SIGKILL)
    within(SOON, results.close)
    assert dict(within(SOON, lambda: list(pools[2].map(Apply(square), range(9))))) == {n: n**2 for n in range(9)}


def test_closing_early_can_be_interrupted_itself(pools, tmp_path, monkeypatch):
    """Ctrl-C while waiting for the workers: what they still send must not be taken for another map's results."""

    def interrupted():
        raise KeyboardInterrupt

    pool = pools[2]
    results = pool.map(Slowly(tmp_path, slots=4), range(100))
    next(results)
    monkeypatch.setattr(pool, "_stop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.close()
    monkeypatch.undo()
    assert sorted(pool.map(Apply(square, 4), range(20))) == [(number, number**2) for number in range(20)]


def test_work_that_cannot_be_sent_is_an_error(pools):
    with pytest.raises(Exception, match="pickle"):
        within(SOON, lambda: list(pools[2].map(Apply(lambda x: x), range(4))))
    assert dict(pools[2].map(Apply(square), range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}


def test_an_item_that_cannot_be_sent_is_an_error(pools):
    with pytest.raises(Exception, match="pickle"):
        within(SOON, lambda: list(pools[2].map(Apply(repr), [1, lambda x: x, 2])))
    assert dict(pools[2].map(Apply(square), range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}


def test_a_result_that_cannot_be_sent_is_an_error(pools):
    with pytest.raises(RuntimeError, match=r"gave up on item.*pickle"):
        within(SOON, lambda: list(pools[2].map(Apply(unsendable), range(3))))


@pytest.mark.parametrize("used", [False, True])
def test_work_that_workers_cannot_load_is_an_error(pools, used):
    pool = pools[2]
    if used:
        workers_of(pool)  # they are still in the middle of that work, waiting for items
    else:
        pool.close()
    with pytest.raises(RuntimeError, match="gave up on item"):
        within(SOON, lambda: list(pool.map(Unloadable(), range(6))))
    assert dict(pool.map(Apply(square), range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}


def test_items_that_cannot_be_had_are_an_error(pools):
    def items():
        yield from range(5)
        raise ValueError("no more items")

    for executor in (SerialExecutor(), *pools.values()):
        with pytest.raises(ValueError, match="no more items"):
            list(executor.map(Apply(square, 2), items()))
    assert dict(pools[2].map(Apply(square), range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}


def test_closing_ends_the_workers_and_leaves_no_zombies():
    pool = ProcessExecutor(2)
    results = pool.map(Apply(slow_process_id, 4), itertools.count())
    next(results)  # one is still at it
    busy = {worker.process.pid for worker in pool._workers}
    pool.close()
    pool.close()  # twice does no harm
    assert all_gone(busy)
    assert not busy & {child.pid for child in multiprocessing.active_children()}
    results.close()
    assert dict(pool.map(Apply(square), range(3))) == {0: 0, 1: 1, 2: 4}  # and it can be used again
    pool.close()


WORK = """
import os

class Work:
    slots = 1
    def __call__(self, feed):
        while (item := feed.take(wait=True)) is not None:
            print(os.getpid(), flush=True)
            while item:  # one worker is busy for ever, the other idle
                pass
            yield item, None
"""
PARENT = """
from work import Work
from worldmodels.rollouts.processes import ProcessExecutor

for _ in ProcessExecutor(2).map(Work(), [1, 0]):
    pass
"""


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path):
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "parent.py"]
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    workers = {int(parent.stdout.readline()) for _ in range(2)}
    parent.kill()
    parent.wait()
    assert len(workers) == 2
    assert all_gone(workers)


ORPHANS = """
import os, sys, time
from joblib import Parallel, delayed
from worldmodels.utils.orphans import leave_with_parent

def job(folder):
    leave_with_parent()
    leave_with_parent()  # twice does no harm
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(600)

if __name__ == "__main__":
    leave_with_parent()  # is for workers: this process has a parent too, and does not look after it
    Parallel(n_jobs=2)(delayed(job)(sys.argv[1]) for _ in range(3))
"""


def test_jobs_of_a_parallel_sweep_do_not_outlive_its_parent(tmp_path):
    (tmp_path / "parent.py").write_text(ORPHANS)
    folder = tmp_path / "pids"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", folder], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert eventually(lambda: len(list(folder.iterdir())) == 2)
    jobs = {int(path.name) for path in folder.iterdir()}
    parent.kill()
    parent.wait()
    assert all_gone(jobs)


def test_a_worker_that_hangs_is_replaced_and_its_item_named_and_redone(tmp_path, caplog):
    with closing(ProcessExecutor(2, patience_seconds=3)) as pool:
        before = workers_of(pool)
        results = within(SOON, lambda: list(pool.map(Apply(functools.partial(hang_once, tmp_path)), range(8))))
        assert sorted(results) == [(number, number**2) for number in range(8)]
        [message] = [record.getMessage() for record in caplog.records]
        assert message == "a worker gave no sign of life for 3 s; it is replaced and starts again on item 3"
        gone = before - workers_of(pool)
        assert len(gone) == 1
        assert all_gone(gone)


def test_an_item_that_always_hangs_ends_the_run():
    with closing(ProcessExecutor(1, patience_seconds=3)) as pool:
        hangs = Episode(label=(3, 1), seed=77)
        with pytest.raises(RuntimeError, match=r"gave up on rollout \(3, 1\) \(seed 77\) .* no sign of life for 3 s"):
            within(SOON, lambda: list(pool.map(Apply(sleep_for_ever), [hangs])))


def test_work_that_takes_long_is_left_alone_as_long_as_it_gives_signs_of_life(caplog):
    with closing(ProcessExecutor(1, patience_seconds=3)) as pool:
        before = workers_of(pool)
        [(_, worker)] = pool.map(Long(seconds=5), [0])
        assert {worker} == before
        assert not caplog.records


def test_a_caller_who_has_enough_does_not_wait_for_a_worker_that_hangs(tmp_path):
    with closing(ProcessExecutor(2, patience_seconds=3)) as pool:
        results = pool.map(Apply(functools.partial(hang_once, tmp_path)), range(3, 100))
        next(results)
        within(SOON, results.close)
        assert dict(pool.map(Apply(square), range(9))) == {number: number**2 for number in range(9)}


def test_a_request_that_only_a_worker_can_refuse_ends_the_run_at_once(pools, tmp_path, caplog):
    with pytest.raises(ConfigError, match=r"^item=1 makes no sense: expected another$"):
        list(pools[1].map(Apply(functools.partial(refuse, tmp_path), 2), range(2)))
    assert len(list(tmp_path.iterdir())) == 1  # no second attempt
    assert not caplog.records
    assert dict(pools[1].map(Apply(square), range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}


@pytest.mark.parametrize("slots", [1, 3])
def test_workers_are_renewed_after_so_many_items(slots):
    with closing(ProcessExecutor(2, renew_after=5)) as pool:
        results = list(pool.map(Apply(process_id, slots), range(24)))
        counts = collections.Counter(pid for _, pid in results)
        assert sorted(number for number, _ in results) == list(range(24))
        assert max(counts.values()) <= 5
        assert len(counts) >= 5
        assert len(pool._workers) <= 2


@pytest.mark.skipif(not hasattr(os, "getppid"), reason="sockets have no paths there")
def test_the_temporary_folder_may_have_a_long_name(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "parent.py").write_text(PARENT.replace("[1, 0]", "[0, 0]"))
    subprocess.run(
        [sys.executable, tmp_path / "parent.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=SOON,
    )


class Mine:
    """An executor of one's own."""

    def __init__(self, workers: int, greeting: str = "hello") -> None:
        self.workers, self.greeting = workers, greeting


def test_the_config_chooses_the_executor():
    assert isinstance(make_executor(ExecutorConfig(engine="serial"), 2), SerialExecutor)
    executor = make_executor(ExecutorConfig(engine={"_target_": "process", "patience_seconds": 7}), 3)
    assert isinstance(executor, ProcessExecutor)
    assert (executor.workers, executor.patience, executor.renew_after) == (3, 7, 5000)
    mine = make_executor(ExecutorConfig(engine={"_target_": f"{__name__}.Mine", "greeting": "hi"}), 3)
    assert (type(mine).__name__, mine.workers, mine.greeting) == ("Mine", 3, "hi")


@pytest.mark.parametrize("setting", ["patience_seconds", "renew_after"])
def test_patience_and_renewal_are_more_than_nothing(setting):
    with pytest.raises(ConfigError, match=rf"executor\.engine\.{setting}=0(\.0)? is .*: expected"):
        make_executor(ExecutorConfig(engine={"_target_": "process", setting: 0}), 3)
