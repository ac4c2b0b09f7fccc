"""What a search for C is given of another one."""

import dataclasses

import numpy as np
import pytest
from safetensors.numpy import save_file

from worldmodels.controller.config import PhaseConfig
from worldmodels.controller.phases import PhasedSearch
from worldmodels.controller.policy import Shape, joined
from worldmodels.controller.scaling import Scaling
from worldmodels.controller.warm_start import Source, first_covariance, warm_start
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import generator

SOURCE = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])  # two actions, three inputs: W = [[1, 2, 3], [4, 5, 6]], b = [7, 8]


@pytest.mark.parametrize(
    ("inputs", "actions", "expected"),
    [
        (3, 2, [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, 1, [1, 2, 3, 7]),
        (3, 3, [1, 2, 3, 4, 5, 6, 0, 0, 0, 7, 8, 0]),
        (2, 2, [1, 2, 4, 5, 7, 8]),
        (4, 1, [1, 2, 3, 0, 7]),
    ],
)
def test_rows_and_columns_go_to_their_place_and_the_others_are_zero(inputs, actions, expected):
    np.testing.assert_array_equal(warm_start(SOURCE, 2, Shape(inputs, actions)), expected)


@pytest.mark.parametrize(
    ("inputs", "actions", "expected"),
    [
        (2, 1, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1, 2, [1, 3, 5, 6, 7, 8, 0, 0, 9, 0]),
        (3, 1, [1, 2, 0, 3, 4, 0, 5, 6, 7, 8, 9]),
    ],
)
def test_with_a_hidden_layer_the_inputs_are_columns_of_the_first_and_the_actions_rows_of_the_last(
    inputs, actions, expected
):
    source = np.arange(1.0, 10)  # one action, two inputs, two units: [[1, 2], [3, 4]], [5, 6], [[7, 8]], [9]
    np.testing.assert_array_equal(warm_start(source, 1, Shape(inputs, actions, hidden=2)), expected)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ConfigError, match="8 parameters: expected those of one with 3 outputs and no hidden layer"):
        warm_start(SOURCE, 3, Shape(3, 2))
    with pytest.raises(ConfigError, match="8 parameters: expected those of one with 2 outputs and a hidden layer of 2"):
        warm_start(SOURCE, 2, Shape(3, 2, hidden=2))


RNG = np.random.default_rng(0)
MEANS, DEVIATIONS = RNG.normal(0, 2, (2, 5)), RNG.uniform(0.2, 3, (2, 5))  # of the source's inputs, of this C's
STEP = 1.5 / np.sqrt(3 * (4 + 1))  # the usual first one, of three actions on four inputs


@pytest.fixture
def config(compose):
    config = compose(
        *("env=lunar_lander", "controller.inputs=[z]", "vae.network.latent_size=4", "memory.network.hidden_size=3")
    )
    return dataclasses.replace(
        config, controller=dataclasses.replace(config.controller, warm_start="covariance", population=7)
    )


def scaling(hidden=None):
    return Scaling(MEANS[1, :4], DEVIATIONS[1, :4], Shape(4, 3, hidden))


def source(folder, covariance, **others):
    """A search for two actions on five inputs, of which three were open when it ended."""
    weights = folder / "weights.safetensors"
    save_file({"mean": np.zeros(12), "covariance": covariance, **others}, weights)
    save_file({"mean": MEANS[0], "std": DEVIATIONS[0]}, folder / "scaling.safetensors")
    return Source(weights, 2)


def of_a_search(size):
    half = RNG.normal(size=(size, size))
    return half @ half.T / size


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_covariance_is_that_of_the_same_controllers_and_a_tenth_of_a_step_more(config, tmp_path, diagonal):
    """By hand: weights are as many times larger as the deviations of their inputs, and a bias is of other means."""
    given = RNG.uniform(0.5, 2, 8) if diagonal else of_a_search(8)
    change = np.zeros((15, 8))
    for action in range(2):
        for i in range(3):
            weight = action * 3 + i
            change[action * 4 + i, weight] = DEVIATIONS[1, i] / DEVIATIONS[0, i]
            change[12 + action, weight] = (MEANS[1, i] - MEANS[0, i]) / DEVIATIONS[0, i]
        change[12 + action, 6 + action] = 1
    taken = [0, 1, 2, 4, 5, 6, 12, 13]
    expected = change @ (np.diag(given) if diagonal else given) @ change.T
    expected += np.diag([(0.1 * STEP if i in taken else STEP) ** 2 for i in range(15)])
    covariance = first_covariance(source(tmp_path, given), config, scaling())
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-12)


def test_with_a_hidden_layer_it_is_that_of_the_same_controllers_too(config, tmp_path):
    """Drawn in the source's coordinates, those of layers of other sizes among them, and brought to this search's."""
    config.controller.hidden, given = 2, of_a_search(14)  # three inputs, two units, two actions
    first, second = np.sqrt(14 / (2 * 4)), np.sqrt(14 / (2 * 3))  # steps of the source's layers
    here = scaling(hidden=2)
    changes = []
    for searched in np.eye(14):
        weights, bias = searched[:6].reshape(2, 3) * first / DEVIATIONS[0, :3], searched[6:8] * first
        layers = [
            (weights, bias - weights @ MEANS[0, :3]),
            (searched[8:12].reshape(2, 2) * second, searched[12:] * second),
        ]
        changes.append(here.to_search(warm_start(joined(layers), 2, here.shape)))
    change = np.array(changes).T
    step = 1.5 / np.sqrt(here.shape.size)
    fresh = warm_start(np.ones(14), 2, here.shape) == 0
    expected = change @ given @ change.T + np.diag(np.where(fresh, step, 0.1 * step) ** 2)
    covariance = first_covariance(source(tmp_path, given), config, here)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("diagonal", [False, True])
def test_a_search_draws_from_what_it_is_given(config, tmp_path, diagonal):
    """With A Aᵀ = Σ, its first generation is m + A x of the same normal numbers x; also where it is to be diagonal. The
    library's first axes are not quite of one length.
    """
    config.controller.search = {"_target_": "cma_es", "diagonal": diagonal}
    here, start = scaling(), RNG.normal(size=15)
    covariance = first_covariance(source(tmp_path, of_a_search(8)), config, here)
    search = PhasedSearch(config.controller, {"z": 4}, here, 3, start, covariance)
    drawn = np.array([here.to_search(each) for each in search.ask()])
    found = np.linalg.solve(np.linalg.cholesky(covariance), (drawn - here.to_search(start)).T).T
    normal = generator(3, "controller", 0).standard_normal((7, 15))
    np.testing.assert_allclose(found, normal, rtol=1e-4)


@pytest.mark.parametrize("hidden", [None, 2])
def test_a_search_whose_inputs_open_later_begins_as_one_on_the_first_alone(config, tmp_path, hidden):
    """What the source's C's had of the inputs that are closed is in neither's mean and in neither's covariance."""
    given = source(tmp_path, of_a_search(Shape(5, 2, hidden).size))
    start, drawn = RNG.normal(size=Shape(4, 3, hidden).size), []
    for phases in ([], [PhaseConfig(1, ["z"]), PhaseConfig(3, ["z", "h"])]):
        config.controller = dataclasses.replace(config.controller, hidden=hidden, phases=phases)
        sizes = {"z": 4}
        if phases:
            config.controller.inputs = ["z", "h"]
            sizes, start = sizes | {"h": 3}, warm_start(start, 3, Shape(7, 3, hidden))
        shape = Shape(sum(sizes.values()), 3, hidden)
        here = Scaling(np.append(MEANS[1, :4], MEANS[0, :3])[: shape.inputs], np.full(shape.inputs, 0.7), shape)
        covariance = first_covariance(given, config, here)
        search = PhasedSearch(config.controller, sizes, here, 3, start, covariance)
        generation = search.ask()
        drawn.append(search.narrow(generation))
    np.testing.assert_allclose(*drawn, rtol=1e-7, atol=1e-9)


def test_the_step_that_is_usual_is_the_one_that_is_set(config, tmp_path):
    given = source(tmp_path, np.zeros(8))
    config.controller.search = {"_target_": "cma_es", "sigma": 0.5}
    variances = np.diag(first_covariance(given, config, scaling()))
    assert np.unique(variances.round(9)) == pytest.approx([0.05**2, 0.5**2])


@pytest.mark.parametrize(("warm_start", "told"), [("mean", False), (None, False), ("covariance", True)])
def test_without_a_covariance_of_the_inputs_the_search_has_its_own(config, tmp_path, warm_start, told, caplog):
    config.controller.warm_start = warm_start
    on_a_readout = source(tmp_path, np.ones(8), on_readout=np.zeros(8))
    assert first_covariance(on_a_readout, config, scaling()) is None
    save_file({"mean": np.zeros(12)}, on_a_readout.weights)
    assert first_covariance(on_a_readout, config, scaling()) is None
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0].strip() for line in lines] == ["starting with the source's mean alone"] * 2 * told
