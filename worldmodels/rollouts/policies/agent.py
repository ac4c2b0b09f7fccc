"""The agent of a finished run as a collection policy: data of one's own (Ha & Schmidhuber 2018, section 5)."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from omegaconf import MISSING
from safetensors.numpy import load_file

from worldmodels.controller.agent import (
    Agent,
    agent_models,
    agent_parts,
    controller_size,
    knows,
)
from worldmodels.controller.policy import agent_parameters
from worldmodels.envs import TaskSpec
from worldmodels.envs.config import EnvConfig
from worldmodels.factory import beside_weights
from worldmodels.store.runs import FinishedRun
from worldmodels.training.hardware import rollout_precision
from worldmodels.utils.checks import require
from worldmodels.utils.settings import Setting

SEEN = ("picture", "view", "crop_bottom", "action_repeat")  # settings of a task that say what of it is seen, and when


def content_of(run: str, _: Any = None) -> list[str]:
    """What the agent of a run counts as: the contents of C, and of the V and M that it was searched with."""
    _require_run(run)
    manifest = FinishedRun(Path(run)).manifest("controller")
    parents = manifest["parents"]
    return [manifest["content"], *(parents[role]["content"] for role in ("vision", "memory") if role in parents)]


def agent_counts(
    policy: Mapping[str, Any], env: EnvConfig, beside: Mapping[str, Any], allow: Collection[str]
) -> dict[str, Any]:
    """What the actions of a run's agent depend on besides what it is. ``env``: this task; ``beside``: its settings that
    count for agents alone. Raises `ConfigError` where the agent is of another task, or was trained to see it otherwise.
    """
    config = _run_of(policy, allow).config
    run = f"collect.policy.run={policy['run']}"
    require(config.env.name == env.name, f"{run} plays {config.env.name}: expected an agent of {env.name}")
    for name in SEEN:
        theirs, ours = getattr(config.env, name), getattr(env, name)
        require(
            theirs == ours,
            f"{run} was trained with env.{name}={theirs}, and this run has env.{name}={ours}: expected the same; set "
            f"env.{name}={theirs}, or choose another run",
        )
    networks = beside_weights(config, *agent_models(config))
    return {**beside, "precision": rollout_precision(config.trainer), **networks}


def networks(policy: Mapping[str, Any], allow: Collection[str]) -> list[str]:
    """Dotted paths of the classes of V and M that play."""
    return agent_parts(_run_of(policy, allow).config)


def _run_of(policy: Mapping[str, Any], allow: Collection[str]) -> FinishedRun:
    run = policy.get("run", MISSING)
    _require_run(run)
    return FinishedRun(Path(run), allow)


def _require_run(run: str) -> None:
    require(run != MISSING, "collect.policy=agent has no run: expected one, for example collect.policy.run=DIR")


class AgentPlayers:
    """Players for all slots at once. Noise is added to the agent's actions, and the nearest action of the task is
    taken: of a choice among n, noise on its one-hot vector.

    ``stream`` gives the random numbers of an episode, from what its player is; ``allow``: modules outside the package
    whose classes the run may name.
    """

    sees = True
    libraries: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(
        self,
        spec: TaskSpec,
        slots: int,
        stream: Callable[[Any], np.random.Generator],
        allow: Collection[str],
        run: Annotated[str, Setting("Folder of a finished run, whose agent plays.", counts_as=content_of)],
        noise: Annotated[
            float,
            Setting("Deviation of the noise, as a share of half the range of each action; 0 adds none.", at_least=0),
        ] = 0.2,
        persistence: Annotated[
            float,
            Setting("Correlation of the noise with that of the step before.", at_least=0, below=1),
        ] = 0.8,
    ) -> None:
        finished = FinishedRun(Path(run), allow)
        config, controller = finished.config, finished.controller
        require(
            not knows(config),
            f"collect.policy.run={run} has a C that reads the true state: expected an agent that sees pixels",
        )
        weights = {role: finished.parent(controller, role).weights for role in agent_models(config)}
        self._parameters = agent_parameters(load_file(controller.weights))
        size = controller_size(config, spec.outputs)
        require(
            len(self._parameters) == size,
            f"collect.policy.run={run} has a C of {len(self._parameters)} parameters, and this env asks for {size}: "
            "expected an agent with as many outputs; set env.discrete and env.kwargs as its run did",
        )
        self._agent = Agent(config, spec, weights["vision"], weights.get("memory"), slots)
        self._actions, self._stream = spec.actions, stream
        self._scale = noise * (spec.action_high - spec.action_low) / 2
        self._persistence, self._fresh = persistence, math.sqrt(1 - persistence**2)
        self._rng: list[np.random.Generator | None] = [None] * slots
        self._noise = np.zeros((slots, spec.action_size))

    def begin(self, slot: int, player: Any) -> None:
        rng = self._stream(player)
        self._rng[slot], self._noise[slot] = rng, rng.standard_normal(self._noise.shape[1])
        self._agent.begin(slot, self._parameters)

    def act(self, slots: Sequence[int], frames: np.ndarray) -> np.ndarray:
        """frames: (n, 64, 64, 3) uint8 -> actions (n, A) float32. M remembers the actions that are taken."""
        return self._agent.act(slots, frames, disturb=self._disturbed)

    def _disturbed(self, slots: Sequence[int], actions: np.ndarray) -> np.ndarray:
        if not self._scale.any():
            return actions
        disturbed = self._actions.nearest(actions + self._scale * self._noise[list(slots)]).astype(np.float32)
        for slot in slots:
            rng = self._rng[slot]
            assert rng is not None
            fresh = rng.standard_normal(self._noise.shape[1])
            self._noise[slot] = self._persistence * self._noise[slot] + self._fresh * fresh
        return disturbed
