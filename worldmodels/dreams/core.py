"""Many dreams side by side: M rolled forward on its own samples under given actions, in the real task's place."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.error import ResetNeeded
from torch import Tensor

from worldmodels.config import Config
from worldmodels.dreams.starts import Start, first_frames
from worldmodels.envs import TaskSpec, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory import mixture
from worldmodels.memory.data import training_and_validation
from worldmodels.memory.interface import Memory, heads_of, joined, put, rebuilt, take
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.batches import in_batches
from worldmodels.utils.checks import require, require_at_least, require_one_of
from worldmodels.vision.interface import Vision
from worldmodels.vision.scaling import to_pixels

OBSERVATIONS = ("latent", "latent_hidden", "pixels")
ROWS = 128  # of a batch of M, a third faster than 64; part of what a dream depends on, to float rounding
DECODED_ROWS = 4  # of a batch of V's decoder, which is slow
LATENT = ("mu", "log_var")
EXPORTED_STARTS = 16
STARTS = 1000  # first latents kept at most, evenly spaced among the training rollouts
ROLLOUTS, PLACES = 64, 16  # of so many training rollouts, so many frames each that dreams from anywhere begin at


@dataclass(frozen=True)
class DreamModel:
    """What dreams are made of: M, the latents (N, Z) of real frames that they start from, and V where dreams are to be
    seen. Where these are no first frames, ``start_state`` is M's after those before, of N rows.
    """

    config: Config
    spec: TaskSpec
    vision: Vision | None
    memory: Memory
    start_mu: np.ndarray
    start_log_var: np.ndarray
    start_state: Any = None

    @classmethod
    def of(cls, run: str | Path | FinishedRun, allow: Collection[str] = ()) -> "DreamModel":
        """From a run that went as far as ``stage=memory``, or its folder; ``allow`` as of `FinishedRun`. An exported
        folder has no latents of rollouts: there, dreams start from first frames of `EXPORTED_STARTS` held-out episodes,
        and only what is to be seen needs V's decoder. Raises `ConfigError`.
        """
        run = run if isinstance(run, FinishedRun) else FinishedRun(Path(run), allow)
        config, learnt, vision = run.config, run.memory.weights, make_vision(run.config, run.vision.weights).eval()
        if run.exported is None:
            return replace(cls.blind(config, learnt, run.artifact("encode").path), vision=vision)
        spec = task_spec(config.env)
        memory = make_memory(config, spec.action_size, learnt).eval()
        return cls.from_frames(config, spec, vision, memory, first_frames(config, vision, EXPORTED_STARTS))

    @classmethod
    def from_frames(
        cls, config: Config, spec: TaskSpec, vision: Vision, memory: Memory, first: Sequence[Start]
    ) -> "DreamModel":
        """Whose dreams start from these frames."""
        return cls(config, spec, vision, memory, *(np.stack([getattr(x, name) for x in first]) for name in LATENT))

    @classmethod
    def blind(cls, config: Config, memory: Path, encoded: Path, anywhere: bool = False) -> "DreamModel":
        """Without V. ``memory``: M's weights; ``encoded``: rollouts as V sees them, of which dreams begin at first
        frames of M's training rollouts only, or ``anywhere``: at the frames of `frames_anywhere` of `ROLLOUTS`.
        """
        spec = task_spec(config.env)
        network = make_memory(config, spec.action_size, memory).eval()
        store = RolloutStore(encoded)
        training, _ = training_and_validation(store, config.memory)
        count = min(ROLLOUTS if anywhere else STARTS, len(training))
        chosen = [training[i] for i in np.linspace(0, len(training) - 1, count).astype(int)]
        if anywhere:
            rollouts = [[store.read(i, name) for name in (*LATENT, "actions")] for i in chosen]
            return cls(config, spec, None, network, *frames_anywhere(network, rollouts))
        latents = [[store.read(i, name, slice(1))[0] for i in chosen] for name in LATENT]
        return cls(config, spec, None, network, *map(np.stack, latents))

    @property
    def reward_head(self) -> Any:
        """M's prediction of the reward, None without."""
        return heads_of(self.memory).reward

    @property
    def end_head(self) -> Any:
        """M's prediction of the episode's end, None without."""
        return heads_of(self.memory).end

    @property
    def step_reward(self) -> float | None:
        """What each step of an agent pays where the task always pays the same; None where M's reward head tells."""
        paid = self.config.env.step_reward
        return None if paid is None else paid * self.config.env.action_repeat

    @property
    def max_steps(self) -> int:
        """The task's own limit, in steps of an agent."""
        return self.steps_of(self.config.env.max_steps)

    def steps_of(self, task_steps: int) -> int:
        """Steps of an agent in so many of the task."""
        return -(-task_steps // self.config.env.action_repeat)

    @torch.inference_mode()
    def decode(self, z: Tensor) -> np.ndarray:
        """V's picture of z: (B, Z) -> (B, 64, 64, 3) uint8."""
        assert self.vision is not None
        vision = self.vision
        [frames] = in_batches(lambda z: [to_pixels(vision.decode(z))], DECODED_ROWS, z)
        return frames.numpy()


@torch.inference_mode()
def frames_anywhere(memory: Memory, rollouts: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray, Any]:
    """`PLACES` frames of each rollout, evenly spaced, its last one left out: their μ and log σ² (N, Z) and M's state
    before them, which has been given the μ and the actions so far. Of each rollout: μ, log σ² (T, Z), actions (T, A).
    """
    mu, log_var, actions = zip(*rollouts, strict=True)
    places = [np.linspace(0, max(0, len(each) - 2), PLACES).astype(int) for each in mu]
    padded = [torch.zeros(len(mu), max(map(len, mu)), each[0].shape[1]) for each in (mu, actions)]
    for target, source in zip(padded, (mu, actions), strict=True):
        for row, each in enumerate(source):
            target[row, : len(each)] = torch.from_numpy(each)
    state, before = memory.initial_state(len(mu)), {}
    for t in range(padded[0].shape[1]):
        for row, each in enumerate(places):
            if t in each:
                before[row, t] = take(state, torch.tensor([row]))
        state = memory.step(padded[0][:, t], padded[1][:, t], state)
    kept = [(row, int(t)) for row, each in enumerate(places) for t in each]
    latents = [np.stack([source[row][t] for row, t in kept]) for source in (mu, log_var)]
    return latents[0], latents[1], joined([before[key] for key in kept])


def _distinct(streams: Sequence[Any]) -> tuple[list[np.random.Generator], np.ndarray]:
    """The different streams in the order of their first place, and the number of each one's among them: (n,)."""
    numbers: dict[int, int] = {}
    stream_of = np.array([numbers.setdefault(id(stream), len(numbers)) for stream in streams], np.int64)
    first = np.unique(stream_of, return_index=True)[1]
    return [streams[i] for i in first], stream_of


class Outcome(NamedTuple):
    """What a step led to, (n,) each: float64, bool, bool."""

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Dreams:
    """``count`` independent dreams: each draws from a stream of its own, and the same stream and actions give the same
    dream, bit for bit, however many there are. Dreams that begin and step together may share a stream: they then meet
    the same chances.

    A step takes (z, a) through M and draws the next z from its mixture at ``temperature`` τ (Ha & Schmidhuber 2018,
    section 4). The reward is ``env.step_reward`` for each step of the task where that is set, else the expectation that
    M's reward head gives, or 0 without one. An end is drawn with the
    probability p of M's end head, so that dreams are as long as that head believes; with ``end_threshold`` it comes
    where p reaches it, as in the paper's own code (at 0.5, after training with ends weighted tenfold). Neither is
    touched by τ. Without an end head, and at the latest after ``max_steps``, a dream is truncated.
    """

    def __init__(
        self,
        model: DreamModel,
        count: int = 1,
        temperature: float = 1.0,
        max_steps: int | None = None,
        end_threshold: float | None = None,
    ) -> None:
        require_at_least("temperature", temperature, 0.001)
        require_at_least("max_steps", max_steps, 1)
        require(
            end_threshold is None or 0 < end_threshold <= 1,
            f"end_threshold={end_threshold} is out of range: expected a probability above 0, or None to draw the end",
        )
        self.model, self.temperature, self.end_threshold = model, temperature, end_threshold
        self.max_steps = max_steps or model.max_steps
        self.z = torch.zeros(count, model.memory.latent_size)
        with torch.inference_mode():
            self.state = model.memory.initial_state(count)
        self.steps = np.zeros(count, np.int64)
        self._streams: list[np.random.Generator | None] = [None] * count

    @torch.inference_mode()
    def begin(self, slots: Sequence[int] | np.ndarray, streams: Sequence[np.random.Generator]) -> np.ndarray:
        """New dreams in ``slots``, each from one of the model's real frames, z ~ N(μ, σ²). Returns the numbers of
        these frames.
        """
        distinct, stream_of = _distinct(streams)
        starts, latents = np.empty(len(distinct), np.int64), []
        for i, stream in enumerate(distinct):
            starts[i] = stream.integers(len(self.model.start_mu))
            mu, log_var = self.model.start_mu[starts[i]], self.model.start_log_var[starts[i]]
            latents.append(mu + np.exp(log_var / 2) * stream.standard_normal(len(mu), np.float32))
        for slot, i, stream in zip(slots, stream_of, streams, strict=True):
            self.z[slot] = torch.from_numpy(latents[i])
            self._streams[slot] = stream
        rows = torch.tensor(list(slots), dtype=torch.long)
        first = self.model.start_state
        initial = (
            self.model.memory.initial_state(len(rows))
            if first is None
            else take(first, torch.from_numpy(starts)[stream_of])
        )
        self.state = put(self.state, rows, initial)
        self.steps[slots] = 0
        return starts[stream_of]

    @torch.inference_mode()
    def step(self, slots: Sequence[int] | np.ndarray, actions: np.ndarray) -> Outcome:
        """One step in ``slots``, under the actions that come nearest to (n, A)."""
        numbers = list(slots)
        streams = [self._streams[slot] for slot in numbers]
        if None in streams:
            raise ResetNeeded("a dream has not begun: expected a reset before the first step")
        distinct, stream_of = _distinct(streams)
        uniform, noise = np.empty((2, len(distinct), self.model.memory.latent_size), np.float32)
        fates = np.empty(len(distinct))
        for i, stream in enumerate(distinct):
            stream.random(out=uniform[i], dtype=np.float32)
            stream.standard_normal(out=noise[i], dtype=np.float32)
            fates[i] = stream.random()
        uniform, noise, fates = uniform[stream_of], noise[stream_of], fates[stream_of]
        clipped = self.model.spec.actions.nearest(np.asarray(actions, np.float32))
        rows = torch.tensor(numbers, dtype=torch.long)
        drawn = [torch.from_numpy(array) for array in (clipped, uniform, noise)]
        following = in_batches(self._advance, ROWS, self.z[numbers], *drawn, *take(self.state, rows))
        self.z[numbers], rewards, ends, *parts = following
        self.state = put(self.state, rows, rebuilt(self.state, parts))
        self.steps[numbers] += 1
        probability = ends.double().numpy()
        terminated = probability > fates if self.end_threshold is None else probability >= self.end_threshold
        return Outcome(rewards.double().numpy(), terminated, (self.steps[numbers] >= self.max_steps) & ~terminated)

    def _advance(self, z: Tensor, action: Tensor, uniform: Tensor, noise: Tensor, *parts: Tensor) -> list[Tensor]:
        """A step of M from a state of these parts: the next z, the reward, the probability of an end, and the parts of
        the next state.
        """
        model = self.model
        state = model.memory.step(z, action, rebuilt(self.state, parts))
        following = mixture.draw(model.memory.mixture(state.h, z), self.temperature, uniform, noise)
        none = z.new_zeros(len(z))
        rewards = none if model.reward_head is None else model.reward_head.mean(state.h)
        rewards = rewards if model.step_reward is None else torch.full_like(none, model.step_reward)
        ends = none if model.end_head is None else model.end_head.probability(state.h)
        return [following, rewards, ends, *state]

    def look(self, slots: Sequence[int] | np.ndarray, kind: str) -> np.ndarray:
        """What an agent sees: ``latent`` (n, Z) and ``latent_hidden`` (n, Z + H), z and h of the frames before it, both
        float32; ``pixels`` (n, 64, 64, 3) uint8. A copy.
        """
        require_one_of("observation", kind, OBSERVATIONS)
        z = self.z[list(slots)]
        if kind == "pixels":
            return self.model.decode(z)
        return (z if kind == "latent" else torch.cat([z, self.state.h[list(slots)]], dim=1)).numpy()
