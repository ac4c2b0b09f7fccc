"""Steps of an agent: the rollout engine beside the usual loop."""

import contextlib
import functools
import importlib.util
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from worldmodels.benchmarks.turns import alternately
from worldmodels.config import Config, config_to_json
from worldmodels.controller.agent import AgentEpisodes, controller_input, controller_size
from worldmodels.controller.inputs import read_inputs
from worldmodels.dreams.core import DreamModel
from worldmodels.dreams.returns import dream_returns
from worldmodels.envs import TaskSpec, make_env, task_spec
from worldmodels.envs.renderers import FRAME_SHAPE
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.stages import encode
from worldmodels.rollouts.cluster import RayExecutor
from worldmodels.rollouts.engine import Episode
from worldmodels.rollouts.executor import Executor, SerialExecutor, one_thread
from worldmodels.rollouts.processes import ProcessExecutor
from worldmodels.training.hardware import rollout_precision
from worldmodels.transfer.weights import save_weights
from worldmodels.vision.inference import FrameEncoder
from worldmodels.vision.scaling import to_unit

EPISODE_STEPS = 200
DREAMERS, DREAMS, DREAM_STEPS = 32, 16, 20  # controllers, dreams of each, and their length
SIGMA = 0.1  # of the random controllers


def rollouts(config: Config, folder: Path, workers: int) -> dict[str, float]:
    """Agent steps per second on CarRacing: ``reference``, ``one`` core, and ``workers`` processes beside ``worker``,
    a single one; where Ray is installed, so many actors of its (``ray``) beside as many ``processes``. On one core
    also the steps of C in ``dream``, and frames of the ``encoder`` alone in batches of 64.
    """
    spec = task_spec(config.env)
    vision, memory = fresh_weights(config, spec, folder)
    slots = config.executor.slots
    with one_thread():
        rates = alternately(
            {
                "reference": functools.partial(reference_agent, config, spec, vision, memory, EPISODE_STEPS),
                "one": functools.partial(agents, config, spec, vision, memory, SerialExecutor(), slots),
                "dream": functools.partial(dreaming, config, spec),
                "encoder": functools.partial(_encoder, config, vision),
            }
        )

    def alternating(executors: Mapping[str, Executor], counts: Mapping[str, int]) -> dict[str, float]:
        with contextlib.ExitStack() as open_executors:
            for executor in executors.values():
                open_executors.callback(executor.close)
            return alternately(
                {
                    name: functools.partial(agents, config, spec, vision, memory, executor, slots * counts[name])
                    for name, executor in executors.items()
                }
            )

    rates |= alternating(
        {"worker": ProcessExecutor(1), "workers": ProcessExecutor(workers)}, {"worker": 1, "workers": workers}
    )
    if importlib.util.find_spec("ray"):  # after the others, because a cluster takes time of its own while it is there
        beside = {"processes": ProcessExecutor(workers), "ray": RayExecutor(workers)}
        rates |= alternating(beside, dict.fromkeys(beside, workers))
    return rates


def reference_agent(config: Config, spec: TaskSpec, vision: Path, memory: Path, steps: int) -> float:
    """Agent steps per second of the usual loop, over one episode of that many steps with the making of its task:
    Gymnasium's drawing, one frame at a time in float32.
    """
    network, recurrent = make_vision(config, vision).eval(), make_memory(config, spec.action_size, memory).eval()
    weights = _controllers(config, spec, 1)[0]
    bias, weights = weights[-spec.outputs :], weights[: -spec.outputs].reshape(spec.outputs, -1)
    started = time.perf_counter()
    env = make_env(replace(config.env, renderer="gymnasium"), max_steps=steps)
    frame, _ = env.reset(seed=0)
    state = recurrent.initial_state(1)
    done = False
    while not done:
        with torch.no_grad():
            z = network.encode(to_unit(torch.from_numpy(frame)[None]).contiguous()).mu
            x = controller_input(read_inputs(config.controller), z, state)
            action = spec.actions.decide(weights @ x[0].numpy() + bias)
            state = recurrent.step(z, torch.from_numpy(action)[None], state)
        frame, _, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    env.close()
    return env.steps / (time.perf_counter() - started)


def agents(config: Config, spec: TaskSpec, vision: Path, memory: Path, executor: Executor, episodes: int) -> float:
    """Agent steps per second of the rollout engine, including the time to make the tasks. No car leaves CarRacing's
    field within `EPISODE_STEPS`.
    """
    work = AgentEpisodes(config_to_json(config), vision, memory, EPISODE_STEPS, config.executor.slots)
    items = [Episode(i, i, player) for i, player in enumerate(_controllers(config, spec, episodes))]
    started = time.perf_counter()
    played = sum(1 for _ in executor.map(work, items))
    return played * EPISODE_STEPS / (time.perf_counter() - started)


def dreaming(config: Config, spec: TaskSpec) -> float:
    """Steps per second of a search in dreams. M is fresh, predicts rewards and ends, and no dream ends before its
    limit.
    """
    latents = np.zeros((1, config.vae.latent_size), np.float32)
    memory = make_memory(config, spec.action_size).eval()
    model = DreamModel(config, spec, None, memory, latents, latents)
    controllers = _controllers(config, spec, DREAMERS)
    started = time.perf_counter()
    dream_returns(model, controllers, range(DREAMS), max_steps=DREAM_STEPS, end_threshold=1.0)
    return DREAMERS * DREAMS * DREAM_STEPS / (time.perf_counter() - started)


def _encoder(config: Config, weights: Path, batches: int = 10) -> float:
    encoder = FrameEncoder(make_vision(config, weights), rollout_precision(config.trainer), encode.BATCH)
    frames = np.random.default_rng(0).integers(0, 256, (encode.BATCH, *FRAME_SHAPE), dtype=np.uint8)
    encoder(frames)
    started = time.perf_counter()
    for _ in range(batches):
        encoder(frames)
    return batches * encode.BATCH / (time.perf_counter() - started)


def fresh_weights(config: Config, spec: TaskSpec, folder: Path) -> tuple[Path, Path]:
    """Files with fresh weights of V and M."""
    folder.mkdir(exist_ok=True)
    vision, memory = folder / "vision.safetensors", folder / "memory.safetensors"
    save_weights(make_vision(config), vision)
    save_weights(make_memory(config, spec.action_size), memory)
    return vision, memory


def _controllers(config: Config, spec: TaskSpec, count: int) -> np.ndarray:
    """Random controllers as a search draws them first, (count, parameters)."""
    size = controller_size(config, spec.outputs)
    return np.random.default_rng(0).normal(0, SIGMA, (count, size))
