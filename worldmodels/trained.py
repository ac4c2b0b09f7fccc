"""What a finished run is from Python: its results, its V, M and C, its agent and its dream."""

from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

from worldmodels.config import Config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike

    from worldmodels.dreams.env import DreamEnv
    from worldmodels.vision.interface import Latent
    from worldmodels.vision.interface import Vision as Network

CHANGES_RESULTS = False
ENCODED_ROWS = 256  # frames of a batch of V
FRAME = (64, 64, 3)


class Run:
    """A finished run. An attribute of a stage that was not run raises `ConfigError`.

    ``folder`` is where its ``results.json`` lies, of which ``results`` is the content.
    """

    def __init__(self, finished: FinishedRun) -> None:
        self.finished = finished
        self.folder = finished.folder
        self.results: dict[str, Any] = finished.results

    def __repr__(self) -> str:
        about = " ".join(f"{key}={self.results[key]}" for key in ("env", "transfer", "scale", "seed"))
        return f"Run({str(self.folder)!r}: {about})"

    @cached_property
    def config(self) -> Config:
        """The resolved config."""
        return self.finished.config

    @cached_property
    def vision(self) -> "Vision":
        """V, trained."""
        from worldmodels.factory import make_vision

        return Vision(make_vision(self.config, self.finished.vision.weights).eval())

    @cached_property
    def memory(self) -> Any:
        """M, trained: the network, with ``initial_state``, ``step``, ``unroll`` and ``mixture``."""
        from worldmodels.envs import task_spec
        from worldmodels.factory import make_memory

        weights = self.finished.memory.weights
        return make_memory(self.config, task_spec(self.config.env).action_size, weights).eval()

    @cached_property
    def controller(self) -> "Controller":
        """C, as the search left it."""
        from safetensors.numpy import load_file

        from worldmodels.controller.inputs import read_inputs
        from worldmodels.controller.policy import agent_parameters

        weights = load_file(self.finished.controller.weights)
        search = self.config.controller
        return Controller(
            agent_parameters(weights), weights["mean"], weights["best"], read_inputs(search), search.hidden
        )

    def agent(self) -> "Agent":
        """V, M and C together, for one episode at a time. C is the one that is scored."""
        from worldmodels.controller import agent
        from worldmodels.envs import task_spec
        from worldmodels.pipeline.export import warn_of_other_code

        require(
            not agent.knows(self.config),
            f"{self.folder} has a C that reads the true state, which no frame tells: expected one of z and h",
        )
        warn_of_other_code(self.finished)
        controller = self.finished.controller  # the very V and M that it was searched with
        memory = self.finished.parent(controller, "memory").weights if agent.remembers(self.config) else None
        vision, spec = self.finished.parent(controller, "vision").weights, task_spec(self.config.env)
        return Agent(agent.Agent(self.config, spec, vision, memory), self.controller.agent)

    def dream(self, temperature: float = 1.0, **settings: Any) -> "DreamEnv":
        """M in the task's place, a Gymnasium environment; ``settings`` as of `worldmodels.dreams.env.DreamEnv`, for
        example ``observation="pixels"``.
        """
        from worldmodels.dreams.env import DreamEnv

        require(
            isinstance(temperature, Real) and not isinstance(temperature, bool),
            f"temperature={temperature} is no number: expected one, for example temperature=1.15",
        )
        return DreamEnv(self._dream_model, temperature, **settings)

    @cached_property
    def _dream_model(self) -> Any:
        from worldmodels.dreams.core import DreamModel

        return DreamModel.of(self.finished)


class Vision:
    """V for frames as they come. ``network`` is the `torch.nn.Module`."""

    def __init__(self, network: "Network") -> None:
        self.network = network

    def encode(self, frames: "ArrayLike | torch.Tensor") -> "Latent":
        """Frames (N, 64, 64, 3) or (N, 3, 64, 64), uint8 or floats in 0–1, NumPy or torch -> μ and log σ² (N, Z), torch
        float32. A single frame is ``frame[None]``.
        """
        import torch

        from worldmodels.vision.interface import Latent

        with torch.no_grad():
            parts = [self.network.encode(batch) for batch in _unit_frames(frames).split(ENCODED_ROWS)]
        return Latent(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def decode(self, z: "ArrayLike | torch.Tensor") -> "np.ndarray":
        """Latents (N, Z), NumPy or torch -> frames (N, 64, 64, 3) uint8."""
        import torch

        from worldmodels.vision.scaling import to_pixels

        size = int(self.network.latent_size)
        latents = _tensor(z, f"z is {z!r:.40}: expected numbers, (N, {size})").float()
        require(
            latents.ndim == 2 and latents.shape[1] == size,
            f"z is {tuple(latents.shape)}: expected (N, {size}); of a single one, pass z[None]",
        )
        with torch.no_grad():
            return torch.cat([to_pixels(self.network.decode(batch)) for batch in latents.split(ENCODED_ROWS)]).numpy()


@dataclass(frozen=True)
class Controller:
    """C's parameters, W (A, D) row by row and then b (A,): of the ``agent``, which is scored, of the search's ``mean``
    and of its ``best`` individual. ``inputs`` names what C reads, of z, h and c. With a layer of ``hidden`` tanh units
    W and b of that come first, (hidden, D) and (hidden,), and then those of the outputs.
    """

    agent: "np.ndarray"
    mean: "np.ndarray"
    best: "np.ndarray"
    inputs: list[str]
    hidden: int | None = None


class Agent:
    """Plays one episode at a time: `reset` before each, then `act` on every frame."""

    def __init__(self, agent: Any, parameters: "np.ndarray") -> None:
        self._agent, self._parameters = agent, parameters
        self.reset()

    def reset(self) -> None:
        """Forget: a new episode begins."""
        self._agent.begin(0, self._parameters)

    def act(self, frame: "np.ndarray") -> "np.ndarray":
        """The frame of now, (64, 64, 3) uint8 -> an action of the task, as it was scored, bit for bit."""
        import numpy as np

        from worldmodels.rollouts.executor import one_thread

        frame = np.asarray(frame)
        require(
            frame.shape == FRAME and frame.dtype == np.uint8,
            f"the frame is {frame.shape} {frame.dtype}: expected {FRAME} uint8, as make_env gives it",
        )
        with one_thread():
            return self._agent.act([0], frame[None])[0]


def _unit_frames(frames: Any) -> "torch.Tensor":
    """Frames of any accepted form as float32 (N, 3, 64, 64) in 0–1."""
    import torch

    from worldmodels.vision.scaling import to_unit

    frames = _tensor(frames, f"frames are {frames!r:.40}: expected numbers, (N, 64, 64, 3)")
    channels_last = tuple(frames.shape[1:]) == FRAME
    require(
        frames.ndim == 4 and len(frames) > 0 and (channels_last or tuple(frames.shape[1:]) == (3, 64, 64)),
        f"frames are {tuple(frames.shape)}: expected (N, 64, 64, 3) or (N, 3, 64, 64); a single one is frame[None]",
    )
    frames = frames if channels_last else frames.movedim(1, -1)
    if frames.dtype == torch.uint8:
        return to_unit(frames)
    low, high = (float(limit) for limit in frames.aminmax())
    require(
        frames.is_floating_point() and low >= 0 and high <= 1,
        f"frames are {str(frames.dtype).removeprefix('torch.')} from {low:g} to {high:g}: expected uint8, or floats in "
        "0 to 1; divide by 255, or convert to uint8",
    )
    return frames.movedim(-1, 1).float()


def _tensor(values: Any, otherwise: str) -> "torch.Tensor":
    """``values`` as torch has them. Raises `ConfigError`, saying ``otherwise``, where they are no numbers."""
    import torch

    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(otherwise) from error
