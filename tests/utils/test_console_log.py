"""What of the log is on the console."""

import io
import logging
import sys

import pytest

from worldmodels.utils.console_log import DETAILS, arranged


@pytest.fixture
def console():
    """A handler of standard output and one of a file, as Hydra makes them."""
    shown, kept = io.StringIO(), io.StringIO()
    handlers = [logging.StreamHandler(shown), logging.StreamHandler(kept)]
    logger = logging.getLogger("worldmodels")
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("at %(message)s"))
        logger.addHandler(handler)
    yield shown, kept
    logger.setLevel(level)
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("verbose", "viewed", "told"),
    [
        (False, False, ["vision: building", "a warning"]),
        (False, True, ["a warning"]),
        (True, True, ["vision: building", "R² 3", "a warning"]),
    ],
)
def test_details_are_for_the_log_and_beside_a_view_all_but_warnings(console, monkeypatch, verbose, viewed, told):
    shown, kept = console
    monkeypatch.setattr(sys, "stdout", shown)
    with arranged(verbose, viewed, None):
        logging.getLogger("worldmodels.store.building").info("vision: building")
        logging.getLogger(DETAILS[0]).info("R² 3")
        logging.getLogger(DETAILS[0]).warning("a warning")
    assert shown.getvalue().splitlines() == [f"at {line}" for line in told]
    assert len(kept.getvalue().splitlines()) == 3
    logging.getLogger(DETAILS[0]).info("as before")
    assert shown.getvalue().endswith("at as before\n")


def test_lines_of_a_job_beside_others_carry_its_name(console, monkeypatch):
    monkeypatch.setattr(sys, "stdout", console[0])
    with arranged(False, False, "job 3: 50% seed=1"):
        logging.getLogger("worldmodels").info("%d frames", 5)
    assert console[0].getvalue() == "at [job 3: 50% seed=1] 5 frames\n"
    assert console[1].getvalue() == "at 5 frames\n"
