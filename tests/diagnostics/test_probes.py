"""Probes and R²."""

import numpy as np
import pytest

from worldmodels.diagnostics.probes import Samples, linear, mlp, r_squared

RNG = np.random.default_rng(0)


def samples(rollouts=12, frames=60, targets=lambda x: x[:, :1], first=0):
    rng = np.random.default_rng(first)
    x = rng.normal(size=(rollouts * frames, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, -3]
    return Samples(x, targets(x), np.repeat(np.arange(rollouts) + first, frames))


def test_linear_finds_a_linear_map_whatever_the_scale_of_its_inputs():
    def targets(x):
        return x @ np.array([[1, 0], [0.2, 3], [7, 0], [0, -1]]) + [2, -50]

    training, asked = samples(targets=targets), samples(first=100, targets=targets)
    np.testing.assert_allclose(linear(training, asked.inputs), asked.targets, atol=2e-3)


def test_linear_is_ridge_regression():
    """Against the normal equations, at one of the penalties."""
    training = samples(frames=3, targets=lambda x: RNG.normal(size=(len(x), 2)))
    mean, std = training.inputs.mean(0), training.inputs.std(0)
    x, centre = (training.inputs - mean) / std, training.targets.mean(0)
    asked = RNG.normal(size=(5, 4))
    candidates = []
    for penalty in 10.0 ** np.arange(-5, 4):
        weights = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(4), x.T @ (training.targets - centre))
        candidates.append((asked - mean) / std @ weights + centre)
    found = linear(training, asked)
    for column in range(2):
        assert min(np.abs(candidate[:, column] - found[:, column]).max() for candidate in candidates) < 1e-9


@pytest.mark.parametrize(("rollouts", "frames"), [(1, 20), (20, 1)])
def test_linear_takes_one_rollout_and_rollouts_of_one_frame(rollouts, frames):
    training = samples(rollouts, frames)
    np.testing.assert_allclose(linear(training, training.inputs), training.targets, atol=1e-2)


def test_a_constant_input_does_no_harm():
    training = samples()._replace(inputs=np.ones((720, 3)))
    assert np.isfinite(linear(training, np.ones((2, 3)))).all()
    assert np.isfinite(mlp(training, training, np.ones((2, 3)), 2)).all()


def test_mlp_finds_what_is_not_linear_and_repeats_bit_for_bit():
    def targets(x):
        return np.stack([x[:, 0] * x[:, 3], 100 * np.abs(x[:, 0])], axis=1)

    fitted, tuned, asked = samples(40, targets=targets), samples(8, targets=targets, first=50), samples(first=100)
    truth = targets(asked.inputs)
    predicted = mlp(fitted, tuned, asked.inputs, 60)
    assert (r_squared(truth, predicted, asked.rollout)[0] > 0.97).all()
    assert r_squared(truth, linear(fitted, asked.inputs), asked.rollout)[0][1] < 0.1
    np.testing.assert_array_equal(predicted, mlp(fitted, tuned, asked.inputs, 60))


def test_mlp_without_anything_to_find_stays_with_the_linear_probe():
    noise = samples(6, targets=lambda x: RNG.normal(size=(len(x), 1)))
    tuned = samples(6, first=10, targets=lambda x: RNG.normal(size=(len(x), 1)))
    asked = samples(first=20, targets=lambda x: RNG.normal(size=(len(x), 1)))
    r2, limits = r_squared(asked.targets, mlp(noise, tuned, asked.inputs, 60), asked.rollout)
    assert abs(r2[0]) < 0.05
    assert limits[0, 0] <= r2[0] <= limits[0, 1]


def test_r_squared_is_its_definition_and_its_interval_is_over_rollouts():
    rollout = np.repeat([4, 7, 9], [1, 30, 5])
    y = RNG.normal(size=(36, 2)) + rollout[:, None] + 1000
    predictions = y + RNG.normal(size=y.shape)
    r2, limits = r_squared(y, predictions, rollout)
    expected = 1 - ((y - predictions) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(r2, expected)
    wide = r_squared(y, predictions, np.arange(36))[1]  # were frames independent
    assert (limits[:, 0] < r2).all() and (r2 < limits[:, 1]).all()
    assert (np.diff(limits) > np.diff(wide)).all()


def test_the_interval_of_r_squared_holds_the_truth():
    """3,000 held-out sets of 15 rollouts, whose lengths and errors differ; the truth is that of all of them."""
    rng = np.random.default_rng(0)
    truth = 1 - (0.25 + 0.1) / 1.0
    held = []
    for _ in range(3000 // 50):
        y, error = rng.normal(size=(2, 15, 20, 50))
        off = 0.5 * rng.normal(size=(15, 1, 50)) + np.sqrt(0.1) * error
        rollout = np.repeat(np.arange(15), 20)
        _, limits = r_squared(y.reshape(300, 50), (y - off).reshape(300, 50), rollout)
        held.append((limits[:, 0] <= truth) & (truth <= limits[:, 1]))
    assert np.mean(held) == pytest.approx(0.94, abs=0.02)


def test_what_does_not_vary_has_no_r_squared():
    r2, limits = r_squared(np.full((6, 1), 3.3), np.zeros((6, 1)), np.repeat([0, 1], 3))
    assert np.isnan(r2).all()
    assert np.isnan(limits).all()


def test_one_rollout_has_no_interval():
    y = RNG.normal(size=(9, 1))
    r2, limits = r_squared(y, y * 0.5, np.zeros(9))
    assert np.isfinite(r2).all() and np.isnan(limits).all()
