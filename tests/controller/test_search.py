"""The searches: they maximise, seed and returns determine them, and telling the returns again restores them."""

import builtins
import importlib.util
import json
import re
from collections.abc import Callable

import cma
import numpy as np
import pytest

from worldmodels.controller.cma_es import CMAES, FULL_UP_TO, LARGEST_FULL, TPA_FROM
from worldmodels.controller.config import ControllerConfig, PhaseConfig
from worldmodels.controller.phases import PhasedSearch, check_phases
from worldmodels.controller.policy import Shape
from worldmodels.controller.scaling import Scaling
from worldmodels.controller.search import describe
from worldmodels.controller.search import make_search as make
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import generator

SIZE = 12
OPTIMUM = np.linspace(-1, 1, SIZE)
SEARCHES = {
    "full": {"_target_": "cma_es"},
    "diagonal": {"_target_": "cma_es", "diagonal": True},
    "tpa": {"_target_": "cma_es", "step_size": "tpa"},
    "cmaes": {"_target_": "sep_cma"},
}
without_extra = pytest.mark.skipif(not importlib.util.find_spec("cmaes"), reason="the extra search is not installed")
every_search = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[without_extra] if kind == "cmaes" else []) for kind in SEARCHES]
)


def make_search(seed: int = 0, kind: str = "full", population: int = 12):
    config = ControllerConfig(population=population, search={"sigma": 0.3, **SEARCHES[kind]})
    return make(config, SIZE, seed)


def quadratic(population: np.ndarray) -> list[float]:
    """Highest, 0, at `OPTIMUM`."""
    return (-np.square(population - OPTIMUM).sum(axis=1)).tolist()


def flat(population: np.ndarray) -> list[float]:
    """What an agent gets that never scores."""
    return [-100.0] * len(population)


def advance(search, generations: int, returns: Callable[[np.ndarray], list[float]] = quadratic) -> list[str]:
    """Run generations and give their returns as a journal keeps them."""
    told = []
    for _ in range(generations):
        values = returns(search.ask())
        search.tell(values)
        told.append(json.dumps(values))
    return told


@every_search
def test_it_maximises_a_quadratic(kind: str) -> None:
    search = make_search(kind=kind)
    start = quadratic(search.mean[None])[0]
    advance(search, 120)
    assert start < -4
    assert quadratic(search.mean[None])[0] > -1e-2
    assert search.best_return > -1e-1


@every_search
def test_best_is_the_individual_with_the_highest_return_ever(kind: str) -> None:
    search, seen = make_search(kind=kind), []
    for _ in range(10):
        population = search.ask().copy()
        returns = quadratic(population)
        search.tell(returns)
        seen += list(zip(returns, population, strict=True))
    highest, individual = max(seen, key=lambda pair: pair[0])
    assert search.best_return == highest
    np.testing.assert_array_equal(search.best, individual)
    search.ask()
    search.tell([-1e6] * 12)
    np.testing.assert_array_equal(search.best, individual)


@every_search
def test_a_new_search_starts_from_zero_or_where_it_is_told(kind: str) -> None:
    search = make_search(population=5, kind=kind)
    np.testing.assert_array_equal(search.mean, np.zeros(SIZE))
    assert search.ask().shape == (5, SIZE)
    given = np.arange(SIZE, dtype=np.float64)
    search = make(ControllerConfig(search=SEARCHES[kind]), SIZE, 0, given)
    np.testing.assert_array_equal(search.mean, np.arange(SIZE))
    np.testing.assert_array_equal(search.best, np.arange(SIZE))
    advance(search, 2)
    np.testing.assert_array_equal(given, np.arange(SIZE))  # not moved with the mean


@every_search
def test_first_generation_has_the_configured_deviation(kind: str) -> None:
    population = make_search(population=400, kind=kind).ask()
    assert population.std() == pytest.approx(0.3, rel=5 / (2 * population.size) ** 0.5)


@every_search
@pytest.mark.parametrize("returns", [quadratic, flat])
@pytest.mark.parametrize("done", [0, 1, 25])
def test_telling_the_same_returns_restores_it_bit_for_bit(
    kind: str, returns: Callable[[np.ndarray], list[float]], done: int
) -> None:
    search, restored = make_search(kind=kind), make_search(kind=kind)
    for line in advance(search, done, returns):
        restored.ask()
        restored.tell(json.loads(line))
    for _ in range(3):
        np.testing.assert_array_equal(restored.mean, search.mean)
        np.testing.assert_array_equal(restored.best, search.best)
        population, again = search.ask(), restored.ask()
        np.testing.assert_array_equal(again, population)
        search.tell(returns(population))
        restored.tell(returns(again))


@every_search
def test_a_generation_cut_off_before_its_returns_is_asked_for_again(kind: str) -> None:
    """A kill between ask and tell: the restored search asks for that same generation."""
    search, restored = make_search(kind=kind), make_search(kind=kind)
    told = advance(search, 4)
    cut_off = search.ask()
    for line in told:
        restored.ask()
        restored.tell(json.loads(line))
    np.testing.assert_array_equal(restored.ask(), cut_off)


@every_search
def test_the_global_generator_is_neither_used_nor_touched(kind: str) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    first = make_search(kind=kind)
    advance(first, 5)
    after = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    assert after["pos"] == before["pos"] and np.array_equal(after["key"], before["key"])
    np.random.seed(2)  # noqa: NPY002
    second = make_search(kind=kind)
    advance(second, 5)
    np.testing.assert_array_equal(second.ask(), first.ask())


@every_search
def test_seeds_are_different_searches_and_searches_do_not_disturb_each_other(kind: str) -> None:
    alone, first, second = make_search(0, kind), make_search(0, kind), make_search(1, kind)
    assert not np.isclose(first.ask(), second.ask()).any()
    first.tell([0.0] * 12)
    second.tell([0.0] * 12)
    alone.ask()
    alone.tell([0.0] * 12)
    np.testing.assert_array_equal(first.ask(), alone.ask())


@every_search
def test_returns_that_are_no_numbers_are_refused(kind: str) -> None:
    search = make_search(kind=kind)
    search.ask()
    with pytest.raises(ValueError, match=r"nan.*expected finite numbers"):
        search.tell([float("nan")] * 12)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(("size", "rule"), [(TPA_FROM - 1, "CSA"), (TPA_FROM, "TPA")])
def test_the_step_size_can_adapt_as_the_library_chooses(size: int, rule: str, diagonal: bool) -> None:
    """The oracle is the library without our choice of the rule."""
    search = CMAES(size, 6, 0, sigma=0.1, diagonal=diagonal, step_size="auto")
    rng = generator(0, "controller", 0)
    oracle = cma.CMAEvolutionStrategy(
        np.zeros(size),
        0.1,
        {
            "popsize": 6,
            "CMA_diagonal": diagonal,
            "seed": np.nan,
            "verbose": -9,
            "randn": lambda *shape: rng.standard_normal(shape),
        },
    )
    for _ in range(4):
        population, expected = search.ask(), np.stack(oracle.ask())
        np.testing.assert_array_equal(population, expected)
        values = np.square(population - 1).sum(axis=1).tolist()
        search.tell([-value for value in values])
        oracle.tell(list(expected), values)
    assert search.description == f"{'sep-' if diagonal else ''}CMA-ES, step size by {rule}"


@pytest.mark.parametrize("size", [SIZE, TPA_FROM])
def test_the_rule_of_the_step_size_can_be_chosen_at_any_size(size: int) -> None:
    populations = {}
    for rule in ("auto", "csa", "tpa"):
        search = CMAES(size, 6, 0, step_size=rule)
        advance(search, 3, lambda population: np.square(population).sum(axis=1).tolist())
        populations[rule] = search.ask()
    chosen, other = ("tpa", "csa") if size >= TPA_FROM else ("csa", "tpa")
    np.testing.assert_array_equal(populations["auto"], populations[chosen])
    assert not np.array_equal(populations["auto"], populations[other])


def test_a_full_covariance_that_does_not_fit_is_refused_and_a_diagonal_one_is_not() -> None:
    size = LARGEST_FULL + 1
    with pytest.raises(ConfigError, match=r"5,001 parameters takes 0\.2 GB.*set controller\.search\.diagonal=true"):
        CMAES(size, 4, 0, diagonal=False)
    assert CMAES(size, 4, 0).ask().shape == (4, size)


@pytest.mark.parametrize(("size", "kind"), [(FULL_UP_TO, "CMA-ES"), (FULL_UP_TO + 1, "sep-CMA-ES")])
def test_by_default_the_covariance_is_full_where_it_can_adapt_and_outputs_move_by_about_1(size: int, kind: str) -> None:
    search = CMAES(size, 200, 0)
    assert search.description == f"{kind}, step size by CSA"
    assert search.ask().std() == pytest.approx(1.5 / size**0.5, rel=0.05)


@pytest.mark.parametrize("target", ["cma_es", "sep_cma"])
@pytest.mark.parametrize("sigma", [0, 1e300, float("inf")])
def test_a_step_size_that_no_search_survives_is_refused(target: str, sigma: float) -> None:
    config = ControllerConfig(search={"_target_": target, "sigma": sigma})
    with pytest.raises(ConfigError, match=r"controller\.search\.sigma=.* is out of range: expected"):
        make(config, SIZE, 0)


def test_without_its_library_the_other_search_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def missing(name: str, *rest: object):
        if name == "cmaes":
            raise ImportError("No module named 'cmaes'")
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"needs the package cmaes.*pip install 'worldmodels\[search\]'"):
        make_search(kind="cmaes")


def test_the_log_says_what_searches() -> None:
    assert describe(make_search(kind="diagonal"), SIZE, 12) == (
        "sep-CMA-ES, step size by CSA: 12 parameters, 12 individuals"
    )

    class Mine:
        """Says nothing of itself."""

    assert describe(Mine(), 1000, 4) == "Mine: 1,000 parameters, 4 individuals"


class StartsAnywhere:
    """A search of one's own, whose ``start`` has a default."""

    def __init__(self, size: int, population: int, seed: int, start=None, rate: float = 0.5) -> None:
        self.mean, self.best, self.rate = start, start, rate

    def ask(self) -> None: ...

    def tell(self, returns: list[float]) -> None: ...


def test_a_search_of_ones_own_is_given_its_start() -> None:
    config = ControllerConfig(search={"_target_": f"{__name__}.StartsAnywhere", "rate": 0.25})
    search = make(config, SIZE, 0, OPTIMUM)
    assert search.mean is OPTIMUM
    assert search.rate == 0.25


@pytest.mark.parametrize("diagonal", [False, True])
def test_a_search_goes_on_from_the_covariance_of_another(diagonal):
    def valley(x):
        return -(x[0] ** 2) - 4 * x[1] ** 2 - 100 * x[4] ** 2 - 3 * x[0] * x[1]

    first = CMAES(5, 20, 0, sigma=0.5, diagonal=diagonal)
    for _ in range(25):
        first.tell([valley(x) for x in first.ask()])
    kept = {"start": first.mean, "covariance": first.covariance}
    drawn = np.concatenate([CMAES(5, 2000, seed, **kept).ask() for seed in range(5)])
    np.testing.assert_allclose(np.cov(drawn.T), first.covariance, atol=0.05 * first.covariance.max())
    np.testing.assert_allclose(drawn.mean(0), first.mean, atol=4 * first.deviations.max() / 100)
    second = CMAES(5, 20, 1, diagonal=diagonal, **kept)
    np.testing.assert_allclose(second.covariance, first.covariance, rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(second.deviations, first.deviations, rtol=1e-3)
    for _ in range(40):
        second.tell([valley(x) for x in second.ask()])
    assert valley(second.mean) > valley(first.mean), "it goes on"


def test_the_mean_and_the_covariance_are_of_c_where_the_library_changes_its_coordinates():
    """It does above a condition of 1e12."""
    scales = np.logspace(0, 8, 4)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    search = CMAES(4, 400, 0, sigma=0.5)
    while search._strategy.gp.isidentity:
        search.tell([-float(np.sum((scales * (turn @ (x - 1))) ** 2)) for x in search.ask()])
    drawn, deviations = search.ask(), search.deviations
    assert (np.abs(drawn.mean(0) - search.mean) < 5 * deviations / 20).all()
    np.testing.assert_allclose(drawn.std(0), deviations, rtol=0.2)
    np.testing.assert_allclose(np.sqrt(np.diag(search.covariance)), deviations, rtol=1e-6)


class Mistaken:
    """A search of one's own with one mistake, ``fault``."""

    def __init__(self, size: int, population: int, seed: int, start: np.ndarray, fault: str) -> None:
        self.fault, self.mean, self.asked = fault, start.copy(), np.zeros((population, size))
        if fault != "no best":
            self.best = start
        if fault == "short mean":
            self.mean = start[1:]

    def ask(self) -> object:
        asked = self.asked + (np.nan if self.fault == "nan asked" else 0.0)
        given = {"short": asked[:, 1:], "few": asked[1:], "none": None, "ragged": [[0.0], [0.0, 1.0]], "words": "ab"}
        return given.get(self.fault, asked)

    def tell(self, returns: object) -> None:
        if self.fault == "nan mean":
            self.mean = self.mean * np.nan


MISTAKES = {
    "no best": "has no best: expected all that",
    "short mean": f"its mean is of shape ({SIZE - 1},): expected {SIZE} finite numbers, ({SIZE},)",
    "nan mean": f"its mean is not finite in {SIZE} of {SIZE} numbers",
    "nan asked": f"ask() is not finite in {8 * SIZE} of {8 * SIZE} numbers",
    "short": f"ask() is of shape (8, {SIZE - 1}): expected 8 individuals of {SIZE} finite numbers, (8, {SIZE})",
    "few": f"ask() is of shape (7, {SIZE}): expected 8 individuals of",
    "none": "ask() is NoneType: expected 8",
    "ragged": "ask() is list: expected 8",
    "words": "ask() is str: expected 8",
}


@pytest.mark.parametrize("fault", MISTAKES)
def test_what_a_search_of_ones_own_gives_is_checked(fault: str) -> None:
    """Also by the check of a run, before anything is trained, where it shows at once."""
    path = f"{__name__}.Mistaken"
    config = ControllerConfig(population=8, search={"_target_": path, "fault": fault})
    told = re.escape(f"controller.search={path}: {MISTAKES[fault]}".replace(": has", " has"))
    if fault != "nan mean":
        with pytest.raises(ConfigError, match=told):
            check_phases(config, {"z": SIZE - 1}, outputs=1, seed=0)
    search = PhasedSearch(config, {"z": SIZE - 1}, Scaling.none(Shape(SIZE - 1, 1)), seed=0)
    with pytest.raises(ConfigError, match=told):
        search.tell([0.0] * len(search.ask()))
        assert search.mean is None, "never reached"


class Strict:
    """A search of one's own that is asked and told in turns."""

    def __init__(self, size: int, population: int, seed: int, start: np.ndarray) -> None:
        self.mean, self.best, self.asked = start, start, np.zeros((population, size))
        self.waits = False

    def ask(self) -> np.ndarray:
        assert not self.waits, "asked twice"
        self.waits = True
        return self.asked

    def tell(self, returns: object) -> None:
        self.waits = False


def test_a_check_asks_each_search_once() -> None:
    """The second phase has other episodes and the same search, and the third opens inputs."""
    phases = [PhaseConfig(1, ["z"]), PhaseConfig(3, rollouts=3), PhaseConfig(5, ["z", "h"])]
    config = ControllerConfig(population=8, generations=9, search=f"{__name__}.Strict", phases=phases)
    check_phases(config, {"z": 2, "h": 3}, outputs=1, seed=0)
