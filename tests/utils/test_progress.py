"""The time that is left."""

import logging

import numpy as np
import pytest

from worldmodels.utils import interrupts, progress
from worldmodels.utils.progress import Progress, duration, seconds_left


def ends(durations, at_once):
    """When each unit ends if ``at_once`` are under way, each followed by the next one that waits: sorted seconds."""
    free, found = [0.0] * at_once, []
    for each in durations:
        place = int(np.argmin(free))
        free[place] += each
        found.append(free[place])
    return sorted(found)


@pytest.mark.parametrize(("total", "at_once"), [(4, 16), (16, 16), (48, 16), (50, 16), (5, 1), (200, 32)])
def test_units_of_one_length_tell_the_time_that_is_left_exactly(total, at_once):
    found = ends([7.0] * total, at_once)
    for done, now in enumerate(found, 1):
        assert seconds_left(done, total, at_once, now) == pytest.approx(found[-1] - now)


@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_units_of_any_length_tell_it_about(at_once):
    rng = np.random.default_rng(0)
    found = ends(rng.uniform(1, 9, 300), at_once)
    for done in (100, 200, 290):
        left = seconds_left(done, 300, at_once, found[done - 1])
        assert left == pytest.approx(found[-1] - found[done - 1], abs=0.1 * found[-1])


def test_nothing_done_tells_nothing():
    assert seconds_left(0, 5, 1, 3.0) is None


def test_a_log_has_a_line_now_and_then(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    now = iter(np.arange(0.0, 1000.0, 8.0))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(now)))
    with Progress("play", 10, "episodes", already_done=4) as bar:
        for _ in range(6):
            bar.advance(1)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) > 1 and all("of 10 episodes" in line for line in lines)
    assert ["s left" in line for line in lines] == ["10 of" not in line for line in lines]


@pytest.mark.parametrize(("seconds", "lines"), [(1.0, [5, 20]), (7.0, [1, 4, 7]), (40.0, [1, 2, 3])])
def test_the_first_long_unit_tells_the_time_that_is_left(monkeypatch, caplog, seconds, lines):
    """A line after so many units of so many seconds each."""
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with Progress("search", 100, "episodes") as bar:
        for _ in range(lines[-1]):
            now[0] += seconds
            bar.advance(1)
    left = [f"search: {n} of 100 episodes, {1 / seconds:.3g}/s, {duration((100 - n) * seconds)} left" for n in lines]
    assert [record.getMessage().strip() for record in caplog.records] == left


def test_what_takes_longer_than_others_did_is_not_about_to_end(monkeypatch, caplog):
    """Of two episodes at once one ended after 72 s: of the other it is only known that it goes on."""
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with Progress("play", 2, "episodes", at_once=16) as bar:
        now[0] = 72.0
        bar.advance(1)
        assert bar.left() is None
    assert [record.getMessage().strip() for record in caplog.records] == ["play: 1 of 2 episodes, 0.0139/s"]


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (99, "99 s"), (185, "3 min"), (7500, "2 h")])
def test_time_for_people(seconds, words):
    assert duration(seconds) == words


def test_an_interrupt_is_heard_where_work_advances_but_not_where_it_is_only_shown(monkeypatch):
    monkeypatch.setattr(interrupts, "_requested", True)
    with Progress("train", 10, "batches") as bar:
        bar.show(1)
        with pytest.raises(KeyboardInterrupt):
            bar.advance(1)
