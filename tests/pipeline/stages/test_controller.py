"""The controller stage: what it asks for, and what it makes of the answers."""

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from worldmodels.config import config_from_json
from worldmodels.controller.agent import controller_size
from worldmodels.pipeline.stages import controller
from worldmodels.store.artifacts import Store
from worldmodels.store.journal import Journal
from worldmodels.utils.errors import ConfigError

FILES = (Path("vision.safetensors"), Path("memory.safetensors"))


class Shuffled:
    """An executor that knows the results beforehand and gives them in any order; ``lasts`` for so many maps."""

    def __init__(self, seed=0, lasts=None):
        self.rng, self.lasts = np.random.default_rng(seed), lasts
        self.works, self.generations = [], []

    def map(self, work, items):
        if len(self.generations) == self.lasts:
            raise KeyboardInterrupt
        self.works.append(work)
        self.generations.append(list(items))
        for i in self.rng.permutation(len(self.generations[-1])):
            yield self.generations[-1][i], value_of(self.generations[-1][i])


def value_of(episode):
    """Highest where every parameter is 1; some episodes are easier than others."""
    return -float(np.square(episode.player - 1).mean()) + episode.seed % 97 / 97


def search(config, folder, executor, source=None):
    return controller.run(config, *FILES, 2, source, executor, folder, Journal(folder, None, "controller"))


@pytest.fixture
def config(compose):
    return compose(
        *("env=lunar_lander", "scale=smoke", "controller.inputs=[z]", "vae.network.latent_size=2"),
        *("controller.population=5", "controller.rollouts=3", "controller.generations=4"),
        *("controller.standardise=false", "controller.search.sigma=0.1"),
    )


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


def test_the_order_of_the_results_changes_nothing(config, tmp_path):
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        search(config, tmp_path / str(seed), Shuffled(seed))
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "01")
    assert first == second


@pytest.mark.parametrize("lasts", [0, 1, 3])
def test_an_interrupted_search_goes_on(config, tmp_path, lasts):
    for name in "ab":
        (tmp_path / name).mkdir()
    search(config, tmp_path / "a", Shuffled())
    with pytest.raises(KeyboardInterrupt):
        search(config, tmp_path / "b", Shuffled(lasts=lasts))
    rest = Shuffled()
    search(config, tmp_path / "b", rest)
    assert len(rest.generations) == 4 - lasts
    whole, resumed = (load_file(tmp_path / name / "weights.safetensors") for name in "ab")
    assert set(whole) == {"mean", "best", "agent"}
    for name, value in whole.items():
        assert value.shape == (controller_size(config, 2),)
        np.testing.assert_array_equal(resumed[name], value)


def test_a_search_starts_from_a_sources_mean(config, tmp_path):
    """Two actions from one: the first row is the source's, the second is zero."""
    given = tmp_path / "source.safetensors"
    save_file({"mean": np.array([3.0, 4, 5]), "best": np.zeros(3)}, given)
    executor = Shuffled()
    search(config, tmp_path, executor, controller.Source(given, 1))
    players = np.array([episode.player for episode in executor.generations[0]])
    np.testing.assert_allclose(players.mean(0), [3, 4, 0, 0, 5, 0], atol=0.3)  # σ = 0.1


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


LARGE = ("env=bipedal_walker", "memory.network.hidden_size=2048", "controller.inputs=[z,h,c]")


def test_a_search_that_does_not_fit_is_refused_before_anything_is_trained(compose):
    with pytest.raises(ConfigError, match=r"16,516 parameters takes 2\.2 GB .* set controller\.search\.diagonal=true"):
        controller.check(compose(*LARGE, "controller.search.diagonal=false"), 4)
    controller.check(compose(*LARGE), 4)  # a diagonal one by itself


def test_the_log_says_what_searches(config, tmp_path, caplog):
    caplog.set_level("INFO")
    search(config, tmp_path, Shuffled())
    assert "CMA-ES, step size by CSA: 6 parameters, 5 individuals" in caplog.text


def test_more_generations_go_on_from_fewer(config, tmp_path):
    """Through the store, as the pipeline does; the same bits as of a search that was as long from the start."""

    def build(root, generations):
        longer, executor = dataclasses.replace(config), Shuffled()
        longer.controller = dataclasses.replace(config.controller, generations=generations)
        inputs, length = controller.STAGE.inputs(longer), controller.STAGE.length(longer)
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
