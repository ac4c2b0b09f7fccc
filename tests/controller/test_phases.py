"""A search in phases: what is open, and how it goes on."""

import numpy as np
import pytest

from worldmodels.controller.cma_es import CMAES
from worldmodels.controller.config import ControllerConfig, PhaseConfig
from worldmodels.controller.phases import PhasedSearch, phase_at
from worldmodels.controller.scaling import Scaling
from worldmodels.utils.errors import ConfigError

SIZES, ACTIONS = {"z": 3, "h": 5}, 2
SIZE = ACTIONS * (8 + 1)
GOAL = np.random.default_rng(1).normal(size=SIZE)
Z_OPEN = np.concatenate([np.tile(np.r_[np.ones(3, bool), np.zeros(5, bool)], ACTIONS), np.ones(ACTIONS, bool)])


def config(*phases: PhaseConfig, **settings) -> ControllerConfig:
    return ControllerConfig(population=8, phases=list(phases), search={"_target_": "cma_es", "sigma": 0.3}, **settings)


TWO = config(PhaseConfig(1, inputs=["z"]), PhaseConfig(4, inputs=["z", "h"], rollouts=5, search={"diagonal": True}))


def make(settings: ControllerConfig) -> PhasedSearch:
    return PhasedSearch(settings, SIZES, ACTIONS, Scaling.none(8, ACTIONS), seed=0)


def play(search: PhasedSearch, generations: int) -> list[np.ndarray]:
    asked = []
    for _ in range(generations):
        asked.append(search.ask())
        search.tell((-((asked[-1] - GOAL) ** 2).sum(1)).tolist())
    return asked


def test_without_phases_it_is_the_search_itself():
    plain, phased = CMAES(SIZE, 8, seed=0, sigma=0.3), make(config())
    for _ in range(4):
        expected = plain.ask()
        asked = phased.ask()
        np.testing.assert_array_equal(asked, expected)
        returns = (-((asked - GOAL) ** 2).sum(1)).tolist()
        plain.tell(returns)
        phased.tell(returns)
    np.testing.assert_array_equal(phased.mean, plain.mean)
    np.testing.assert_array_equal(phased.best, plain.best)


def test_closed_inputs_stay_at_zero_and_open_from_the_mean():
    search = make(TWO)
    first = play(search, 3)
    assert search._columns().sum() == ACTIONS * (3 + 1)
    assert not np.concatenate(first)[:, ~Z_OPEN].any()
    mean = search.mean
    second = search.ask()
    assert search._columns().sum() == SIZE
    assert (second[:, ~Z_OPEN] != 0).all()
    np.testing.assert_array_equal(search.mean, mean)  # opening moves nothing


def test_opened_inputs_begin_with_a_share_of_the_step():
    many = ControllerConfig(
        population=4000,
        phases=[PhaseConfig(1, inputs=["z"]), PhaseConfig(2, inputs=["z", "h"], opening_step=0.25)],
        search={"_target_": "cma_es", "sigma": 0.3},
    )
    search = make(many)
    search.ask()
    search.tell(np.zeros(4000).tolist())
    spread = search.ask().std(axis=0)
    assert np.median(spread[~Z_OPEN]) / np.median(spread[Z_OPEN]) == pytest.approx(0.25, rel=0.1)


def test_told_the_same_it_goes_on_the_same_in_every_phase():
    for finished in (2, 3, 5):
        search, again = make(TWO), make(TWO)
        play(search, finished)
        play(again, finished)
        np.testing.assert_array_equal(search.ask(), again.ask())


def test_what_holds_in_a_generation():
    assert phase_at(TWO, 1).inputs == ["z"]
    assert (phase_at(TWO, 3).rollouts, phase_at(TWO, 4).rollouts) == (2, 5)
    assert phase_at(TWO, 9).inputs == ["z", "h"]
    assert phase_at(config(patience=7), 9).patience == 7


def test_it_gets_better_in_both_phases():
    search = make(config(PhaseConfig(1, inputs=["z"]), PhaseConfig(60, inputs=["z", "h"])))
    play(search, 59)
    closed = ((search.mean - GOAL)[Z_OPEN] ** 2).sum()
    assert closed < 0.05
    play(search, 150)
    assert ((search.mean - GOAL) ** 2).sum() < 0.5


def test_a_phase_opens_inputs_of_the_controller_only():
    with pytest.raises(ConfigError, match=r"controller.phases: inputs=\['z', 'c'\] from generation 3 on"):
        config(PhaseConfig(3, inputs=["z", "c"]))
    with pytest.raises(ConfigError, match=r"controller\.target=5"):
        config(target=5.0)
