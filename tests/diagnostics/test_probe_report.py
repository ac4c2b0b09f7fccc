"""The report on held-out rollouts: what is there is found, what is not there is not, and where objects vanish."""

import numpy as np
import pytest

from worldmodels.diagnostics.config import ProbeConfig
from worldmodels.diagnostics.probe_report import HeldoutRollouts, recall, report
from worldmodels.envs.lunar_lander import LunarLander as LANDER
from worldmodels.envs.task import Task
from worldmodels.rollouts.storage import split

SETTINGS = ProbeConfig(epochs=15)


@pytest.fixture
def held():
    """Walks: neighbouring frames are alike, and each rollout is elsewhere."""
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(40, 8)).cumsum(axis=0) / 8 + rng.normal(size=8) for _ in range(30)]
    return HeldoutRollouts(LANDER, states, [np.ones(40, bool)] * 30, list(range(100, 130)))


def test_what_is_there_is_found_and_shuffled_targets_are_not(held):
    rng = np.random.default_rng(1)
    inputs = [np.hstack([rng.normal(size=(40, 5)), s[:, :2] * [3, -2], s[:, 4:5]]) for s in held.states]
    found = report(held, {"z": inputs}, LANDER.visible_targets, SETTINGS)
    assert set(found["z"]) == {"x", "y", "angle_sin", "angle_cos"}
    for target in ("x", "y"):
        assert found["z"][target]["linear"]["r2"] > 0.99
        assert found["z"][target]["mlp"]["r2"] > 0.98
    assert found["z"]["angle_sin"]["mlp"]["r2"] > found["z"]["angle_sin"]["linear"]["r2"]
    for figures in found["z"].values():
        assert max(abs(figures["shuffled"]["linear"]), abs(figures["shuffled"]["mlp"])) < 0.05
        low, high = figures["linear"]["interval"]
        assert low <= figures["linear"]["r2"] <= high
    assert (found["rollouts"], found["frames"]) == (9, 360)


def test_noise_scores_nothing_even_where_it_tells_rollouts_apart(held):
    rng = np.random.default_rng(2)
    inputs = [np.repeat(rng.normal(size=(1, 6)), 40, axis=0) + 0.01 * rng.normal(size=(40, 6)) for _ in held.states]
    found = report(held, {"z": inputs}, ("x", "y"), SETTINGS)
    for figures in found["z"].values():
        assert figures["linear"]["r2"] < 0.15


def test_only_the_scored_rollouts_score(held):
    """Targets of the others may be anything: here, what is scored is what the rest was taught, times -1."""
    scored = set(split(held.seeds, SETTINGS.scored)[1])
    inputs = [s[:, :1] * (-1 if i in scored else 1) for i, s in enumerate(held.states)]
    found = report(held, {"z": inputs}, ("x",), SETTINGS)
    assert found["z"]["x"]["linear"]["r2"] < -1


def test_frames_that_do_not_count_are_left_out(held):
    shown = [np.arange(40) < 20 for _ in held.states]
    inputs = [np.where(mask[:, None], s[:, :1], 1e6) for mask, s in zip(shown, held.states, strict=True)]
    found = report(HeldoutRollouts(LANDER, held.states, shown, held.seeds), {"z": inputs}, ("x",), SETTINGS)
    assert found["z"]["x"]["linear"]["r2"] > 0.99
    assert found["frames"] == 180


def test_too_few_frames_give_no_figures(held):
    nothing = HeldoutRollouts(LANDER, held.states[:2], [np.zeros(40, bool)] * 2, held.seeds[:2])
    found = report(nothing, {"z": held.states[:2]}, ("x",), SETTINGS)
    assert found["z"]["x"]["linear"] == {"r2": None, "interval": [None, None]}
    assert found["z"]["x"]["shuffled"] == {"linear": None, "mlp": None}
    frames = np.zeros((0, 64, 64, 3), np.uint8)
    assert recall(nothing, lambda i, where: frames, lambda i, where: frames, SETTINGS) == {
        "ship": {"recall": None, "interval": [None, None], "frames": 0}
    }


def test_one_rollout_that_scores_gives_figures_without_an_interval(held):
    seeds = held.seeds[:3]
    one = HeldoutRollouts(LANDER, held.states[:3], held.shown[:3], seeds)
    assert len(one.scored(SETTINGS)) == 1
    found = report(one, {"z": held.states[:3]}, ("x",), SETTINGS)["z"]["x"]
    assert found["linear"]["r2"] is not None and found["linear"]["interval"] == [None, None]
    frames = np.zeros((40, 64, 64, 3), np.uint8)
    frames[:, 10:14, 20:24] = (128, 102, 230)
    shown = recall(one, lambda i, where: frames[where], lambda i, where: frames[where], SETTINGS)["ship"]
    assert (shown["recall"], shown["interval"]) == (1, [None, None])


def test_recall_counts_the_frames_whose_ship_is_left(held):
    """Of each four frames one has no ship, one keeps it, one keeps it pale, one shows it elsewhere."""
    ship = (128, 102, 230)

    def frames(rollout, where):
        pictures = np.zeros((len(where), 64, 64, 3), np.uint8)
        pictures[where % 4 > 0, 10:14, 20:24] = ship
        return pictures

    def decoded(rollout, where):
        pictures = frames(rollout, where)
        pictures[where % 4 == 2] = pictures[where % 4 == 2] // 3
        pictures[where % 4 == 3] = np.roll(pictures[where % 4 == 3], 8, axis=2)
        return pictures

    found = recall(held, frames, decoded, SETTINGS)["ship"]
    assert found["recall"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["interval"] == pytest.approx([1 / 3] * 2, abs=1e-3)
    assert found["frames"] == 270
    assert recall(held, frames, frames, SETTINGS)["ship"]["recall"] == 1


def test_a_task_that_declares_nothing_has_no_figures(held):
    nothing = HeldoutRollouts(Task, [np.zeros((40, 0), np.float32)] * 30, held.shown, held.seeds)
    assert report(nothing, {"z": held.states}, Task.visible_targets, SETTINGS) == {
        "z": {},
        "frames": 360,
        "rollouts": 9,
    }
    assert recall(nothing, None, None, SETTINGS) == {}
