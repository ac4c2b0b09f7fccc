"""A picture of the film of an episode, and its speed."""

import numpy as np
import pytest

from worldmodels.envs import task_spec
from worldmodels.pipeline import filming
from worldmodels.pipeline.filming import EMPTY, FILL, HEIGHT, ROW, TITLE, action_names, picture, shown_at

SEEN = [np.full((400, 600, 3), 90, np.uint8), np.full((64, 64, 3), 120, np.uint8), np.full((64, 64, 3), 150, np.uint8)]


def drawn(compose, action, score=12.5):
    return picture(SEEN, 7, score, np.array(action, np.float32), task_spec(compose().env))


def bar(image, row):
    """Shares of an action's bar that are filled left and right of its middle."""
    line = image[TITLE + HEIGHT + 3 + ROW * (row + 1) + 9]
    filled, empty = ((line == np.uint8(colour)).all(-1) for colour in (FILL, EMPTY))
    (columns,) = np.nonzero(filled | empty)
    middle = (columns[0] + columns[-1]) / 2
    (full,) = np.nonzero(filled)
    half = (columns[-1] - columns[0]) / 2
    return (full < middle).sum() / half, (full > middle).sum() / half


def test_actions_are_bars_from_0_or_from_their_lowest_value(compose):
    image = drawn(compose, [-0.5, 1.0, 0.25])
    assert image.shape[0] % 2 == image.shape[1] % 2 == 0
    assert bar(image, 0) == pytest.approx((0.5, 0.0), abs=0.03), "steer, from -1 to 1"
    assert bar(image, 1) == pytest.approx((1.0, 1.0), abs=0.03), "gas, from 0 to 1"
    assert bar(image, 2) == pytest.approx((0.5, 0.0), abs=0.03), "brake"


def test_titles_and_the_score_are_written_and_the_pictures_are_as_they_are(compose):
    image, other = drawn(compose, [0, 0, 0]), drawn(compose, [0, 0, 0], score=13.5)
    assert image[TITLE : TITLE + HEIGHT, :384].min() == image[TITLE : TITLE + HEIGHT, :384].max() == 90
    assert (image[:TITLE, :100] < 100).any() and (image[:TITLE, 390:500] < 100).any()
    changed = np.nonzero((image != other).any((1, 2)))[0]
    assert len(changed) and changed.min() >= TITLE + HEIGHT and changed.max() < TITLE + HEIGHT + ROW


@pytest.mark.parametrize(
    ("task", "size", "names"),
    [
        ("car_racing", 3, ("steer", "gas", "brake")),
        ("car_racing", 5, ["option 0", "steer right", "steer left", "gas", "brake"]),
        ("mine", 2, ["action 1", "action 2"]),
    ],
)
def test_actions_have_names(task, size, names):
    assert action_names(task, size) == names


def test_short_episodes_are_shown_slowly():
    assert shown_at(500, 25.0) == 25.0
    assert shown_at(60, 25.0) == pytest.approx(60 / filming.SECONDS)
    assert shown_at(2, 25.0) == filming.SLOWEST
    assert shown_at(2, 3.0) == 3.0
