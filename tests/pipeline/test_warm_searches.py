"""A search for C that starts from what another one left."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from searches import SMALL, Shuffled, search, set_controller

from worldmodels.controller.warm_start import Source
from worldmodels.utils.seeds import generator


@pytest.fixture
def config(compose):
    return compose(*SMALL)


def test_a_search_starts_from_a_sources_mean(config, tmp_path):
    """Two actions from one: the first row is the source's, the second is zero."""
    given = tmp_path / "source.safetensors"
    save_file({"mean": np.array([3.0, 4, 5]), "best": np.zeros(3)}, given)
    executor = Shuffled()
    search(config, tmp_path, executor, Source(given, 1))
    players = np.array([episode.player for episode in executor.generations[0]])
    np.testing.assert_allclose(players.mean(0), [3, 4, 0, 0, 5, 0], atol=0.3)  # σ = 0.1


def test_a_search_starts_from_the_hidden_layer_of_a_source(config, tmp_path):
    """One unit on two inputs, and an action more: its row is zero."""
    given = tmp_path / "source.safetensors"
    save_file({"mean": np.array([3.0, 4, 5, 6, 7]), "best": np.zeros(5)}, given)
    executor, config = Shuffled(), set_controller(config, hidden=1)
    search(config, tmp_path, executor, Source(given, 1))
    players = np.array([episode.player for episode in executor.generations[0]])
    np.testing.assert_allclose(players.mean(0), [3, 4, 5, 6, 0, 7, 0], atol=0.4)  # σ = 0.1


@pytest.fixture
def finished(config, tmp_path):
    """A search that has ended, to start from."""
    (folder := tmp_path / "source").mkdir()
    search(config, folder, Shuffled())
    return Source(folder / "weights.safetensors", 2)


def test_a_search_starts_from_a_sources_distribution(config, finished, tmp_path):
    """Its agent and its covariance; a tenth of σ = 0.1 is added."""
    executor, given = Shuffled(), load_file(finished.weights)
    search(set_controller(config, warm_start="covariance"), tmp_path, executor, finished)
    normal = generator(config.seed, "controller", 0).standard_normal((5, 6))
    half = np.linalg.cholesky(given["covariance"] + 0.01**2 * np.eye(6))
    players = {episode.label[0]: episode.player for episode in executor.generations[0]}
    found = [np.linalg.solve(half, players[i] - given["agent"]) for i in range(5)]
    np.testing.assert_allclose(found, normal, rtol=1e-4)  # the library's first axes are not quite of one length


def test_an_interrupted_search_from_a_distribution_goes_on(config, finished, tmp_path):
    config = set_controller(config, warm_start="covariance")
    for name in "ab":
        (tmp_path / name).mkdir()
    search(config, tmp_path / "a", Shuffled(), finished)
    with pytest.raises(KeyboardInterrupt):
        search(config, tmp_path / "b", Shuffled(lasts=2), finished)
    search(config, tmp_path / "b", Shuffled(), finished)
    whole, resumed = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "ab")
    assert whole == resumed


def test_a_diagonal_search_keeps_its_variances_and_one_that_has_no_covariance_keeps_none(config, tmp_path):
    kept = []
    for kind in ({"_target_": "cma_es", "diagonal": True}, {"_target_": "sep_cma"}):
        (folder := tmp_path / kind["_target_"]).mkdir()
        search(set_controller(config, search=kind), folder, Shuffled())
        kept.append(load_file(folder / "weights.safetensors").get("covariance"))
    assert kept[0].shape == (6,) and (kept[0] > 0).all() and kept[1] is None


def test_without_a_covariance_a_search_starts_from_the_mean(config, finished, tmp_path, caplog):
    given = load_file(finished.weights)
    del given["covariance"]
    save_file(given, finished.weights)
    played = []
    for name in ("mean", "covariance"):
        executor = Shuffled()
        (tmp_path / name).mkdir()
        search(set_controller(config, warm_start=name), tmp_path / name, executor, finished)
        played.append([episode.player for generation in executor.generations for episode in generation])
    np.testing.assert_array_equal(*played)
    assert sum("starting with the source's mean alone" in record.getMessage() for record in caplog.records) == 1
