"""The measures of M against brute force, and on worlds where the answer is known."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from worldmodels.diagnostics.baselines import RIDGES, _Moments, _ridge, fit_baselines
from worldmodels.diagnostics.measures import _histogram, calibration, measure, rows
from worldmodels.diagnostics.open_loop import CONTEXT, STRIDE, expectation_error, squared_errors
from worldmodels.diagnostics.trajectories import Trajectory, batches, mismatched_actions
from worldmodels.memory import mixture
from worldmodels.memory.mixture import Mixture
from worldmodels.memory.network import MDNLSTM, State
from worldmodels.utils.errors import ConfigError

HORIZONS = (1, 2, 5)


def trajectories(lengths: list[int], seed: int = 0) -> list[Trajectory]:
    rng = np.random.default_rng(seed)
    return [
        Trajectory(
            np.cumsum(rng.normal(size=(length, 3)) * [0.1, 1.0, 2.0], 0).astype(np.float32),
            rng.normal(-3, 0.5, (length, 3)).astype(np.float32),
            rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            rng.normal(2.0, 3.0, length).astype(np.float32),
            np.arange(length) == length - 1,
        )
        for length in lengths
    ]


def network(**heads: str | bool) -> MDNLSTM:
    torch.manual_seed(0)
    return MDNLSTM(3, 2, 8, 4, **heads).eval()  # type: ignore[arg-type]


def random_mixture(*shape: int) -> Mixture:
    rng = torch.Generator().manual_seed(0)
    logits, mu, log_sigma = (torch.randn(*shape, 5, generator=rng) for _ in range(3))
    return Mixture(logits.log_softmax(-1), 2 * mu, 0.5 * log_sigma)


@pytest.mark.parametrize("shape", [(1, 1, 4), (3, 6, 2)])
def test_the_mixtures_distribution_is_that_of_torch(shape: tuple[int, ...]) -> None:
    parts = random_mixture(*shape)
    z = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    reference = MixtureSameFamily(Categorical(logits=parts.log_pi), Normal(parts.mu, parts.log_sigma.exp()))
    torch.testing.assert_close(mixture.cdf(parts, z), reference.cdf(z))


def test_samples_of_the_mixture_are_calibrated_and_those_of_a_wider_one_are_not() -> None:
    parts = random_mixture(20, 100, 3)
    counted = torch.ones(20, 100, 1, dtype=torch.bool)

    def figures(wider: float) -> dict:
        drawn = mixture.sample(parts._replace(log_sigma=parts.log_sigma + wider), 1.0, torch.Generator().manual_seed(2))
        return calibration(_histogram(mixture.cdf(parts, drawn), counted).numpy())

    right, wrong = figures(0.0), figures(0.7)
    assert len(right["histogram"]) == 10
    for name, share in (("coverage_50", 0.5), ("coverage_90", 0.9)):
        assert right[name]["value"] == pytest.approx(share, abs=5 * (share * (1 - share) / 6000) ** 0.5)
        assert wrong[name]["interval"][1] < share
    assert right["error"]["value"] < 0.015 < 0.05 < wrong["error"]["value"]
    assert right["error"]["interval"] is None, "around 0.01 it would miss the 0 of what is calibrated"
    assert sum(each["value"] for each in wrong["histogram"]) == pytest.approx(1)


def test_masked_values_are_not_in_the_histogram() -> None:
    u = torch.tensor([[[0.0], [0.26], [1.0]], [[0.5], [0.5], [0.5]]])
    counts = _histogram(u, torch.tensor([[[1], [1], [1]], [[1], [0], [0]]]) > 0)
    assert counts.sum(1).tolist() == [3, 1]
    assert counts[0, 0] == counts[0, 5] == counts[0, 19] == counts[1, 10] == 1


def brute(
    model: MDNLSTM, advance: Callable[[Tensor, Tensor], Tensor], mu: Tensor, actions: Tensor, false: Tensor, start: int
) -> dict[int, float]:
    """Squared errors of one forecast, one frame after another."""
    state = model.initial_state(1)
    for t in range(start):
        state = model.step(mu[t][None], actions[t][None], state)
    z, found = mu[start][None], {}
    for k in range(1, max(HORIZONS) + 1):
        if start + k >= len(mu):
            break
        state = model.step(z, false[start + k - 1][None], state)
        z = advance(state.h, z)
        found[k] = (z[0] - mu[start + k]).square().sum().item()
    return found


@pytest.mark.parametrize("skip_gain", [False, True])
@pytest.mark.parametrize("lengths", [[7], [1, 6, 2, 7, 29, 12, 1], [40] * 3])
@torch.no_grad()
def test_open_loop_errors_against_brute_force(lengths: list[int], skip_gain: bool) -> None:
    model, given = network(skip_gain=skip_gain), trajectories(lengths)
    if model.skip_gain is not None:
        model.skip_gain.gain.fill_(0.07)
    base = fit_baselines(model, trajectories([30, 40, 20], seed=1), seed=0)
    got = squared_errors(model, base, given, HORIZONS)
    other = mismatched_actions(given)
    for r, (true, false) in enumerate(zip(given, other, strict=True)):
        mu, actions, mismatched = (torch.from_numpy(each) for each in (true.mu, true.actions, false.actions))
        expected = {name: np.zeros(len(HORIZONS)) for name in got._fields}
        for start in range(CONTEXT, len(mu) - 1, STRIDE):
            errors = {
                "memory": brute(model, lambda h, z: mixture.mean(model.mixture(h, z)), mu, actions, actions, start),
                "mismatched_actions": brute(
                    model, lambda h, z: mixture.mean(model.mixture(h, z)), mu, actions, mismatched, start
                ),
                "reservoir": brute(
                    base.reservoir.network, lambda h, z: base.reservoir.predict(h), mu, actions, actions, start
                ),
            }
            for i, k in enumerate(HORIZONS):
                if start + k < len(mu):
                    expected["forecasts"][i] += 1
                    expected["persistence"][i] += ((true.mu[start] - true.mu[start + k]) ** 2).sum()
                    expected["constant"][i] += ((base.mean - true.mu[start + k]) ** 2).sum()
                    for name, error in errors.items():
                        expected[name][i] += error[k]
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(got, name)[r], value, rtol=1e-4, atol=1e-4, err_msg=name)


def test_the_error_of_an_expectation_is_not_that_of_an_average_of_few() -> None:
    rng = torch.Generator().manual_seed(0)
    targets = torch.randn(4000, 1, 3, generator=rng)
    futures = [0.5 + 2 * torch.randn(4000, 1, 3, generator=rng) for _ in range(4)]
    found = expectation_error(futures, targets)
    assert found.shape == (4000, 1)
    assert found.mean().item() == pytest.approx(3 * (1 + 0.25), abs=5 * found.std().item() / 4000**0.5)


@torch.no_grad()
def test_sampled_forecasts_are_exact_one_step_ahead_and_where_nothing_is_uncertain() -> None:
    model, given = network(), trajectories([40, 25])
    base = fit_baselines(model, trajectories([30, 40, 20], seed=1), seed=0)
    for certain, places in ((False, slice(1)), (True, slice(None))):
        if certain:  # one component, and no deviation
            kind = model.mdn.bias.view(3, 3, 4)
            kind[0], kind[2] = torch.tensor([50.0, 0, 0, 0]), -20.0
            model.mdn.weight.view(3, 3, 4, -1)[[0, 2]] = 0.0
        fed_back = squared_errors(model, base, given, HORIZONS)
        sampled = squared_errors(model, base, given, HORIZONS, samples=3)
        for name in ("memory", "mismatched_actions"):
            np.testing.assert_allclose(
                getattr(sampled, name)[:, places], getattr(fed_back, name)[:, places], rtol=1e-4, atol=1e-4
            )
    assert sampled.memory.min() > 0


@torch.no_grad()
def test_sampled_forecasts_are_the_expectation_of_futures_and_not_of_means_fed_back() -> None:
    model, given = network(), trajectories([8])  # one forecast, from frame 5
    model.lstm.weight_input *= 8  # far from linear
    model.mdn.weight.view(3, 3, 4, -1)[1] *= 20
    model.mdn.bias.view(3, 3, 4)[2] += 1.0  # and uncertain
    base = fit_baselines(model, trajectories([30, 40, 20], seed=1), seed=0)
    mu, actions = torch.from_numpy(given[0].mu), torch.from_numpy(given[0].actions)
    state = model.unroll(mu[None, :5], actions[None, :5])[1]
    state = model.step(mu[None, 5], actions[None, 5], state)
    parts, rng = model.mixture(state.h, mu[None, 5]), torch.Generator().manual_seed(9)
    chosen = torch.multinomial(parts.log_pi[0].exp(), 20_000, True, generator=rng)  # (Z, N)
    means, deviations = (each[0].gather(1, chosen) for each in (parts.mu, parts.log_sigma.exp()))
    z = (means + deviations * torch.randn(chosen.shape, generator=rng)).T
    many = State(*(part.expand(len(z), -1).contiguous() for part in state))
    after = model.step(z, actions[None, 6].expand(len(z), -1), many)
    expected = mixture.mean(model.mixture(after.h, z)).mean(0)
    error = (expected - mu[7]).square().sum().item()
    found = [squared_errors(model, base, given, (2,), samples=samples).memory[0, 0] for samples in (0, 3000)]
    assert found[1] == pytest.approx(error, rel=0.05)
    assert found[0] > 1.5 * error


def test_mismatched_actions_are_real_sequences_from_elsewhere() -> None:
    given = trajectories([4, 10, 1, 5])
    found = mismatched_actions(given)
    before, after = (np.concatenate([each.actions for each in some]) for some in (given, found))
    assert not (before == after).any()
    np.testing.assert_array_equal(np.roll(after, -10, axis=0), before)
    assert all(
        np.array_equal(a.mu, b.mu) and len(a.actions) == len(b.actions) for a, b in zip(given, found, strict=True)
    )


def test_a_rollouts_noise_does_not_depend_on_its_batch() -> None:
    given = trajectories([3] * 40)
    whole = torch.cat([batch.z for batch in batches(given, 0)])
    assert torch.equal(next(iter(batches(given[:1], 0))).z[0], whole[0])
    noise = (whole - torch.from_numpy(np.stack([each.mu for each in given]))) / np.exp(-1.5)
    assert 0.8 < noise.std() < 1.25


def test_baselines_against_numpy() -> None:
    given = trajectories([30, 2, 1, 17, 40])
    base = fit_baselines(network(), given, seed=0)
    mu = np.concatenate([each.mu for each in given]).astype(np.float64)
    within = np.concatenate([each.mu - each.mu.mean(0) for each in given])
    changes = np.concatenate([np.diff(each.mu, axis=0) for each in given])
    noise = np.concatenate([np.exp(each.log_var[:-1]) + np.exp(each.log_var[1:]) for each in given])
    rewards = np.concatenate([each.rewards for each in given])
    assert (base.rollouts, base.frames) == (5, 90)
    np.testing.assert_allclose(base.mean, mu.mean(0), rtol=1e-5)
    np.testing.assert_allclose(base.variance, mu.var(0), rtol=1e-5)
    np.testing.assert_allclose(base.persistence, (changes**2).mean(0) + noise.mean(0), rtol=1e-5)
    assert base.moving == pytest.approx((within**2).sum() / (mu.var(0).sum() * 90), rel=1e-5)
    assert (base.reward_mean, base.reward_std) == pytest.approx((rewards.mean(), rewards.std()), rel=1e-5)
    assert base.end_rate == pytest.approx(5 / 90)


def test_ridge_is_least_squares_on_penalised_rows_and_is_chosen_on_other_rows() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 20)) + 3
    targets = inputs @ rng.normal(size=(20, 2)) + 2 * rng.normal(size=(60, 2))
    parts = [_Moments(), _Moments()]
    for part, rows_ in zip(parts, (slice(40), slice(40, 60)), strict=True):
        part.add(torch.from_numpy(np.concatenate([inputs, targets], 1)[rows_]))

    def fitted(rows_: slice, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        x, y = inputs[rows_], targets[rows_]
        centred = x - x.mean(0)
        penalty = np.sqrt(len(x) * ridge * centred.var(0).mean()) * np.eye(20)
        stacked = np.concatenate([centred, penalty]), np.concatenate([y - y.mean(0), np.zeros((20, 2))])
        weight = np.linalg.lstsq(*stacked, rcond=None)[0]
        return weight, y.mean(0) - x.mean(0) @ weight

    def error(rows_: slice, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return ((targets[rows_] - inputs[rows_] @ weight - bias) ** 2).mean(0)

    best = min(RIDGES, key=lambda ridge: error(slice(40, 60), *fitted(slice(40), ridge)).sum())
    assert best not in (RIDGES[0], RIDGES[-1]), "a case where the choice matters"
    weight, _, residual, ridge = _ridge(*parts, size=20)
    assert ridge == best
    expected = fitted(slice(60), best)
    np.testing.assert_allclose(weight, expected[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(residual, error(slice(60), *expected), rtol=1e-6)


def world(count: int, seed: int, gain: float) -> list[Trajectory]:
    """z_{t+1} = z_t / 2 + gain · a_t + noise, a dead dimension, a reward that is the action, an end where |z| > 1.6."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        z, rows_ = 0.0, []
        for _ in range(40):
            action = rng.choice([-1.0, 1.0])
            rows_.append((z, action))
            z = z / 2 + gain * action + (1 - gain) * rng.choice([-1.0, 1.0])
        states, actions = np.array(rows_, np.float32).T
        mu = np.stack([states, np.zeros(40, np.float32)], 1)
        log_var = np.tile(np.array([-6.0, 0.0], np.float32), (40, 1))
        made.append(Trajectory(mu, log_var, actions[:, None], 3 * actions, np.abs(states) > 1.6))
    return made


def trained(given: list[Trajectory], steps: int = 120) -> MDNLSTM:
    torch.manual_seed(0)
    model = MDNLSTM(2, 1, 24, 3, "gaussian", True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    [batch] = batches(given, 100)
    assert model.reward_head is not None and model.end_head is not None
    for _ in range(steps):
        h = model.unroll(batch.z, batch.actions)[0]
        loss = mixture.nll(model.mixture(h[:, :-1], batch.z[:, :-1]), batch.z[:, 1:]).mean()
        loss = loss + model.reward_head.nll(h, batch.rewards).mean() + model.end_head.nll(h, batch.terminated).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("gain", [1.0, 0.0])
def test_a_world_that_actions_move_and_one_that_they_do_not(gain: float) -> None:
    model = trained(world(32, 0, gain))
    found = measure(model, world(16, 1, gain), world(32, 0, gain), horizons=(1, 3, 10, 60), samples=4)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert model.training, "the network is given back as it was"
    assert found["active_dimensions"] == 1 and found["moving_share"] > 0.9
    verdicts = found["summary"]
    assert verdicts["beats_persistence"]["nll"]
    assert verdicts["beats_persistence"]["horizon_1"] or gain == 0.0  # a third less than persistence, at 48 places
    assert verdicts["beats_persistence"]["horizon_60"] is None, "no rollout is that long"
    assert verdicts["uses_actions"]["nll"] == verdicts["uses_actions"]["horizon_3"] == (gain == 1.0)
    mismatched = found["open_loop"]["memory_minus_mismatched_actions"][1]
    assert (mismatched["value"] < -0.5) == (gain == 1.0)
    if gain == 0.0:
        assert verdicts["beats_reservoir"]["nll"], "two equally likely outcomes are no Gaussian"
        assert found["calibration"]["error"]["value"] < 0.1
    assert found["reward"]["r2"]["value"] > 0.9 and found["reward"]["nll_minus_constant"]["interval"][1] < 0
    assert found["end"]["average_precision"]["interval"][0] > found["end"]["base_rate"]["interval"][1]
    assert found["end"]["brier_minus_constant"]["interval"][1] < 0
    table = rows(found)
    assert {
        key: next(row for row in table if row["measure"] == "nll")[key] for key in ("measure", "model", "horizon")
    } == {"measure": "nll", "model": "memory", "horizon": None}
    assert sum(row["measure"] == "open_loop" and row["model"] == "memory" for row in table) == 4


@pytest.mark.parametrize("lengths", [[2], [1, 2], [7]])
def test_the_shortest_rollouts_can_be_measured(lengths: list[int]) -> None:
    found = measure(network(reward_head="categorical", end_head=True), trajectories(lengths), trajectories([2]))
    json.dumps(found, allow_nan=False)
    precision = found["end"]["average_precision"]
    assert found["nll"]["memory"]["value"] is not None and precision["value"] is not None
    assert precision["interval"] is None, "one of so few rollouts would hold less than it is called"


def test_no_transition_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="held-out rollouts of two frames or more: got 1"):
        measure(network(), trajectories([1]), trajectories([5]))
