"""The live view of a run."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from worldmodels.utils import live
from worldmodels.utils.live import View, clock


@pytest.fixture
def now(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: seconds[0])
    return seconds


def drawn(view, width=100):
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(view)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def work(**facts):
    return SimpleNamespace(
        **{"what": "vision", "unit": "batches", "total": 10, "done": 4, "left": lambda: 6.0, "rate": lambda: 12.0}
        | facts
    )


@pytest.fixture
def view(now):
    view = View("car_racing, scratch")
    view.expect("car_racing", {"collect": 10.0, "vision": 20.0, "controller": 30.0, "evaluate": 5.0}, generations=4)
    return view


def test_the_time_left_is_of_this_stage_and_of_those_to_come_by_the_pace_so_far(view, now):
    view.begin("car_racing", "collect", "collect")
    now[0] = 4.0
    assert view.left() == pytest.approx(6 + 55)
    now[0] = 20.0
    view.end(cached=False, seconds=20.0)  # twice the estimate
    view.begin("car_racing", "vision", "vision")
    assert view.left() == pytest.approx(2 * (20 + 30 + 5))
    view.work = work()
    assert view.left() == pytest.approx(6 + 2 * (30 + 5))


def test_what_is_reused_says_nothing_of_the_pace(view):
    for stage in ("collect", "vision"):
        view.begin("car_racing", stage, stage)
        view.end(cached=True, seconds=99.0)
    view.begin("car_racing", "controller", "controller")
    assert view.pace() == 1.0
    lines = drawn(view)
    assert [line.endswith("reused") for line in lines[1:3]] == [True, True]


def test_generations_tell_when_the_search_ends(view, now):
    view.begin("car_racing", "controller", "controller")
    for generation in (1, 2):
        now[0] += 7.0
        view.tell("controller", "generations", {"generation": generation, "mean": 1.5, "best": 2.5})
    assert view.stage_left() == pytest.approx(14.0)
    now[0] += 3.0
    assert view.stage_left() == pytest.approx(7 + 4), "a third is under way"
    view.work = work(left=lambda: 2.0)
    assert view.stage_left() == pytest.approx(7 + 2), "its own rollouts know better"
    assert "generation 2 of 4: mean 1.5, best 2.5" in view.current.figures


def test_a_search_that_goes_on_has_earlier_generations_behind_it(view, now):
    view.begin("car_racing", "controller", "controller")
    now[0] += 7.0
    view.tell("controller", "generations", {"generation": 3, "mean": 1.5, "best": 2.5})
    assert view.stage_left() == pytest.approx(7.0)


def test_stages_rates_and_figures_are_shown_within_the_terminal(view):
    view.begin("car_racing", "vision", "vision")
    view.tell("vision", "epochs", {"epoch": 1, "val_reconstruction": 43.21})
    view.tell("vision", "epochs", {"epoch": 2})  # of a V that tells nothing
    view.work = work(what="vision, epoch 2 of 5")
    text = "\n".join(drawn(view))
    for words in ("epoch 2 of 5", "4 of 10 batches", "12/s", "validation error 43.2", "0:06 left", "about 0:30"):
        assert words in text
    assert all(len(line) <= 60 for line in drawn(view, 60))
    view.begin("car_racing", "evaluate", "evaluate")
    for value in (1.0, 3.0):
        view.tell("evaluate", "episodes", {"episode": 1, "return_mean": value})
    assert view.current.figures == "score 2.0 over 2"


def test_a_source_comes_first_and_names_its_task(view):
    view.expect("bipedal_walker", {"collect": 1.0}, generations=0, first=True)
    view.begin("bipedal_walker", "collect", "collect")
    assert "bipedal_walker collect" in drawn(view)[1] and "car_racing collect" in drawn(view)[2]


def test_without_a_terminal_there_is_no_view(capsys):
    with live.shown("a run") as view:
        assert view is live.current() is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (750, "12:30"), (11100, "3:05:00")])
def test_clocks(seconds, text):
    assert clock(seconds) == text
