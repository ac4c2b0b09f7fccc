"""One person at play: a dream and, beside it, the real task, both under the same keys or under C."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from worldmodels.config import Config
from worldmodels.controller.agent import check_inputs, controller_input, controller_shape, knows
from worldmodels.controller.inputs import read_inputs
from worldmodels.controller.policy import Controllers, agent_parameters
from worldmodels.dreams.core import DreamModel
from worldmodels.dreams.starts import Start, first_frames, make_task
from worldmodels.envs import PixelEnv, task_spec
from worldmodels.factory import make_memory, make_vision, require_decoder
from worldmodels.memory import mixture
from worldmodels.memory.interface import Memory
from worldmodels.playing import COLDEST, HOTTEST, LARGEST_SEED, SLOWEST
from worldmodels.playing.keys import KeyMap, key_map
from worldmodels.playing.noise import Noise
from worldmodels.store.runs import FinishedRun
from worldmodels.training.hardware import rollout_precision
from worldmodels.utils.media import png_bytes
from worldmodels.vision.inference import FrameEncoder
from worldmodels.vision.interface import Vision
from worldmodels.vision.scaling import to_pixels

CHANGES_RESULTS = False


@dataclass(frozen=True)
class Played:
    """What is played: the models of a run, its keys, and first frames. ``controller``: C's parameters, or None where no
    agent can take over.
    """

    model: DreamModel
    encode: FrameEncoder
    keys: KeyMap
    starts: tuple[Start, ...]
    controller: np.ndarray | None

    @classmethod
    def of(cls, run: FinishedRun, starts: int) -> "Played":
        """From a run that went as far as ``stage=memory``. The first frames are those of held-out episodes that begin
        as the training rollouts do. Raises `ConfigError`.
        """
        config, learnt = run.config, run.memory.weights  # a run without M is told so first
        vision, spec = make_vision(config, require_decoder(run.vision.weights)).eval(), task_spec(config.env)
        memory = make_memory(config, spec.action_size, learnt).eval()
        first = first_frames(config, vision, starts)
        model = DreamModel.from_frames(config, spec, vision, memory, first)
        encode = FrameEncoder(vision, rollout_precision(config.trainer), 1)
        return cls(model, encode, key_map(config.env, spec.actions), first, _controller(run, config, memory))


def _controller(run: FinishedRun, config: Config, memory: Memory) -> np.ndarray | None:
    """None without a C, and where it reads the true state, which a dream does not have."""
    if "controller" not in run.results["stages"] or knows(config):
        return None
    check_inputs(config, memory)
    return agent_parameters(load_file(run.controller.weights))


def data_url(picture: np.ndarray) -> str:
    """A PNG that stands in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png_bytes(picture)).decode()}"


@dataclass
class World:
    """A dream, or the real task as V sees it: z (1, Z) of now, M's state before it, and the score so far."""

    z: Tensor
    state: Any
    step: int = 0
    reward: float | None = None
    total: float = 0.0
    end: float | None = None
    over: bool = False


class Session:
    """The dream is that of `DreamEnv`, drawn by `Noise`. A step of the real task follows each of the dream, with the
    same action, unless C acts, by what it sees in each.

    Not for several threads. What is shown after a step is `facts` and `pictures`.
    """

    def __init__(self, played: Played, temperature: float = 1.0, seed: int = 0) -> None:
        self.played, self.temperature, self.seed = played, temperature, seed
        model = played.model
        assert model.vision is not None
        self.vision: Vision = model.vision
        self.config, self.spec, self.memory = model.config, model.spec, model.memory
        self.agent = self.paused = False
        self.ends = model.end_head is not None
        self.speed = 1.0
        self.held: Sequence[str] = ()
        self.env: PixelEnv | None = None
        self.task: World | None = None
        self._inputs = read_inputs(self.config.controller)
        if played.controller is not None:
            self._controllers = Controllers(1, controller_shape(self.config, self.spec.outputs))
            self._controllers.set(0, played.controller)
        self.begin(0, seed)

    def begin(self, start: int, seed: int) -> None:
        """Start over, in the dream and in the task, from one of the first frames."""
        first = self.played.starts[start]
        self.start, self.seed, self._noise = start, seed, Noise(seed)
        noise = self._noise.standard_normal(len(first.mu), np.float32)
        z = torch.from_numpy(first.mu + np.exp(first.log_var / 2) * noise)[None]
        self.action = np.array(self.played.keys.rest, np.float32)
        self.dream = World(z, self._initial())
        self.frame = first.frame
        self._pictures: np.ndarray | None = None
        self.play_task(self.task is not None)

    def greeting(self) -> dict[str, Any]:
        """What the page has to know from the beginning."""
        return {
            "name": self.spec.name,
            "fps": self.spec.fps,
            "keys": self.played.keys.described(),
            "starts": [data_url(start.frame) for start in self.played.starts],
            "temperature": self.temperature,
            "coldest": COLDEST,
            "hottest": HOTTEST,
            "slowest": SLOWEST,
            "seed": self.seed,
            "largest_seed": LARGEST_SEED,
            "agent": self.played.controller is not None,
            "ends": self.played.model.end_head is not None,
            "task": True,
        }

    def play_task(self, on: bool) -> None:
        """Switch the real task on, where it begins, or off."""
        first = self.played.starts[self.start]
        self.frame, self._pictures = first.frame, None
        self.task, self.changed = None, True
        if on:
            self.env = self.env or make_task(self.config)
            self.frame, _ = self.env.reset(seed=first.seed)
            self.task = World(torch.from_numpy(first.mu)[None], self._initial())

    def close(self) -> None:
        if self.env is not None:
            self.env.close()

    def _initial(self) -> Any:
        with torch.inference_mode():
            return self.memory.initial_state(1)

    def handle(self, message: Mapping[str, Any]) -> None:
        """What the page asks for. Raises `ValueError` where that makes no sense."""
        for name, value in message.items():
            match name, value:
                case "keys", [*held] if all(isinstance(key, str) for key in held):
                    self.held = held
                case "temperature", int() | float() if COLDEST <= value <= HOTTEST:
                    self.temperature = value
                case "begin", [int(start), int(seed)] if 0 <= start < len(self.played.starts):
                    self.begin(start, seed)
                case "task", bool():
                    self.play_task(value)
                case "speed", int() | float() if SLOWEST <= value <= 1:
                    self.speed = value
                case "agent", bool() if self.played.controller is not None or not value:
                    self.agent = value
                case "ends", bool():
                    self.ends = value
                case "pause", bool():
                    self.paused = value
                case _:
                    raise ValueError(f"{name}={value} is nothing that can be asked for")

    @torch.inference_mode()
    def step(self) -> bool:
        """One step of the dream and of the task, unless they are over. Returns whether there was one to take."""
        if self.paused or (self.dream.over and (self.task is None or self.task.over)):
            return False
        self._pictures = None
        pressed = self.played.keys.action(self.held, self.action)
        if not self.dream.over:
            self.action = self._act(self.dream, pressed)
            self._dream_on(self.dream)
        if self.task is not None and not self.task.over:
            action = self._act(self.task, pressed)
            if self.dream.over:
                self.action = action
            self._play_on(self.task, action)
        return True

    def _act(self, world: World, pressed: np.ndarray) -> np.ndarray:
        """The action that is taken, (A,), which M then remembers."""
        action = pressed
        if self.agent:
            seen = controller_input(self._inputs, world.z, world.state).numpy().astype(np.float64)
            action = self.spec.actions.decide(self._controllers([0], seen))[0]
        world.state = self.memory.step(world.z, torch.from_numpy(action)[None], world.state)
        world.step += 1
        return action

    def _dream_on(self, world: World) -> None:
        """The next z, which M imagines; the reward that it expects, and the end that it draws."""
        model, h = self.played.model, world.state.h
        size = self.memory.latent_size
        uniform, noise = (self._noise.random(size, np.float32), self._noise.standard_normal(size, np.float32))
        fate = self._noise.random()
        parts = self.memory.mixture(h, world.z)
        world.z = mixture.draw(parts, self.temperature, torch.from_numpy(uniform)[None], torch.from_numpy(noise)[None])
        if model.step_reward is not None:
            world.reward = model.step_reward
        elif model.reward_head is not None:
            world.reward = float(model.reward_head.mean(h))
        world.total += world.reward or 0.0
        if model.end_head is not None:
            world.end = float(model.end_head.probability(h))
        world.over = world.step >= model.max_steps or (self.ends and (world.end or 0.0) > fate)

    def _play_on(self, world: World, action: np.ndarray) -> None:
        """The next frame of the task, as V sees it."""
        assert self.env is not None
        self.frame, world.reward, terminated, truncated, _ = self.env.step(action)
        world.total += world.reward
        world.over = terminated or truncated
        world.z = self.played.encode(self.frame[None]).mu

    def pictures(self) -> np.ndarray:
        """The dream, V's reconstruction and the real frame, of the task or of the first one: (3, 64, 64, 3) uint8."""
        if self._pictures is None:
            with torch.inference_mode():
                real = self.task.z if self.task else torch.from_numpy(self.played.starts[self.start].mu)[None]
                seen = to_pixels(self.vision.decode(torch.cat([self.dream.z, real]))).numpy()
            self._pictures = np.concatenate([seen, self.frame[None]])
        return self._pictures

    def facts(self) -> dict[str, Any]:
        """What the page writes beside the pictures."""
        worlds = {"dream": self.dream, "task": self.task}
        names = ("step", "reward", "total", "end", "over")
        told = {name: world and {fact: getattr(world, fact) for fact in names} for name, world in worlds.items()}
        return {**told, "action": self.action.tolist()}
