"""The agent: V sees, M remembers, C acts; in many episodes at once."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.config import Config, config_from_json
from worldmodels.controller.policy import LinearControllers, parameter_count
from worldmodels.envs import ActionMap, TaskSpec, make_env, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.memory.network import State
from worldmodels.rollouts.engine import Feed, play
from worldmodels.rollouts.executor import Results
from worldmodels.training.hardware import rollout_precision
from worldmodels.utils import parts
from worldmodels.utils.batches import in_batches
from worldmodels.vision.config import NETWORK as VISION
from worldmodels.vision.inference import FrameEncoder

ROWS = 16  # of a batch of V and M; part of what a return depends on, to float rounding


def controller_size(config: Config, action_size: int) -> int:
    """Parameters of C for the inputs that ``controller.inputs`` names."""
    return parameter_count(input_size(config), action_size)


def input_size(config: Config) -> int:
    """Numbers that C sees."""
    return sum(input_sizes(config).values())


def input_sizes(config: Config) -> dict[str, int]:
    """Numbers of each of C's inputs, in their order."""
    sizes = {"z": config.vae.latent_size}
    if remembers(config):
        sizes |= dict.fromkeys("hc", config.memory.hidden_size)
    return {name: sizes[name] for name in config.controller.inputs}


def remembers(config: Config) -> bool:
    """Whether C reads h or c, so that M matters to the agent."""
    return list(config.controller.inputs) != ["z"]


def agent_models(config: Config) -> dict[str, str]:
    """The stages that an agent's models come from, by their roles."""
    return {"vision": "vision"} | ({"memory": "memory"} if remembers(config) else {})


def agent_inputs(config: Config) -> dict[str, Any]:
    """What an agent's episodes depend on besides the task's settings and the weights."""
    return {"seed": config.seed, "precision": rollout_precision(config.trainer)}


def agent_parts(config: Config) -> list[str]:
    """Dotted paths of the networks that an agent is made of."""
    vision = parts.target(VISION, config.vae.network)
    return [vision, *([parts.target(MEMORY, config.memory.network)] if remembers(config) else [])]


class Agent:
    """Players that see frames only, each with a controller of its own. z is V's mean μ, not a sample: the same weights
    and seed give the same episode, whatever is played beside it.
    """

    sees = True

    def __init__(self, config: Config, spec: TaskSpec, vision: Path, memory: Path | None, slots: int = 1) -> None:
        self.vision = make_vision(config, vision).eval()
        self.encode = FrameEncoder(self.vision, rollout_precision(config.trainer), ROWS)
        self.memory = make_memory(config, spec.action_size, memory).eval() if remembers(config) else None
        self.inputs = list(config.controller.inputs)
        self.controllers = LinearControllers(slots, input_size(config), spec.action_size)
        self.action_map = ActionMap(config.env, spec)
        self.state = self.memory.initial_state(slots) if self.memory else None

    def begin(self, slot: int, player: np.ndarray) -> None:
        """player: C's parameters. Forget: h and c are zero before the first frame."""
        self.controllers.set(slot, player)
        if self.state:
            self.state = State(*(part.index_fill(0, torch.tensor([slot]), 0.0) for part in self.state))

    @torch.inference_mode()
    def act(self, slots: Sequence[int], frames: np.ndarray) -> np.ndarray:
        """frames: (n, 64, 64, 3) uint8 -> actions (n, A) float32. C sees h of the frames before these; then M takes the
        step.
        """
        self.z = self.encode(frames).mu
        if self.state is None:
            return self._decide(slots, self.z)
        places = torch.tensor(slots)
        state = State(self.state.h[places], self.state.c[places])
        known = {"z": self.z, "h": state.h, "c": state.c}
        actions = self._decide(slots, torch.cat([known[name] for name in self.inputs], dim=1))
        following = self._remember(self.z, torch.from_numpy(actions), state)
        self.state = State(*(old.index_copy(0, places, new) for old, new in zip(self.state, following, strict=True)))
        return actions

    def _decide(self, slots: Sequence[int], x: torch.Tensor) -> np.ndarray:
        """x: (n, D), what C sees in these slots -> actions (n, A)."""
        return self.action_map(self.controllers(slots, x.numpy().astype(np.float64)))

    def _remember(self, z: torch.Tensor, actions: torch.Tensor, state: State) -> State:
        """M's step, in batches of one shape."""
        assert self.memory is not None
        memory = self.memory
        return State(*in_batches(lambda z, a, h, c: memory.step(z, a, State(h, c)), ROWS, z, actions, *state))


@dataclass(frozen=True)
class AgentEpisodes:
    """Scores controllers, each in one episode: work for an executor. The player of an `Episode` is C's parameters."""

    config: str  # JSON, so that this can be a key
    vision: Path
    memory: Path | None
    max_steps: int | None
    slots: int
    patience: int | None = None

    def __call__(self, feed: Feed) -> Results:
        config, agent = _equipment(replace(self, max_steps=None, patience=None))
        env = functools.partial(make_env, config.env, max_steps=self.max_steps)
        for episode, played in play(feed, env, agent, self.slots, patience=self.patience):
            yield episode, played.total


@functools.lru_cache(maxsize=1)
def _equipment(work: AgentEpisodes) -> tuple[Config, Agent]:
    """Kept between the calls of one process, for the generations of a search."""
    config = config_from_json(work.config)
    return config, Agent(config, task_spec(config.env), work.vision, work.memory, work.slots)
