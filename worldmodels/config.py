"""Typed schema of the whole Hydra tree, with the checks that need more than one key.

The dataclasses are registered as ``schema`` in Hydra's ConfigStore and come first in ``conf/config.yaml``, so a
misspelt key in any YAML file or override is an error. Values live in ``conf/``; a default here only says "may be left
out".
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from worldmodels.transfer.config import FRAMES, TransferConfig, strategy_label
from worldmodels.utils.checks import require, require_at_least, require_one_of, require_positive

STAGES = ("collect", "vision", "encode", "memory", "controller", "evaluate")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
POLICIES = ("uniform", "sticky", "brownian", "biased")


def conf_dir() -> Path:
    """Folder of the Hydra tree: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def usable_cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fraction(key: str, value: float) -> None:
    require(0 < value < 1, f"{key}={value} is out of range: expected a fraction between 0 and 1")


@dataclass
class EnvConfig:
    """A task. ``id`` and ``kwargs`` go to `gymnasium.make`; the code of a task is chosen by ``name``."""

    name: str = MISSING
    id: str = MISSING
    kwargs: dict[str, Any] = field(default_factory=dict)
    renderer: str = "fast"
    action_repeat: int = 1
    crop_bottom: float = 0.0
    max_steps: int = MISSING
    squash: list[str] = MISSING
    heuristic: bool = False
    heuristic_full_stop: float = 0.5
    heuristic_slow_down: float = 0.2
    heuristic_threshold: float = 0.1
    default_source: str = MISSING

    def __post_init__(self) -> None:
        require_one_of("env.renderer", self.renderer, ("gymnasium", "exact", "fast"))
        require_at_least("env.action_repeat", self.action_repeat, 1)
        require(0 <= self.crop_bottom <= 0.9, f"env.crop_bottom={self.crop_bottom} is out of range: expected 0 to 0.9")
        require_at_least("env.max_steps", self.max_steps, 2)
        require(
            not self.heuristic or self.name == "car_racing",
            f"env.heuristic=true is CarRacing's own: got env={self.name}; set env.heuristic=false or env=car_racing",
        )


@dataclass
class CollectConfig:
    """Random rollouts. The data set is the first of them, whole, as few as hold ``frames`` frames: two at least,
    ``rollouts`` at most.
    """

    node: ClassVar[str] = "collect"  # of the tree; the random stream has the same name

    rollouts: int = MISSING
    frames: int | None = None
    max_steps: int | None = None
    policy: str = MISSING
    persistence: float = 0.9
    brownian_std: float = 0.3
    bias: float = 0.7
    scatter: bool = False
    seed: int = MISSING

    def __post_init__(self) -> None:
        node = self.node
        require_at_least(f"{node}.rollouts", self.rollouts, 2)
        require_at_least(f"{node}.frames", self.frames, 1)
        require_at_least(f"{node}.max_steps", self.max_steps, 2)
        require_one_of(f"{node}.policy", self.policy, POLICIES)
        require(0 <= self.persistence < 1, f"{node}.persistence={self.persistence} is out of range: expected 0 ≤ p < 1")
        require_at_least(f"{node}.brownian_std", self.brownian_std, 0)
        require(0 <= self.bias <= 1, f"{node}.bias={self.bias} is out of range: expected 0 to 1")
        require_at_least(f"{node}.seed", self.seed, 0)


@dataclass
class HeldoutConfig(CollectConfig):
    """Rollouts that no model is trained on, the same for every run of a task and scale."""

    node: ClassVar[str] = "heldout"

    rollouts: int = 1000
    frames: int | None = 5000
    policy: str = "sticky"
    scatter: bool = True
    seed: int = 0


@dataclass
class ProbeConfig:
    """Probes of V and M on the held-out rollouts, of which the share ``scored`` scores and the others fit the probes;
    ``epochs`` bounds the training of the small MLP.
    """

    enabled: bool = True
    scored: float = 0.3
    epochs: int = 100

    def __post_init__(self) -> None:
        _fraction("probe.scored", self.scored)
        require_at_least("probe.epochs", self.epochs, 1)


@dataclass
class MeasureConfig:
    """Measures of M on the held-out rollouts. ``training_frames``: of M's training rollouts, at most about as many fit
    the baselines; ``samples``: futures drawn for each forecast, at least two, or none to feed M's mean back.
    """

    enabled: bool = True
    training_frames: int = 20_000
    samples: int = 0

    def __post_init__(self) -> None:
        require_at_least("measure.training_frames", self.training_frames, 2)
        require(
            self.samples == 0 or self.samples >= 2,
            f"measure.samples={self.samples} gives no variance: expected 0, or 2 or more",
        )


@dataclass
class VisionNetworkConfig:
    _target_: str = MISSING
    latent_size: int = 32

    def __post_init__(self) -> None:
        require_at_least("vae.network.latent_size", self.latent_size, 1)


@dataclass
class VisionConfig:
    """V. ``loss`` names an entry of `worldmodels.vision.objectives.MODULES`; a key that begins with a loss's name is
    read with that loss alone. ``perceptual_run`` is the folder of a finished run. ``frames`` other than ``real`` are a
    control: V is trained on noise, or on frames without their structure.
    """

    network: VisionNetworkConfig = field(default_factory=VisionNetworkConfig)
    frames: str = "real"
    loss: str = "mse"
    kl_floor: float = 0.5
    epochs: int = MISSING
    batch_size: int = MISSING
    learning_rate: float = 1e-3
    min_learning_rate: float | None = None
    validation_fraction: float = 0.1
    shuffle_frames: int = 30000
    salient_weight: float = 100.0
    salient_glimpse: float = 0.0
    salient_place: float = 0.0
    perceptual_weight: float = 0.5
    perceptual_run: str | None = None
    gan_gamma: float = 1.0
    gan_learning_rate: float = 2e-4

    def __post_init__(self) -> None:
        require_one_of("vae.frames", self.frames, FRAMES)
        require_at_least("vae.kl_floor", self.kl_floor, 0)
        require_at_least("vae.epochs", self.epochs, 1)
        require_at_least("vae.batch_size", self.batch_size, 1)
        require_positive("vae.learning_rate", self.learning_rate)
        require(
            self.min_learning_rate is None or 0 <= self.min_learning_rate <= self.learning_rate,
            f"vae.min_learning_rate={self.min_learning_rate} is out of range: expected 0 to vae.learning_rate="
            f"{self.learning_rate}, or null for a constant rate",
        )
        _fraction("vae.validation_fraction", self.validation_fraction)
        require_at_least("vae.salient_weight", self.salient_weight, 1)
        require_at_least("vae.salient_glimpse", self.salient_glimpse, 0)
        require_at_least("vae.salient_place", self.salient_place, 0)
        require_at_least("vae.shuffle_frames", self.shuffle_frames, 1)
        require(
            0 <= self.perceptual_weight <= 1,
            f"vae.perceptual_weight={self.perceptual_weight} is out of range: expected 0 to 1",
        )
        require_positive("vae.gan_gamma", self.gan_gamma)
        require_positive("vae.gan_learning_rate", self.gan_learning_rate)


@dataclass
class MemoryNetworkConfig:
    _target_: str = MISSING
    hidden_size: int = 256
    mixtures: int = 5
    reward_head: str = "none"
    end_head: bool = False
    carry: bool = False

    def __post_init__(self) -> None:
        require_at_least("memory.network.hidden_size", self.hidden_size, 1)
        require_at_least("memory.network.mixtures", self.mixtures, 1)
        require_one_of("memory.network.reward_head", self.reward_head, ("none", "gaussian", "categorical"))


@dataclass
class MemoryConfig:
    """M. A step is one batch of ``batch_size`` sequences of up to ``sequence_length`` frames. The loss is the NLL per
    latent dimension, plus ``head_weight`` times that of the reward and of the end where the network has such heads.
    ``mean_inputs``: share of the sequences in which M is given μ, as an agent gives it, and not a z ~ N(μ, σ²), as a
    dream does; what it has to foretell is z in either case.
    """

    network: MemoryNetworkConfig = field(default_factory=MemoryNetworkConfig)
    steps: int = MISSING
    batch_size: int = MISSING
    sequence_length: int = MISSING
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-5
    decay: float = 0.9999
    gradient_clip: float = 1.0
    validate_every: int = MISSING
    validation_fraction: float = 0.1
    cached_rollouts: int = 2000
    dream_steps: int = 100
    temperature: float = 1.0
    head_weight: float = 1.0
    mean_inputs: float = 0.0

    def __post_init__(self) -> None:
        require_at_least("memory.steps", self.steps, 1)
        require_at_least("memory.batch_size", self.batch_size, 1)
        require_at_least("memory.sequence_length", self.sequence_length, 2)
        require(
            0 <= self.min_learning_rate <= self.learning_rate < math.inf and self.learning_rate > 0,
            f"memory.learning_rate={self.learning_rate} with memory.min_learning_rate={self.min_learning_rate} "
            "cannot decay: expected 0 ≤ minimum ≤ rate and rate > 0",
        )
        require(0 < self.decay <= 1, f"memory.decay={self.decay} is out of range: expected 0 < decay ≤ 1")
        require_positive("memory.gradient_clip", self.gradient_clip)
        require_at_least("memory.validate_every", self.validate_every, 1)
        require(
            self.steps % self.validate_every == 0,
            f"memory.steps={self.steps} is not a multiple of memory.validate_every={self.validate_every}: "
            f"set memory.validate_every to a divisor of {self.steps}",
        )
        _fraction("memory.validation_fraction", self.validation_fraction)
        require_at_least("memory.cached_rollouts", self.cached_rollouts, 1)
        require_at_least("memory.dream_steps", self.dream_steps, 1)
        require_at_least("memory.temperature", self.temperature, 0.001)
        require_positive("memory.head_weight", self.head_weight)
        require(0 <= self.mean_inputs <= 1, f"memory.mean_inputs={self.mean_inputs} is out of range: expected 0 to 1")


@dataclass
class ControllerConfig:
    """C and its search. ``rollouts`` is per individual; every individual of a generation meets the same episodes.
    ``patience`` ends a hopeless one after so many steps of the task without a reward above 0 (with ``action_repeat``:
    without a sum above 0). It suits a task like CarRacing, where a step costs and progress pays; where a failure is
    punished at its end, the cut would spare the agent that.
    """

    inputs: list[str] = field(default_factory=lambda: ["z", "h"])
    population: int = MISSING
    rollouts: int = MISSING
    generations: int = MISSING
    sigma: float = 0.1
    diagonal: bool = False
    max_steps: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        allowed = (["z"], ["z", "h"], ["z", "h", "c"])
        require(
            list(self.inputs) in allowed,
            f"controller.inputs={list(self.inputs)} is unknown: expected [z], [z,h] or [z,h,c]",
        )
        require_at_least("controller.population", self.population, 4)
        require_at_least("controller.rollouts", self.rollouts, 1)
        require_at_least("controller.generations", self.generations, 1)
        require_positive("controller.sigma", self.sigma)
        require_at_least("controller.max_steps", self.max_steps, 1)
        require_at_least("controller.patience", self.patience, 1)


@dataclass
class EvaluateConfig:
    """Held-out episodes of the unmodified task. ``max_steps`` cuts them, and the result then says it is no score."""

    episodes: int = MISSING
    max_steps: int | None = None
    video: bool = True

    def __post_init__(self) -> None:
        require_at_least("evaluate.episodes", self.episodes, 1)
        require_at_least("evaluate.max_steps", self.max_steps, 1)


@dataclass
class TrainerConfig:
    """The hardware. ``precision`` counts as an input of V and M, and of what agents see. Device, ``compile`` (of V's
    training, by `torch.compile`) and ``threads`` (default: this job's share of the cores) change the order of sums,
    which training amplifies; they are noted in the manifest and do not count.
    """

    accelerator: str = "auto"
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        require_one_of("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        require_one_of("trainer.precision", self.precision, PRECISIONS)
        require_at_least("trainer.threads", self.threads, 1)


@dataclass
class ExecutorConfig:
    """Where rollouts run: in this process, or in ``workers`` processes (default: this job's share of the cores), each
    with up to ``slots`` episodes at once. Nothing here changes a result.
    """

    name: str = MISSING
    workers: int | None = None
    slots: int = 16

    def __post_init__(self) -> None:
        require_one_of("executor", self.name, ("serial", "process"))
        require_at_least("executor.workers", self.workers, 1)
        require_at_least("executor.slots", self.slots, 1)


@dataclass
class PathsConfig:
    outputs: str = "outputs"


@dataclass
class Config:
    """One run of ``python -m worldmodels.train``."""

    env: EnvConfig = MISSING
    collect: CollectConfig = MISSING
    heldout: HeldoutConfig = field(default_factory=HeldoutConfig)
    vae: VisionConfig = MISSING
    memory: MemoryConfig = MISSING
    controller: ControllerConfig = MISSING
    evaluate: EvaluateConfig = MISSING
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    transfer: TransferConfig = MISSING
    trainer: TrainerConfig = MISSING
    executor: ExecutorConfig = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
    scale: str = MISSING
    stage: str = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        require_one_of("stage", self.stage, ("all", *STAGES))
        require_at_least("seed", self.seed, 0)
        limited = (("collect", self.collect), ("heldout", self.heldout), ("controller", self.controller))
        for name, part in limited:
            limit = part.max_steps or self.env.max_steps
            require(
                self.env.action_repeat < limit,
                f"env.action_repeat={self.env.action_repeat} leaves one frame of {name}.max_steps={limit}: expected a "
                f"smaller number; set env.action_repeat below {limit}",
            )
        steps = self.memory.steps * self.transfer.budget_of("memory")
        require(
            STAGES.index(self.last_stage) < STAGES.index("memory")
            or (steps >= 1 and round(steps, 6) % self.memory.validate_every == 0),
            f"transfer.budget={self.transfer.budget} of memory.steps={self.memory.steps} is {steps:g}: expected a "
            f"multiple of memory.validate_every={self.memory.validate_every}",
        )
        require(
            not self.transfer.load or self.transfer.source_run is not None or self.transfer.source_env != self.env.name,
            f"transfer.source_env={self.transfer.source_env} is the target itself: expected another task, "
            f"for example transfer.source_env={self.env.default_source}",
        )
        require(
            "controller" not in self.transfer.load or "controller" in self.loaded,
            f"transfer={self.transfer.name} starts the search for C from a source, which stage={self.stage} does not "
            "reach: expected stage=controller or a later one; for V and M alone use transfer=aligned",
        )

    @property
    def last_stage(self) -> str:
        """The last stage to run."""
        return STAGES[-1] if self.stage == "all" else self.stage

    @property
    def loaded(self) -> list[str]:
        """Parts that take something from a source in the stages this run goes through."""
        return [part for part in self.transfer.parts if STAGES.index(part) <= STAGES.index(self.last_stage)]

    @property
    def epochs(self) -> dict[str, int]:
        """Epochs that V and M train for; an epoch of M is ``memory.validate_every`` steps."""
        steps = self.memory.steps * self.transfer.budget_of("memory")
        return {"vision": self.vae.epochs, "memory": round(steps / self.memory.validate_every)}


OmegaConf.register_new_resolver("strategy", strategy_label, replace=True)  # conf/config.yaml names folders by it


def register_schema(name: str = "schema", node: type = Config) -> None:
    """Make a schema known to Hydra under the name used in ``conf/``'s defaults lists."""
    ConfigStore.instance().store(name=name, node=node)


def to_config(composed: Any) -> Any:
    """Resolve a composed config into the dataclasses of its schema, which runs every check. Raises `ConfigError`."""
    schema = OmegaConf.structured(OmegaConf.get_type(composed))  # merged again, it refuses what Hydra's "+" added
    return OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.to_container(composed)))


def plain(config: Any) -> Any:
    """A config dataclass as plain dicts and lists, for JSON and for hashing."""
    return OmegaConf.to_container(OmegaConf.structured(config), resolve=True)


def config_to_json(config: Config) -> str:
    """The whole config as one line; the inverse of `config_from_json`."""
    return json.dumps(plain(config), sort_keys=True)


def config_from_json(text: str) -> Config:
    """Read `config_to_json`'s line, running every check."""
    return to_config(OmegaConf.merge(OmegaConf.structured(Config), json.loads(text)))
