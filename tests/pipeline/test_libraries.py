"""Libraries whose versions count."""

from importlib import metadata

import pytest

from worldmodels.pipeline.pipeline import DECLARED
from worldmodels.pipeline.stage import libraries_of

CV2, PYGAME = "opencv-python-headless", "pygame-ce"
DRAWN = [  # what a task is played with, and drawn by as env.renderer and env.picture say; by Gymnasium for the score
    ("", {"box2d", "numba", CV2, PYGAME}, {"box2d", CV2, PYGAME}),  # CarRacing's bar has a number that pygame writes
    ("env=lunar_lander", {"box2d", "numba"}, {"box2d", CV2, PYGAME}),
    ("env=lunar_lander env.renderer=exact", {"box2d", CV2, PYGAME}, {"box2d", CV2, PYGAME}),
    ("env=pendulum", {CV2, PYGAME}, {CV2, PYGAME}),
    ("env=pendulum env.picture=observation", {CV2}, {CV2}),
]


def libraries(stage, config):
    return set(libraries_of(DECLARED[stage], config)) - {"torch", "cma", "gymnasium", "numpy"}


@pytest.mark.parametrize("stage", ["collect", "heldout", "controller"])
@pytest.mark.parametrize(("overrides", "drawing", "_"), DRAWN)
def test_what_plays_a_task_and_draws_it_counts(stage, overrides, drawing, _, compose):
    assert libraries(stage, compose(*overrides.split())) == drawing


@pytest.mark.parametrize(("overrides", "_", "drawing"), DRAWN)
def test_gymnasium_draws_for_the_score(overrides, _, drawing, compose):
    assert libraries("evaluate", compose(*overrides.split())) == drawing


def test_recorded_rollouts_are_played_by_none(compose):
    assert libraries("collect", compose("collect.recorded=folder")) == {CV2}


@pytest.mark.parametrize("stage", ["vision", "memory", "measure_memory"])
def test_numpys_random_numbers_count(stage, compose):
    assert {"torch", "numpy"} <= set(libraries_of(DECLARED[stage], compose()))


@pytest.mark.parametrize("stage", DECLARED)
def test_every_library_is_installed_under_its_name(stage, compose):
    assert all(metadata.version(name) for name in libraries_of(DECLARED[stage], compose()))


@pytest.mark.parametrize("stage", ["collect", "heldout", "controller", "evaluate"])
def test_the_package_that_registers_a_task_counts_with_that_task_alone(stage, compose):
    pytest.importorskip("ale_py")
    assert metadata.version("ale-py")
    assert "ale-py" in libraries_of(DECLARED[stage], compose("env=pong"))
    assert "ale-py" not in libraries_of(DECLARED[stage], compose())
