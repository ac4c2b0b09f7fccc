"""The agent: V sees, M remembers, C acts; in many episodes at once."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.config import Config, config_from_json
from worldmodels.controller.inputs import read_inputs
from worldmodels.controller.policy import Controllers, Shape
from worldmodels.envs import TaskSpec, make_env, task_class, task_spec
from worldmodels.factory import beside_weights, make_memory, make_vision
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.memory.interface import Memory, State, put, rebuilt, take
from worldmodels.rollouts.engine import Feed, play
from worldmodels.rollouts.executor import Results
from worldmodels.training.hardware import rollout_precision
from worldmodels.utils import parts
from worldmodels.utils.batches import in_batches
from worldmodels.utils.checks import require
from worldmodels.vision.config import NETWORK as VISION
from worldmodels.vision.inference import FrameEncoder

Disturb = Callable[[Sequence[int], np.ndarray], np.ndarray]  # slots and actions (n, A) -> (n, A)
ROWS = 16  # of a batch of V and M; part of what a return depends on, to float rounding


def controller_size(config: Config, outputs: int) -> int:
    """Parameters of C for the inputs that it reads."""
    return controller_shape(config, outputs).size


def controller_shape(config: Config, outputs: int) -> Shape:
    """The sizes of C for the inputs that it reads."""
    return Shape(input_size(config), outputs, config.controller.hidden)


def input_size(config: Config) -> int:
    """Numbers that C sees."""
    return sum(input_sizes(config).values())


def input_sizes(config: Config) -> dict[str, int]:
    """Numbers of each of C's inputs, in their order."""
    if knows(config):
        return {"state": known_size(config)}
    sizes = {"z": config.vae.latent_size}
    if remembers(config):
        sizes |= dict.fromkeys("hc", config.memory.hidden_size)
    return {name: sizes[name] for name in read_inputs(config.controller)}


def remembers(config: Config) -> bool:
    """Whether C reads h or c, so that M matters to the agent."""
    return not {"h", "c"}.isdisjoint(read_inputs(config.controller))


def knows(config: Config) -> bool:
    """Whether C reads the true state, in the place of what V and M tell."""
    return "state" in config.controller.inputs


def known_size(config: Config) -> int:
    """Numbers of the true state that a controller reads: `Task.known`."""
    names = task_spec(config.env).state_names
    size = task_class(config.env).known(np.zeros((1, len(names)), np.float32)).shape[1]
    require(size > 0, f"env.name={config.env.name} tells no true state: expected a task with state_names")
    return size


def agent_models(config: Config) -> dict[str, str]:
    """The stages that an agent's models come from, by their roles."""
    if knows(config):
        return {}
    return {"vision": "vision"} | ({"memory": "memory"} if remembers(config) else {})


def agent_inputs(config: Config) -> dict[str, Any]:
    """What an agent's episodes depend on besides the task's settings and the weights."""
    networks = beside_weights(config, *agent_models(config))
    return {"seed": config.seed, "precision": rollout_precision(config.trainer), **networks}


def agent_parts(config: Config) -> list[str]:
    """Dotted paths of the networks that an agent is made of."""
    if knows(config):
        return []
    classes = parts.targets(VISION, config.vae.network, "vae.network")
    return classes + (parts.targets(MEMORY, config.memory.network, "memory.network") if remembers(config) else [])


def controller_input(names: Sequence[str], z: torch.Tensor, state: State | None) -> torch.Tensor:
    """What C reads, side by side in the order of ``controller.inputs``: z (B, Z) and parts of M's state (B, H) each
    -> (B, D).
    """
    return torch.cat([z if name == "z" else getattr(state, name) for name in names], dim=1)


def check_inputs(config: Config, memory: Memory) -> None:
    """Raise `ConfigError` where C is to read what M's state does not have."""
    state, names = memory.initial_state(1), read_inputs(config.controller)
    missing = [name for name in names if name != "z" and not hasattr(state, name)]
    require(
        not missing,
        f"controller.inputs=[{','.join(names)}] reads {' and '.join(missing)}, which the state of "
        f"{type(memory).__name__} does not have: expected names of its parts, such as controller.inputs=[z,h]",
    )


class Agent:
    """Players that see frames only, each with a controller of its own. z is V's mean μ, not a sample: the same weights
    and seed give the same episode, whatever is played beside it. Where C reads the true state, there are no V and M,
    and they see nothing else.
    """

    def __init__(
        self, config: Config, spec: TaskSpec, vision: Path | None, memory: Path | None, slots: int = 1
    ) -> None:
        self.knows = knows(config)
        self.sees = not self.knows
        if self.sees:
            self.vision = make_vision(config, vision).eval()
            self.encode = FrameEncoder(self.vision, rollout_precision(config.trainer), ROWS)
        self.memory = make_memory(config, spec.action_size, memory).eval() if remembers(config) else None
        self.inputs = read_inputs(config.controller)
        self.controllers = Controllers(slots, controller_shape(config, spec.outputs))
        self.actions = spec.actions
        if self.memory is not None:
            check_inputs(config, self.memory)
        with torch.inference_mode():
            self.state: Any = None if self.memory is None else self.memory.initial_state(slots)

    @torch.inference_mode()
    def begin(self, slot: int, player: np.ndarray) -> None:
        """player: C's parameters. Forget: M is in its initial state before the first frame."""
        self.controllers.set(slot, player)
        if self.memory is not None:
            self.state = put(self.state, torch.tensor([slot]), self.memory.initial_state(1))

    @torch.inference_mode()
    def act(
        self,
        slots: Sequence[int],
        frames: np.ndarray,
        known: np.ndarray | None = None,
        *,
        disturb: Disturb | None = None,
    ) -> np.ndarray:
        """frames: (n, 64, 64, 3) uint8 -> actions (n, A) float32, as `ActionCodec` has them. C sees h of the frames
        before these; then M takes the step. ``known``: the true states, (n, K), where C reads them. ``disturb`` makes
        other actions of C's, which are then the ones taken.
        """
        if self.knows:
            assert known is not None
            return self._decide(slots, torch.from_numpy(known), disturb)
        self.z = self.encode(frames).mu
        if self.state is None:
            return self._decide(slots, self.z, disturb)
        rows = torch.tensor(slots)
        state = take(self.state, rows)
        actions = self._decide(slots, controller_input(self.inputs, self.z, state), disturb)
        self.state = put(self.state, rows, self._remember(self.z, torch.from_numpy(actions), state))
        return actions

    def _decide(self, slots: Sequence[int], x: torch.Tensor, disturb: Disturb | None) -> np.ndarray:
        """x: (n, D), what C sees in these slots -> actions (n, A)."""
        actions = self.actions.decide(self.controllers(slots, x.numpy().astype(np.float64)))
        return actions if disturb is None else disturb(slots, actions)

    def _remember(self, z: torch.Tensor, actions: torch.Tensor, state: State) -> State:
        """M's step, in batches of one shape."""
        assert self.memory is not None
        memory = self.memory

        def step(z: torch.Tensor, action: torch.Tensor, *parts: torch.Tensor) -> Sequence[torch.Tensor]:
            return tuple(memory.step(z, action, rebuilt(state, parts)))

        return rebuilt(state, in_batches(step, ROWS, z, actions, *state))


@dataclass(frozen=True)
class AgentEpisodes:
    """Scores controllers, each in one episode: work for an executor. The player of an `Episode` is C's parameters."""

    config: str  # JSON, so that this can be a key
    vision: Path | None
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
