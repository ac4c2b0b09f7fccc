"""The Python API: train, load and use runs. What is public stands in ``worldmodels.__all__``.

Wherever the request makes no sense, or something was not run, a `ConfigError` says so in one line.
"""

import contextlib
import logging
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from worldmodels.cli import one_line, remove_empty_run
from worldmodels.config import Config, check_parts, conf_dir, job_config, plain, register_schema
from worldmodels.envs.config import EnvConfig
from worldmodels.pipeline.source import check_source
from worldmodels.store.runs import FinishedRun, foreign_code
from worldmodels.utils import interrupts
from worldmodels.utils.checks import require
from worldmodels.utils.disk import no_folder, trouble
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import require_options, spelled_out

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike

    from worldmodels.dreams.env import DreamEnv
    from worldmodels.envs import PixelEnv
    from worldmodels.vision.interface import Latent
    from worldmodels.vision.interface import Vision as Network

CHANGES_RESULTS = False
ENCODED_ROWS = 256  # frames of a batch of V
FRAME = (64, 64, 3)


def compose(*overrides: str, config_dir: str | Path | None = None) -> Config:
    """The config that ``python -m worldmodels.train`` has with these overrides, checked: ``compose("env=lunar_lander",
    "vae.epochs=3")``. ``config_dir``: a folder of your own config files, as ``--config-dir``.
    """
    return _checked(_composed(list(overrides), config_dir))


def train(*overrides: str, config_dir: str | Path | None = None) -> "Run":
    """What ``python -m worldmodels.train`` does with these overrides, in this process: the same folders, the same
    reuse, the same log on the console. Started again after an interruption, it goes on.

    Worker processes do not run your script again: no ``if __name__ == "__main__"`` is needed, and classes that
    ``_target_`` names have to lie in a module, not in the script. A module that was edited after it was imported is
    used as it was imported; restart Python to use the new one.
    """
    composed = _composed(list(overrides), config_dir)
    hydra_config = composed.hydra

    paths = [override for override in overrides if override.startswith("hydra.searchpath=")]
    config = _checked(composed)
    source = check_source(config, lambda others: _composed([*others, *paths], config_dir))
    check_parts(config)

    from worldmodels.pipeline.iterations import run_rounds  # only now, as it takes long to import

    folder = Path(hydra_config.run.dir).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if trouble(error):
            raise
        raise ConfigError(no_folder(f"paths.outputs={config.paths.outputs}", error)) from error
    try:
        with _logged(folder / f"{hydra_config.job.name}.log"), interrupts.caught(), _restored_threads():
            for name, part in (("config", _without_hydra(composed)), ("hydra", hydra_config)):
                _write(folder / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(part))
            _write(folder / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(list(overrides)))
            run_rounds(config, source, folder)
    except ConfigError:
        remove_empty_run(folder)
        raise
    return Run(FinishedRun(folder, foreign_code(plain(config))))


def load(folder: str | Path, allow: Collection[str] = ()) -> "Run":
    """A finished run, from the folder that holds its ``results.json``. ``allow``: modules outside of the package whose
    classes the run may name, such as ``["mypackage"]``: their code runs when the run is used.
    """
    require(
        isinstance(folder, str | PathLike),
        f"load got {folder!r:.60}: expected the folder of a run, for example load('outputs/runs/…/…')",
    )
    require(
        not isinstance(allow, str) and isinstance(allow, Collection) and all(isinstance(name, str) for name in allow),
        f"load got allow={allow!r:.60}: expected a list of modules, for example allow=['mypackage']",
    )
    return Run(FinishedRun(Path(folder), allow))


def make_env(
    task: str | Config | EnvConfig, *overrides: str, max_steps: int | None = None, pictures: bool = False
) -> "PixelEnv":
    """A task as agents see it, a Gymnasium environment with frames (64, 64, 3) uint8 for observations.

    ``task``: an option of the group ``env``, with ``overrides`` such as ``"env.renderer=gymnasium"``, or a config.
    ``max_steps`` ends episodes sooner than the task does; ``pictures`` lets ``render`` show them as people see them.
    """
    if isinstance(task, str):
        config = compose(f"env={task}", *overrides).env
    else:
        require(
            isinstance(task, Config | EnvConfig),
            f"make_env got {task!r:.60}: expected the name of a task or a config, for example make_env('car_racing')",
        )
        require(not overrides, f"make_env got overrides {list(overrides)} beside a config: expected the name of a task")
        config = task.env if isinstance(task, Config) else task
    from worldmodels.envs import make_env

    return make_env(config, max_steps=max_steps, pictures=pictures)


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


def _composed(overrides: list[str], config_dir: str | Path | None = None) -> DictConfig:
    """The config with Hydra's own node, composed without a trace in Hydra's global state."""
    for override in overrides:
        require(
            isinstance(override, str) and not override.startswith("-"),
            f"got {override!r}: expected overrides such as 'env=lunar_lander'; for a sweep, call in a loop",
        )
    require_options(overrides, Config, conf_dir())
    folder = [] if config_dir is None else [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"]
    register_schema()
    version, application = VersionBase.instance().getbase(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), job_name="train", version_base="1.3"):
            return hydra.compose("config", [*spelled_out(overrides, Config), *folder], return_hydra_config=True)
    except Exception as error:  # whatever its type, it is the request's fault
        raise ConfigError(one_line(error)) from error
    finally:
        VersionBase.instance().version_base = version
        GlobalHydra.instance().hydra = application


def _without_hydra(composed: DictConfig) -> DictConfig:
    copied = composed.copy()
    with open_dict(copied):
        del copied["hydra"]
    return copied


def _checked(composed: DictConfig) -> Config:
    try:
        return job_config(_without_hydra(composed), composed.hydra)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Log a run to a file in its folder, and to standard output unless this program has configured logging itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(__package__)
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    if not logging.getLogger().handlers:
        handlers.append(logging.StreamHandler(sys.stdout))
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


@contextlib.contextmanager
def _restored_threads() -> Iterator[None]:
    """Give this program its own numbers of threads back afterwards."""
    import cv2
    import torch

    threads, drawing = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(drawing)
