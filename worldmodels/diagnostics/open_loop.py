"""Open-loop error: how far a model's own predictions, fed back under the real actions, drift from what happened."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldmodels.diagnostics.baselines import Baselines
from worldmodels.diagnostics.trajectories import Batch, Trajectory, batches, mismatched_actions
from worldmodels.memory import mixture
from worldmodels.memory.interface import Memory, State, joined, take
from worldmodels.utils.devices import device_of
from worldmodels.utils.seeds import torch_generator

CONTEXT = 5  # frames at least that a forecast has seen before its own
STRIDE = 10  # frames between forecasts
# h (N, H) after a step, and the z (N, Z) that it read -> the prediction, and the latent to go on with: (N, Z) each
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class SquaredErrors(NamedTuple):
    """Squared error in μ, summed over the latent dimensions and over each rollout's forecasts: (R, horizons) each.
    ``forecasts`` counts them.
    """

    memory: np.ndarray
    mismatched_actions: np.ndarray
    reservoir: np.ndarray
    persistence: np.ndarray
    constant: np.ndarray
    forecasts: np.ndarray


class Forecasts(NamedTuple):
    """N forecasts, each from a frame of a batch's rollouts: the frame, the actions from there on, what came, and 1
    where it is real.
    """

    rollout: Tensor  # (N,)
    first: Tensor  # (N, Z)
    actions: Tensor  # (N, K, A)
    targets: Tensor  # (N, K, Z)
    real: Tensor  # (N, K)


@torch.no_grad()
def squared_errors(
    network: Memory,
    baselines: Baselines,
    trajectories: Sequence[Trajectory],
    horizons: Sequence[int],
    seed: int = 0,
    samples: int = 0,
) -> SquaredErrors:
    """Forecasts from every `STRIDE`-th frame after `CONTEXT` frames; a model has seen all frames up to there, as μ.

    M's forecast is the mean of ``samples`` futures, at least two, each drawn from its own mixtures. With 0, M's mean is
    fed back instead. That is sooner done, but a mean of possible latents need not be possible, and leads M ever further
    away from what it knows. The reservoir's forecast is made likewise, its futures drawn with its residual variance.
    ``mismatched_actions`` is M after the same past, with `mismatched_actions` from the forecast's frame on.
    """
    device = device_of(network)
    rng = torch_generator(seed, "figures", 6, device=device)
    parts: list[dict[str, Tensor]] = []
    pairs = zip(batches(trajectories, seed), batches(mismatched_actions(trajectories), seed), strict=True)
    for batch, mismatched in ((Batch(*(part.to(device) for part in rollouts)) for rollouts in pair) for pair in pairs):
        starts = _starts(batch)
        actual, misled = (_forecasts(rollouts, starts, max(horizons)) for rollouts in (batch, mismatched))
        errors = _errors(network, baselines, batch, starts, actual, misled.actions, horizons, samples, rng)
        sums = torch.zeros(len(batch.mu), len(horizons), dtype=torch.float64, device=device)
        parts.append({name: sums.index_add(0, actual.rollout, error.double()) for name, error in errors.items()})
    return SquaredErrors(**{name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]})


def _errors(
    network: Memory,
    baselines: Baselines,
    batch: Batch,
    starts: list[tuple[int, Tensor]],
    forecasts: Forecasts,
    mismatched: Tensor,
    horizons: Sequence[int],
    samples: int,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """The fields of `SquaredErrors` for each of N forecasts: (N, horizons) each. ``mismatched``: actions (N, K, A)."""
    reservoir = baselines.reservoir
    state, blank = (_states(model, batch, starts) for model in (network, reservoir.network))
    at = torch.tensor(horizons, device=batch.mu.device) - 1
    targets, real = forecasts.targets[:, at], forecasts.real[:, at]

    def mean_step(h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return (value := mixture.mean(network.mixture(h, z))), value

    def sample_step(h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        predicted = network.mixture(h, z)
        return mixture.mean(predicted), mixture.sample(predicted, 1.0, rng)

    def reservoir_mean_step(h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return (value := reservoir.predict(h)), value

    def reservoir_sample_step(h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        predicted = reservoir.predict(h)
        noise = torch.randn(predicted.shape, generator=rng, device=predicted.device)
        return predicted, predicted + reservoir.variance.sqrt() * noise

    def squared_error(predicted: Tensor) -> Tensor:
        return (predicted - targets).square().sum(-1)

    def forecast_error(model: Memory, steps: tuple[Step, Step], start: State, actions: Tensor) -> Tensor:
        """``steps``: by a sample, and by the mean."""
        if samples:
            futures = (roll(model, steps[0], start, forecasts.first, actions, horizons) for _ in range(samples))
            return expectation_error(futures, targets)
        return squared_error(roll(model, steps[1], start, forecasts.first, actions, horizons))

    steps, reservoir_steps = (sample_step, mean_step), (reservoir_sample_step, reservoir_mean_step)
    errors = {
        "memory": forecast_error(network, steps, state, forecasts.actions),
        "mismatched_actions": forecast_error(network, steps, state, mismatched),
        "reservoir": forecast_error(reservoir.network, reservoir_steps, blank, forecasts.actions),
        "persistence": squared_error(forecasts.first.unsqueeze(1)),
        "constant": squared_error(torch.from_numpy(baselines.mean).to(targets)),
    }
    return {name: error * real for name, error in errors.items()} | {"forecasts": real}


def roll(network: Memory, step: Step, state: State, first: Tensor, actions: Tensor, horizons: Sequence[int]) -> Tensor:
    """Predictions at the horizons of a network that reads its own predictions: state before the first frame, first
    (N, Z), actions (N, K, A) -> (N, horizons, Z).
    """
    predictions, z = {}, first
    for k in range(max(horizons)):
        state = network.step(z, actions[:, k], state)
        predicted, z = step(state.h, z)
        if k + 1 in horizons:
            predictions[k + 1] = predicted
    return torch.stack([predictions[horizon] for horizon in horizons], dim=1)


def expectation_error(futures: Iterable[Tensor], targets: Tensor) -> Tensor:
    """Squared error of the futures' expectation, summed over the last dimension, from samples of it: (N, K, Z) each ->
    (N, K). Without the variance of an average of so few, which would count the noise of unused dimensions.
    """
    count, total, square = 0, torch.zeros_like(targets), torch.zeros_like(targets)
    for future in futures:
        count, total, square = count + 1, total + future, square + future.square()
    average = total / count
    variance = (square / count - average.square()) / (count - 1)  # of the average
    return ((average - targets).square() - variance).sum(-1)


def _starts(batch: Batch) -> list[tuple[int, Tensor]]:
    """The frames to forecast from, and at each the rollouts that have a frame after it."""
    lengths = batch.rows.sum(1)
    frames = range(CONTEXT, int(lengths.max()) - 1, STRIDE)
    return [(frame, torch.nonzero(lengths > frame + 1).squeeze(1)) for frame in frames]


def _forecasts(batch: Batch, starts: list[tuple[int, Tensor]], steps: int) -> Forecasts:
    def after(values: Tensor, frame: int) -> Tensor:
        """``steps`` rows from ``frame`` on, zeros after the batch's end."""
        rows = values[:, frame : frame + steps]
        return torch.cat([rows, rows.new_zeros(len(rows), steps - rows.shape[1], *rows.shape[2:])], dim=1)

    empty = Forecasts(
        *(batch.rows.new_zeros(0, dtype=torch.long), batch.mu[:0, 0]),
        *(after(values, 0)[:0] for values in (batch.actions, batch.mu, batch.rows)),
    )
    parts = [empty] + [
        Forecasts(
            members,
            batch.mu[members, frame],
            after(batch.actions[members], frame),
            after(batch.mu[members], frame + 1),
            after(batch.rows[members], frame + 1),
        )
        for frame, members in starts
    ]
    return Forecasts(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _states(network: Memory, batch: Batch, starts: list[tuple[int, Tensor]]) -> State:
    """A network's state before each forecast's frame, having seen all earlier frames: (N, ...) each."""
    state, read_until = network.initial_state(len(batch.mu)), 0
    states = [take(state, batch.rows.new_zeros(0, dtype=torch.long))]
    for frame, members in starts:
        state = network.unroll(batch.mu[:, read_until:frame], batch.actions[:, read_until:frame], state)[1]
        states.append(take(state, members))
        read_until = frame
    return joined(states)
