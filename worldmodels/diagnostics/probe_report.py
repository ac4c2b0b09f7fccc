"""What the probes find on held-out rollouts, as plain dicts for ``results.json``."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodels.diagnostics.config import ProbeConfig
from worldmodels.diagnostics.probes import Samples, linear, mlp, r_squared
from worldmodels.envs.task import Task
from worldmodels.rollouts.storage import split
from worldmodels.utils.statistics import ratio_estimates

TUNED = 0.2  # share of the fitting rollouts that ends the MLP's training
FEWEST = 10  # frames to fit, tune or score with; below, there are no figures
RECALL_FRAMES = 2000
VISIBLE = 1.0  # of an object's colour, in full pixels, for a frame to show it
RECALLED = 0.5  # of it in the same pixels of the reconstruction


@dataclass(frozen=True)
class HeldoutRollouts:
    """Held-out rollouts for probes: of each its states (T, S), the mask of the frames that are probed (T,), and its
    episode's seed.
    """

    task: type[Task]
    states: Sequence[np.ndarray]
    shown: Sequence[np.ndarray]
    seeds: Sequence[int]

    def scored(self, settings: ProbeConfig) -> list[int]:
        """Rollouts that score."""
        return split(self.seeds, settings.scored)[1]

    def parts(self, settings: ProbeConfig) -> tuple[list[int], list[int], list[int]]:
        """Rollouts that fit, tune and score; with one for the first two, it does both."""
        training, scored = split(self.seeds, settings.scored)
        if len(training) == 1:
            return training, training, scored
        fitted, tuned = split([self.seeds[i] for i in training], TUNED)
        return [training[i] for i in fitted], [training[i] for i in tuned], scored


def report(
    heldout: HeldoutRollouts, inputs: Mapping[str, Sequence[np.ndarray]], targets: Sequence[str], settings: ProbeConfig
) -> dict[str, Any]:
    """R² of every target from each of the ``inputs`` (a name, and (T, D) of every rollout).

    ``shuffled`` is R² on targets permuted among all frames: what a probe scores where there is nothing to find. Figures
    are None where frames are too few, or a target does not vary.
    """
    figures: dict[str, Any] = {name: _probe(heldout, values, targets, settings) for name, values in inputs.items()}
    scored = heldout.scored(settings)
    frames = sum(int(heldout.shown[i].sum()) for i in scored)
    return {**figures, "frames": frames, "rollouts": len(scored)}


def _probe(
    heldout: HeldoutRollouts, inputs: Sequence[np.ndarray], targets: Sequence[str], settings: ProbeConfig
) -> dict[str, Any]:
    if not targets:
        return {}
    values = [np.stack([heldout.task.target(states, name) for name in targets], axis=1) for states in heldout.states]
    samples = Samples(
        np.concatenate([x[shown] for x, shown in zip(inputs, heldout.shown, strict=True)]).astype(np.float64),
        np.concatenate([y[shown] for y, shown in zip(values, heldout.shown, strict=True)]).astype(np.float64),
        np.repeat(np.arange(len(inputs)), [int(shown.sum()) for shown in heldout.shown]),
    )
    true = _scores(samples, heldout.parts(settings), settings.epochs)
    order = np.random.default_rng(0).permutation(len(samples.targets))
    shuffled = _scores(samples._replace(targets=samples.targets[order]), heldout.parts(settings), settings.epochs)
    return {
        name: {**figures, "shuffled": {kind: figure["r2"] for kind, figure in floor.items()}}
        for name, figures, floor in zip(targets, true, shuffled, strict=True)
    }


def _scores(
    samples: Samples, parts: tuple[list[int], list[int], list[int]], epochs: int
) -> Iterator[dict[str, dict[str, Any]]]:
    """For each target, R² and interval of each probe."""
    fitting, tuning, scoring = parts
    fitted, tuned, scored = (samples.of(part) for part in (fitting, tuning, scoring))
    size = samples.targets.shape[1]
    if min(len(part.targets) for part in (fitted, tuned, scored)) < FEWEST:
        nothing = np.full(size, np.nan), np.full((size, 2), np.nan)
        scores = {"linear": nothing, "mlp": nothing}
    else:
        predictions = {
            "linear": linear(samples.of([*fitting, *tuning]), scored.inputs),
            "mlp": mlp(fitted, tuned, scored.inputs, epochs),
        }
        scores = {kind: r_squared(scored.targets, values, scored.rollout) for kind, values in predictions.items()}
    for i in range(size):
        yield {
            kind: {"r2": _figure(r2[i]), "interval": [_figure(limit) for limit in limits[i]]}
            for kind, (r2, limits) in scores.items()
        }


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def recall(
    heldout: HeldoutRollouts,
    frames: Callable[[int, np.ndarray], np.ndarray],
    decoded: Callable[[int, np.ndarray], np.ndarray],
    settings: ProbeConfig,
) -> dict[str, Any]:
    """For each object of the task, the share of frames whose reconstruction still shows it: at least `RECALLED` of its
    colour in the pixels that show it in the frame. Up to `RECALL_FRAMES` frames, spread over the rollouts that score.

    frames, decoded: (rollout, increasing frame numbers) -> (n, 64, 64, 3) uint8.
    """
    scored = heldout.scored(settings)
    every = max(1, math.ceil(sum(int(heldout.shown[i].sum()) for i in scored) / RECALL_FRAMES))
    counts: dict[str, list[tuple[int, int]]] = {name: [] for name in heldout.task.objects}
    for rollout in scored if counts else []:
        where = np.flatnonzero(heldout.shown[rollout])[::every]
        if len(where) == 0:
            continue
        real, reconstructed = frames(rollout, where), decoded(rollout, where)
        for name, colour in heldout.task.objects.items():
            true = colour(real)
            total = true.sum(axis=(1, 2))
            recalled = (colour(reconstructed) * (true > 0)).sum(axis=(1, 2)) >= RECALLED * total
            counts[name].append((int((recalled & (total >= VISIBLE)).sum()), int((total >= VISIBLE).sum())))
    return {name: _share(np.array(rows, dtype=float).reshape(-1, 2)) for name, rows in counts.items()}


def _share(counts: np.ndarray) -> dict[str, Any]:
    """Recall with its interval from the hits and frames of each rollout, (R, 2)."""
    hits, frames = counts.sum(axis=0)
    if frames == 0:
        return {"recall": None, "interval": [None, None], "frames": 0}
    (share,) = ratio_estimates(counts[:, :1], counts[:, 1:])
    limits = [None, None] if share["interval"] is None else [_figure(min(max(0.0, x), 1.0)) for x in share["interval"]]
    return {"recall": _figure(hits / frames), "interval": limits, "frames": int(frames)}
