"""A search in phases: what is open, and how it goes on."""

import numpy as np
import pytest

from worldmodels.controller.cma_es import CMAES
from worldmodels.controller.config import ControllerConfig, PhaseConfig
from worldmodels.controller.inputs import read_inputs
from worldmodels.controller.phases import PhasedSearch, phase_at, phase_table
from worldmodels.controller.policy import Controllers, Shape, agent_parameters
from worldmodels.controller.scaling import Scaling
from worldmodels.utils.errors import ConfigError

SIZES, ACTIONS = {"z": 3, "h": 5}, 2
SIZE = ACTIONS * (8 + 1)
SHAPE = Shape(8, ACTIONS)
GOAL = np.random.default_rng(1).normal(size=SIZE)
Z_OPEN = np.concatenate([np.tile(np.r_[np.ones(3, bool), np.zeros(5, bool)], ACTIONS), np.ones(ACTIONS, bool)])


def config(*phases: PhaseConfig, **settings) -> ControllerConfig:
    return ControllerConfig(population=8, phases=list(phases), search={"_target_": "cma_es", "sigma": 0.3}, **settings)


TWO = config(PhaseConfig(1, inputs=["z"]), PhaseConfig(4, inputs=["z", "h"], rollouts=5, search={"diagonal": True}))


def make(settings: ControllerConfig) -> PhasedSearch:
    return PhasedSearch(settings, SIZES, Scaling.none(SHAPE), seed=0)


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
    with pytest.raises(ConfigError, match=r"inputs=\['z'\] from generation 3 on close what is open, \['z', 'h'\]"):
        config(PhaseConfig(1, inputs=["z", "h"]), PhaseConfig(3, inputs=["z"]))
    with pytest.raises(ConfigError, match=r"search=\{'diagonal': True\} from generation 3 on changes nothing"):
        config(PhaseConfig(1, inputs=["z"]), PhaseConfig(3, search={"diagonal": True}))
    with pytest.raises(ConfigError, match=r"search\.sigma from generation 3 on is not used: expected opening_step"):
        config(PhaseConfig(1, inputs=["z"]), PhaseConfig(3, inputs=["z", "h"], search={"sigma": 0.2}))
    with pytest.raises(ConfigError, match=r"begin at generations \[3, 3\]"):
        config(PhaseConfig(3, rollouts=2), PhaseConfig(3, rollouts=4))
    with pytest.raises(ConfigError, match=r"controller\.target=5"):
        config(target=5.0)


@pytest.mark.parametrize("hidden", [None, 3])
def test_what_is_played_is_what_is_returned_whatever_the_search_starts_from(hidden):
    """A source's weights of closed inputs are dropped: C of all inputs and C of the open ones act the same. Those that
    are opened begin without effect.
    """
    rng, shape = np.random.default_rng(2), Shape(8, ACTIONS, hidden)
    scaling = Scaling(rng.normal(size=8), rng.uniform(0.5, 2, 8), shape)
    search = PhasedSearch(TWO, SIZES, scaling, seed=0, start=rng.normal(size=shape.size))
    x, others, goal = rng.normal(size=8), rng.normal(size=5), rng.normal(size=shape.size)
    for generation in range(5):
        asked = search.ask()
        assert search.inputs == (["z"] if generation < 3 else ["z", "h"])
        read = x[:3] if generation < 3 else x
        whole, narrow = Controllers(1, shape), Controllers(1, Shape(len(read), ACTIONS, hidden))
        for parameters in (*asked, search.mean):
            whole.set(0, parameters)
            narrow.set(0, search.narrow(parameters))
            np.testing.assert_allclose(narrow([0], read[None]), whole([0], x[None]), rtol=1e-9, atol=1e-12)
        if generation == 3:  # the mean is what it was
            np.testing.assert_allclose(whole([0], np.append(x[:3], others)[None]), whole([0], x[None]), rtol=1e-9)
        search.tell((-((asked - goal) ** 2).sum(1)).tolist())


@pytest.mark.parametrize("hidden", [None, 6])
def test_a_first_step_moves_every_layer_as_much_whatever_is_open_and_goes_on_when_more_is_opened(hidden):
    """The sums of numbers of deviation 1: 1.5 / √A, as those of a linear C of the open inputs."""
    sizes, rng, steps = {"z": 3, "h": 60}, np.random.default_rng(3), []
    phases = [PhaseConfig(1, inputs=["z"]), PhaseConfig(2, inputs=["z", "h"], opening_step=0.1)]
    settings = ControllerConfig(search="cma_es", inputs=["z", "h"], phases=phases, population=3000)
    search = PhasedSearch(settings, sizes, Scaling.none(Shape(63, ACTIONS, hidden)), seed=0)
    for read in (3, 63):
        layers = Shape(read, ACTIONS, hidden).split(search.narrow(search.ask()))
        steps.append([weights[..., :3].std() for weights, _ in layers])
        if read == 3:
            for weights, bias in layers:
                moved = (weights * rng.normal(size=(3000, 1, weights.shape[-1]))).sum(-1) + bias
                assert moved.std() == pytest.approx(1.5 / np.sqrt(ACTIONS), rel=0.05)
            search.tell(np.zeros(3000).tolist())
    ratios = np.divide(*steps)  # the step size may have changed, of all layers alike
    assert ratios == pytest.approx(np.full(len(ratios), ratios[0]), rel=0.05)


def test_the_best_individual_is_of_comparable_returns():
    """Five episodes each from generation 4 on: a lucky return of fewer counts no more."""
    search = make(TWO)
    for generation in range(4):
        asked = search.ask()
        returns = np.arange(8.0) + (100 if generation < 3 else 0)
        search.tell(returns.tolist())
    np.testing.assert_array_equal(search.best, asked[7])


def test_what_c_reads_is_what_opens_in_time():
    phases = [PhaseConfig(1, inputs=["z"]), PhaseConfig(4, inputs=["z", "h"])]
    assert read_inputs(config(*phases, generations=3)) == ["z"]
    assert read_inputs(config(*phases, generations=4)) == ["z", "h"]
    assert read_inputs(config(*phases, generations=9, inputs=["z"])) == ["z"]
    assert read_inputs(config()) == ["z", "h"]


def test_phases_that_change_nothing_change_no_key():
    wanted = phase_table(config(generations=9))
    assert len(wanted) == 1
    assert phase_table(config(PhaseConfig(10, rollouts=7), generations=9)) == wanted
    assert phase_table(config(PhaseConfig(3, rollouts=2), PhaseConfig(5, inputs=["z", "h"]), generations=9)) == wanted
    assert [row["generation"] for row in phase_table(TWO)] == [1, 4]


def test_the_agent_is_the_mean_that_validated_best_or_of_old_searches_the_mean():
    mean, agent = np.zeros(3), np.ones(3)
    assert agent_parameters({"mean": mean, "best": mean, "agent": agent}) is agent
    assert agent_parameters({"mean": mean, "best": agent}) is mean


def test_a_search_goes_on_from_the_covariance_of_one_on_another_scale():
    """In coordinates in which inputs have deviation 1 in both."""
    rng = np.random.default_rng(0)
    scales = [Scaling(rng.normal(0, 2, 8), rng.uniform(0.1, 3, 8), SHAPE) for _ in range(2)]
    first = PhasedSearch(config(), SIZES, scales[0], seed=0)
    play(first, 20)
    many = ControllerConfig(population=20_000)
    second = PhasedSearch(many, SIZES, scales[1], seed=1, start=first.mean, covariance=first.covariance)
    drawn = second.ask()
    assert first.covariance is not None
    deviations = np.sqrt(np.diag(first.covariance))
    found = np.cov([scales[1].to_search(individual) for individual in drawn], rowvar=False)
    np.testing.assert_allclose((found - first.covariance) / np.outer(deviations, deviations), 0, atol=0.05)
    assert (np.abs(drawn.mean(0) - first.mean) < 5 * drawn.std(0) / 141).all()


def test_an_interrupted_search_that_goes_on_from_a_covariance_is_restored():
    half = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    facts = {"seed": 0, "start": GOAL + 1, "covariance": half @ half.T / SIZE}
    scaling = Scaling(np.arange(8.0), np.linspace(0.5, 2, 8), SHAPE)
    whole, restored = (PhasedSearch(config(), SIZES, scaling, **facts) for _ in range(2))
    returns = [(-((generation - GOAL) ** 2).sum(1)).tolist() for generation in play(whole, 12)]
    for row in returns[:6]:
        restored.ask()
        restored.tell(row)
    play(restored, 6)
    np.testing.assert_array_equal(restored.mean, whole.mean)
    np.testing.assert_array_equal(restored.covariance, whole.covariance)
