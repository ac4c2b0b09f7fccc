"""C's inputs on one scale: the same controllers in other coordinates."""

import numpy as np
import pytest
import torch

from worldmodels.controller.individuals import first_step
from worldmodels.controller.policy import Controllers, Shape
from worldmodels.controller.scaling import Scaling, input_moments, layer_steps, moments
from worldmodels.memory.network import MDNLSTM, State

RNG = np.random.default_rng(0)


HIDDEN = pytest.mark.parametrize("hidden", [None, 1, 6])


@HIDDEN
def test_a_controller_of_standardised_inputs_is_the_same_controller(hidden):
    shape = Shape(4, 2, hidden)
    x, searched = RNG.normal(3, 5, (7, 4)), RNG.normal(size=shape.size)
    scaling = Scaling(RNG.normal(size=4), RNG.uniform(0.5, 2, 4), shape)
    controllers = Controllers(2, shape)
    controllers.set(0, searched * layer_steps(shape))
    controllers.set(1, scaling.to_controller(searched))
    standardised = controllers([0] * 7, (x - scaling.mean) / scaling.std)
    np.testing.assert_allclose(controllers([1] * 7, x), standardised, rtol=1e-10)


@HIDDEN
def test_the_coordinates_lead_back(hidden):
    scaling = Scaling(RNG.normal(size=3), RNG.uniform(0.5, 2, 3), Shape(3, 2, hidden))
    parameters = RNG.normal(size=scaling.shape.size)
    np.testing.assert_allclose(scaling.to_search(scaling.to_controller(parameters)), parameters)
    np.testing.assert_allclose(scaling.to_controller(scaling.to_search(parameters)), parameters)


def test_without_scaling_the_coordinates_are_the_controllers_own():
    parameters = RNG.normal(size=3 * 6)
    np.testing.assert_array_equal(Scaling.none(Shape(5, 3)).to_controller(parameters), parameters)


@pytest.mark.parametrize(("inputs", "outputs", "hidden"), [(8, 2, 8), (288, 3, 40), (32, 4, 2)])
def test_a_first_step_moves_the_sums_of_every_layer_as_much_as_those_of_a_linear_controller(inputs, outputs, hidden):
    """Weights drawn as a search draws them first, on numbers of deviation 1 and with the biases."""
    deviations = []
    for shape in (Shape(inputs, outputs), Shape(inputs, outputs, hidden)):
        step = first_step(shape.size)
        drawn = RNG.normal(0, step, (4000, shape.size)) * layer_steps(shape)
        for weights, bias in shape.split(drawn):
            x = RNG.normal(size=(4000, 1, weights.shape[-1]))
            deviations.append(((weights * x).sum(-1) + bias).std())
    np.testing.assert_allclose(deviations, 1.5 / np.sqrt(outputs), rtol=0.05)


def test_what_hardly_moves_is_not_blown_up():
    values = np.stack([RNG.normal(0, 2, 1000), RNG.normal(1, 1e-6, 1000)], axis=1)
    mean, std = moments(values, 0.3)
    np.testing.assert_allclose(mean, values.mean(0))
    np.testing.assert_allclose(std, [values[:, 0].std(), 0.3 * values[:, 0].std()])


def test_moments_of_h_are_those_that_an_agent_meets():
    torch.manual_seed(0)
    memory = MDNLSTM(3, 2, hidden_size=4, mixtures=2).eval()
    mu = [RNG.normal(size=(n, 3)).astype(np.float32) for n in (6, 9)]
    actions = [RNG.normal(size=(len(z), 2)).astype(np.float32) for z in mu]
    mean, std = input_moments(["z", "h", "c"], memory, mu, actions, 0.3)
    hidden, cells = [], []
    for z, taken in zip(mu, actions, strict=True):
        h, _ = memory.unroll(torch.from_numpy(z)[None], torch.from_numpy(taken)[None])
        hidden.append(np.concatenate([np.zeros((1, 4)), h[0, :-1].detach().numpy()]))  # h of the frames before
        state = State(torch.zeros(1, 4), torch.zeros(1, 4))
        for t in range(len(z)):
            cells.append(state.c[0].detach().numpy())
            state = memory.step(torch.from_numpy(z[t : t + 1]), torch.from_numpy(taken[t : t + 1]), state)
    expected = [np.concatenate(mu), np.concatenate(hidden), np.stack(cells)]
    np.testing.assert_allclose(mean, np.concatenate([part.mean(0) for part in expected]), atol=1e-6)
    stds = [part.std(0) for part in expected]
    floored = [np.maximum(part, 0.3 * part.max()) for part in stds]
    np.testing.assert_allclose(std, np.concatenate(floored), atol=1e-6)
