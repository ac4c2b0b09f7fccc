"""Executors: the same results for any number of workers, whatever happens to them."""

import itertools
import logging
import os
import signal
import threading
from contextlib import closing

import cv2
import pytest
import torch

from worldmodels.rollouts.executor import ATTEMPTS, ProcessExecutor, SerialExecutor, make_executor


def square(x):
    return x * x


def process_id(_):
    return os.getpid()


def thread_counts(_):
    return torch.get_num_threads(), cv2.getNumThreads(), os.getpid()


def die_once(item):
    """Item 3 takes its worker with it, the first time."""
    marker, number = item
    if number == 3 and not marker.exists():
        marker.touch()
        os._exit(7)
    return number * number


def stumble_once(item):
    marker, number = item
    if number == 3 and not marker.exists():
        marker.touch()
        raise ValueError("stumbled over item 3")
    return number * number


def always_fail(item):
    folder, number = item
    if number == 1:
        (folder / f"attempt{len(list(folder.iterdir()))}").touch()
        raise ValueError("never works")
    return number


def always_die(number):
    os._exit(7)


@pytest.fixture(scope="module")
def pools():
    """One and two workers, kept for the whole file."""
    with closing(ProcessExecutor(1)) as one, closing(ProcessExecutor(2)) as two:
        yield {1: one, 2: two}


def test_results_are_the_same_for_any_number_of_workers(pools):
    expected = {number: number * number for number in range(20)}
    assert list(SerialExecutor().map(square, range(20))) == list(expected.items())
    for pool in pools.values():
        results = list(pool.map(square, range(20)))
        assert len(results) == 20
        assert dict(results) == expected


def test_no_items_give_no_results(pools):
    assert list(pools[2].map(square, [])) == []
    assert list(SerialExecutor().map(square, [])) == []


def test_work_leaves_this_process_and_its_threads_are_one(pools):
    rows = [row for _, row in pools[2].map(thread_counts, range(8))]
    assert {row[0] for row in rows} == {1}
    assert all(row[1] <= 1 for row in rows)
    assert os.getpid() not in {row[2] for row in rows}


def test_work_in_this_process_has_one_thread_too():
    """The order of a sum depends on the number of threads, and so would a return's last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = [(row[0], torch.get_num_threads()) for _, row in SerialExecutor().map(thread_counts, [0, 1])]
        assert seen == [(1, 2), (1, 2)]
    finally:
        torch.set_num_threads(before)


def test_a_worker_that_dies_is_replaced_and_its_item_redone(pools, tmp_path, caplog):
    for workers, pool in pools.items():
        marker = tmp_path / str(workers)
        results = list(pool.map(die_once, [(marker, number) for number in range(8)]))
        assert marker.exists()
        assert sorted(value for _, value in results) == [number**2 for number in range(8)]
    assert caplog.text.count("a worker died; it is replaced") == 2


def test_an_exception_is_logged_with_the_workers_traceback_and_its_item_redone(pools, tmp_path, caplog):
    results = list(pools[2].map(stumble_once, [(tmp_path / "marker", number) for number in range(8)]))
    assert sorted(value for _, value in results) == [number**2 for number in range(8)]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "stumbled over item 3" in caplog.text
    assert "in stumble_once" in caplog.text  # a line of the worker's own stack


def test_an_item_that_always_fails_ends_the_run(pools, tmp_path):
    with pytest.raises(RuntimeError, match=f"gave up on a rollout after {ATTEMPTS} attempts") as caught:
        list(pools[2].map(always_fail, [(tmp_path, number) for number in range(4)]))
    assert "never works" in str(caught.value.__cause__)
    assert len(list(tmp_path.iterdir())) == ATTEMPTS
    assert dict(pools[2].map(square, range(4))) == {0: 0, 1: 1, 2: 4, 3: 9}  # and the pool is good for another


def test_an_item_that_always_kills_its_worker_ends_the_run(pools):
    with pytest.raises(RuntimeError, match=f"gave up on a rollout after {ATTEMPTS} attempts"):
        list(pools[1].map(always_die, [1]))


def test_enough_is_enough_and_the_workers_stay(pools):
    pool = pools[1]
    ((_, worker),) = pool.map(process_id, [0])
    results = pool.map(square, itertools.count())  # no end
    taken = dict(itertools.islice(results, 5))
    results.close()
    assert len(taken) == 5
    assert all(value == number * number for number, value in taken.items())
    assert dict(pool.map(process_id, [0, 1])) == {0: worker, 1: worker}


def test_a_worker_that_dies_between_two_uses_is_replaced():
    """A broken pool must not leave the caller waiting for ever."""
    with closing(ProcessExecutor(1)) as pool:
        ((_, worker),) = pool.map(process_id, [0])
        manager = pool._pool._executor_manager_thread
        os.kill(worker, signal.SIGKILL)
        manager.join(timeout=20)  # now the pool knows
        assert not manager.is_alive()
        results = []
        caller = threading.Thread(target=lambda: results.extend(pool.map(square, range(3))), daemon=True)
        caller.start()
        caller.join(timeout=10)
        waits = caller.is_alive()
    caller.join(timeout=20)  # closing the executor frees a caller that waits
    assert not waits
    assert sorted(results) == [(0, 0), (1, 1), (2, 4)]


def test_closing_ends_the_workers():
    pool = ProcessExecutor(1)
    ((_, worker),) = pool.map(process_id, [0])
    processes = list(pool._pool._processes.values())
    pool.close()
    pool.close()  # twice does no harm
    for process in processes:
        process.join(timeout=20)
        assert process.exitcode is not None
    assert [process.pid for process in processes] == [worker]


def test_the_config_chooses_the_executor():
    assert isinstance(make_executor("serial", 2), SerialExecutor)
    executor = make_executor("process", 3)
    assert isinstance(executor, ProcessExecutor)
    assert executor.workers == 3
