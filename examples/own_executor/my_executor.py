"""An executor of one's own, over any pool with the interface of `concurrent.futures`."""

import itertools
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

from worldmodels.rollouts.engine import Items
from worldmodels.rollouts.executor import one_thread


def play(work, item):
    """Runs where the pool has its workers: the result of one item."""
    with one_thread():
        [(_, result)] = work(Items(iter([item])))
    return result


class Pool:
    """``workers`` is a fact that the framework gives; ``ahead`` is a setting: items a worker that are handed out."""

    def __init__(self, workers, ahead: int = 2):
        self.handed_out = workers * ahead
        # In its place: mpi4py.futures.MPIPoolExecutor(), distributed.Client(…).get_executor(), …
        self.pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))

    def map(self, work, items):
        """(item, result) as they finish."""
        items, under_way = iter(items), {}
        try:
            while True:
                for item in itertools.islice(items, self.handed_out - len(under_way)):
                    under_way[self.pool.submit(play, work, item)] = item
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        finally:  # also when the caller has enough: nothing is left under way
            wait([future for future in under_way if not future.cancel()])

    def close(self):
        self.pool.shutdown(cancel_futures=True)
