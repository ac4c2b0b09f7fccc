"""The search: it maximises, its seed and the returns determine it, and telling the returns again restores it."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from worldmodels.controller.cma_es import Search
from worldmodels.controller.config import ControllerConfig

SIZE = 12
OPTIMUM = np.linspace(-1, 1, SIZE)


def make_search(seed: int = 0, diagonal: bool = False, population: int = 12) -> Search:
    config = ControllerConfig(population=population, rollouts=1, generations=1, sigma=0.3, diagonal=diagonal)
    return Search(config, SIZE, seed)


def quadratic(population: np.ndarray) -> list[float]:
    """Highest, 0, at `OPTIMUM`."""
    return (-np.square(population - OPTIMUM).sum(axis=1)).tolist()


def flat(population: np.ndarray) -> list[float]:
    """What an agent gets that never scores."""
    return [-100.0] * len(population)


def advance(search: Search, generations: int, returns: Callable[[np.ndarray], list[float]] = quadratic) -> list[str]:
    """Run generations and give their returns as a journal keeps them."""
    told = []
    for _ in range(generations):
        values = returns(search.ask())
        search.tell(values)
        told.append(json.dumps(values))
    return told


@pytest.mark.parametrize("diagonal", [False, True])
def test_it_maximises_a_quadratic(diagonal: bool) -> None:
    search = make_search(diagonal=diagonal)
    start = quadratic(search.mean[None])[0]
    advance(search, 120)
    assert start < -4
    assert quadratic(search.mean[None])[0] > -1e-3
    assert search.best_return > -1e-2


def test_best_is_the_individual_with_the_highest_return_ever() -> None:
    search, seen = make_search(), []
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


def test_a_new_search_starts_from_zero() -> None:
    search = make_search(population=5)
    np.testing.assert_array_equal(search.mean, np.zeros(SIZE))
    assert search.ask().shape == (5, SIZE)


def test_first_generation_has_the_configured_deviation() -> None:
    population = make_search(population=400).ask()
    assert population.std() == pytest.approx(0.3, rel=5 / (2 * population.size) ** 0.5)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("returns", [quadratic, flat])
@pytest.mark.parametrize("done", [0, 1, 25])
def test_telling_the_same_returns_restores_it_bit_for_bit(
    diagonal: bool, returns: Callable[[np.ndarray], list[float]], done: int
) -> None:
    search, restored = make_search(diagonal=diagonal), make_search(diagonal=diagonal)
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


def test_a_generation_cut_off_before_its_returns_is_asked_for_again() -> None:
    """A kill between ask and tell: the restored search asks for that same generation."""
    search, restored = make_search(), make_search()
    told = advance(search, 4)
    cut_off = search.ask()
    for line in told:
        restored.ask()
        restored.tell(json.loads(line))
    np.testing.assert_array_equal(restored.ask(), cut_off)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_global_generator_is_neither_used_nor_touched(diagonal: bool) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    first = make_search(diagonal=diagonal)
    advance(first, 5)
    after = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    assert after["pos"] == before["pos"] and np.array_equal(after["key"], before["key"])
    np.random.seed(2)  # noqa: NPY002
    second = make_search(diagonal=diagonal)
    advance(second, 5)
    np.testing.assert_array_equal(second.ask(), first.ask())


def test_seeds_are_different_searches_and_searches_do_not_disturb_each_other() -> None:
    alone, first, second = make_search(0), make_search(0), make_search(1)
    assert not np.isclose(first.ask(), second.ask()).any()
    first.tell([0.0] * 12)
    second.tell([0.0] * 12)
    alone.ask()
    alone.tell([0.0] * 12)
    np.testing.assert_array_equal(first.ask(), alone.ask())
