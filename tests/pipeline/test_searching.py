"""A search for C: what it asks for, and what it makes of the answers."""

import collections
import dataclasses
import itertools
import logging
import types

import numpy as np
import pytest
from safetensors.numpy import load_file
from searches import FILES, SMALL, Shuffled, search, set_controller, value_of

from worldmodels.config import config_from_json
from worldmodels.controller.agent import controller_size
from worldmodels.controller.config import PhaseConfig
from worldmodels.pipeline import searching
from worldmodels.pipeline.stages.controller import STAGE
from worldmodels.store.building import Store


@pytest.fixture
def config(compose):
    return compose(*SMALL)


def test_fitness_is_an_individuals_mean_return_in_whatever_order_they_come(config, tmp_path):
    executor = Shuffled()
    rows = search(config, tmp_path, executor)["generations"]
    assert [row["generation"] for row in rows] == [1, 2, 3, 4]
    for row, episodes in zip(rows, executor.generations, strict=True):
        returns = collections.defaultdict(list)
        for episode in episodes:
            returns[episode.player.tobytes()].append(value_of(episode))
        assert [len(values) for values in returns.values()] == [3] * 5
        fitness = [np.mean(values) for values in returns.values()]
        assert row["fitness"] == pytest.approx(fitness, rel=1e-12)
        assert (row["best"], row["worst"]) == (max(row["fitness"]), min(row["fitness"]))
        assert row["mean"] == pytest.approx(np.mean(fitness))
        assert row["std"] == pytest.approx(np.std(fitness, ddof=1))


def test_every_generation_but_the_last_tells_the_time_that_is_left(config, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    search(config, tmp_path, Shuffled())
    lines = [record.getMessage() for record in caplog.records if "generation" in record.getMessage()]
    assert [" left)" in line for line in lines] == [True, True, True, False]
    settings = dataclasses.replace(config.controller, max_minutes=2.0)
    assert searching.seconds_left(settings, 1, 30.0, 20.0) == 60.0
    assert searching.seconds_left(settings, 1, 90.0, 20.0) == 30.0, "the search ends by its minutes"


def test_individuals_of_a_generation_meet_the_same_episodes_and_generations_meet_others(config, tmp_path):
    executor = Shuffled()
    search(config, tmp_path, executor)
    met = []
    for episodes in executor.generations:
        seeds = collections.defaultdict(list)
        for episode in episodes:
            seeds[episode.player.tobytes()].append(episode.seed)
        [own] = {tuple(each) for each in seeds.values()}
        met += own
    assert len(set(met)) == len(met) == 3 * 4


def test_another_seed_of_the_search_is_another_search_in_other_episodes(config, tmp_path):
    """As another seed of the run is, whose data, V and M are others too."""

    def asked(number: str, **settings):
        executor = Shuffled()
        folder = tmp_path / number
        folder.mkdir()
        search(dataclasses.replace(config, **settings), folder, executor)
        return [[(episode.seed, *episode.player) for episode in generation] for generation in executor.generations]

    searched = dataclasses.replace(config.controller, seed=7)
    own, other, run = asked("own"), asked("other", controller=searched), asked("run", seed=7)
    assert own != other
    assert other == run


def test_the_order_of_the_results_changes_nothing(config, tmp_path):
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        search(config, tmp_path / str(seed), Shuffled(seed))
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "01")
    assert first == second


@pytest.mark.parametrize(("lasts", "hidden"), [(0, None), (1, None), (3, None), (2, 4)])
def test_an_interrupted_search_goes_on(config, tmp_path, lasts, hidden):
    config = set_controller(config, hidden=hidden)
    for name in "ab":
        (tmp_path / name).mkdir()
    search(config, tmp_path / "a", Shuffled())
    with pytest.raises(KeyboardInterrupt):
        search(config, tmp_path / "b", Shuffled(lasts=lasts))
    rest = Shuffled()
    search(config, tmp_path / "b", rest)
    assert len(rest.generations) == 4 - lasts
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in "ab")
    assert set(whole) == {"mean", "best", "agent", "covariance"}
    for name, value in whole.items():
        assert value.shape == (controller_size(config, 2),) * (2 if name == "covariance" else 1)
        np.testing.assert_array_equal(resumed[name], value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (20, 16, None)),
        (["controller.patience=7", "executor.slots=3"], (20, 3, 7)),
        (["controller.max_steps=null", "env.max_steps=123"], (123, 16, None)),
        (["env.patience=9"], (20, 16, 9)),
        (["env.patience=9", "controller.patience=7"], (20, 16, 7)),
    ],
)
def test_the_work_is_what_the_config_asks_for(config, compose, tmp_path, overrides, expected):
    config = compose(
        "env=lunar_lander", "scale=smoke", "controller.population=4", "controller.standardise=false", *overrides
    )
    executor = Shuffled()
    search(config, tmp_path, executor)
    [work] = set(executor.works)
    assert (work.max_steps, work.slots, work.patience) == expected
    assert (work.vision, work.memory) == FILES
    assert config_from_json(work.config) == config


@pytest.mark.parametrize(("hidden", "size"), [(None, 6), (4, 4 * 3 + 2 * 5)])
def test_the_log_says_what_searches(config, tmp_path, caplog, hidden, size):
    caplog.set_level("INFO")
    assert search(set_controller(config, hidden=hidden), tmp_path, Shuffled())["parameters"] == size
    assert f"CMA-ES, step size by CSA: {size} parameters, 5 individuals" in caplog.text


def test_more_generations_go_on_from_fewer(config, tmp_path):
    """Through the store, as the pipeline does; the same bits as of a search that was as long from the start."""

    def build(root, generations):
        longer, executor = dataclasses.replace(config), Shuffled()
        longer.controller = dataclasses.replace(config.controller, generations=generations)
        inputs, length = STAGE.inputs(longer), STAGE.length(longer)
        made = Store(root).build(
            "controller",
            "c",
            inputs,
            {},
            lambda folder: search(longer, folder, executor),
            {},
            length=length,
        )
        return made, len(executor.generations)

    (short, first), (long, second) = build(tmp_path / "a", 2), build(tmp_path / "a", 4)
    whole, all_of_them = build(tmp_path / "b", 4)
    assert (first, second, all_of_them) == (2, 2, 4)
    assert long.content == whole.content != short.content
    fitness = [[row["fitness"] for row in made.summary["generations"]] for made in (long, whole)]
    assert fitness[0] == fitness[1] and len(fitness[0]) == 4


def validated(config, *, every=2, **settings):
    changed = dataclasses.replace(
        config.controller, validate_every=every, validation_episodes=3, film=False, **settings
    )
    return dataclasses.replace(config, controller=changed)


def test_the_agent_is_the_mean_with_the_best_validation_score(config, tmp_path):
    """The validation episodes are the same every time, and none that the search meets."""
    config, executor = validated(config), Shuffled()
    rows = search(config, tmp_path, executor)["generations"]
    searched = [executor.generations[i] for i in (0, 1, 3, 4)]
    validations = [executor.generations[i] for i in (2, 5)]
    seeds = [[episode.seed for episode in episodes] for episodes in validations]
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 3
    assert not {episode.seed for episodes in searched for episode in episodes} & set(seeds[0])
    scores = [np.mean([value_of(episode) for episode in episodes]) for episodes in validations]
    assert [row.get("validation") for row in rows] == [None, pytest.approx(scores[0]), None, pytest.approx(scores[1])]
    weights = load_file(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(weights["agent"], validations[int(np.argmax(scores))][0].player)
    np.testing.assert_array_equal(weights["mean"], validations[1][0].player)


@pytest.mark.parametrize("lasts", [1, 3, 5])
def test_an_interrupted_search_remembers_its_best_mean(config, tmp_path, lasts):
    config = validated(config)
    for name in "ab":
        (tmp_path / name).mkdir()
    search(config, tmp_path / "a", Shuffled())
    with pytest.raises(KeyboardInterrupt):
        search(config, tmp_path / "b", Shuffled(lasts=lasts))
    search(config, tmp_path / "b", Shuffled())
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in "ab")
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)


def test_a_search_ends_at_its_target_or_after_its_minutes(config, tmp_path):
    for name, settings, wanted in (("target", {"target": -1e9}, 2), ("minutes", {"max_minutes": 1e-9}, 1)):
        (tmp_path / name).mkdir()
        assert len(search(validated(config, **settings), tmp_path / name, Shuffled())["generations"]) == wanted


def test_minutes_are_counted_on_as_if_there_had_been_no_interruption(config, tmp_path, monkeypatch):
    """Generations of four milliseconds, of which rounded seconds know nothing."""
    ticks = itertools.count()
    monkeypatch.setattr(searching, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks) * 0.004))
    three = set_controller(config, max_minutes=0.011 / 60)
    two, long = (set_controller(three, generations=generations) for generations in (2, 9))
    search(two, tmp_path, Shuffled())
    assert len(search(long, tmp_path, Shuffled())["generations"]) == 3


@pytest.mark.parametrize("hidden", [None, 3])
def test_while_z_alone_is_open_m_is_not_asked(config, tmp_path, hidden):
    config = set_controller(config, hidden=hidden)
    phases = [PhaseConfig(1, inputs=["z"]), PhaseConfig(3, inputs=["z", "h"], rollouts=4)]
    searched = dataclasses.replace(config.controller, inputs=["z", "h"], phases=phases)
    config, executor = dataclasses.replace(config, controller=searched), Shuffled()
    search(config, tmp_path, executor)
    z, zh = (2 * (2 + 1) if hidden is None else 3 * (2 + 1) + 2 * (3 + 1)), controller_size(config, 2)
    assert [len(episodes[0].player) for episodes in executor.generations] == [z, z, zh, zh]
    assert [work.memory for work in executor.works] == [None, None, FILES[1], FILES[1]]
    assert [len(episodes) for episodes in executor.generations] == [15, 15, 20, 20]
