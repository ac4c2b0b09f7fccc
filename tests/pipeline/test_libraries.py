"""Libraries whose versions count."""

from importlib import metadata

import pytest

from worldmodels.pipeline.pipeline import DECLARED
from worldmodels.pipeline.stage import libraries_of


@pytest.mark.parametrize("stage", ["collect", "heldout", "evaluate"])
def test_what_makes_the_frames_and_the_task_counts(stage, compose):
    assert {"numpy", "opencv-python-headless"} <= set(libraries_of(DECLARED[stage], compose()))


@pytest.mark.parametrize("stage", ["collect", "heldout", "controller", "evaluate"])
def test_the_package_that_registers_a_task_counts_with_that_task_alone(stage, compose):
    pytest.importorskip("ale_py")
    assert metadata.version("ale-py")
    assert "ale-py" in libraries_of(DECLARED[stage], compose("env=pong"))
    assert "ale-py" not in libraries_of(DECLARED[stage], compose())
