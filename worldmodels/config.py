"""The config of a run: the settings of its parts, each declared beside its code, and the checks that need several.

The dataclass is registered as ``schema`` in Hydra's ConfigStore and comes first in ``conf/config.yaml``, so a misspelt
key in any YAML file or override is an error. Importing this module is enough for that.
"""

import copy
import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import ListConfig, OmegaConf

from worldmodels.controller.config import ControllerConfig, EvaluateConfig
from worldmodels.controller.inputs import privileged
from worldmodels.diagnostics.config import MeasureConfig, ProbeConfig
from worldmodels.envs.config import EnvConfig
from worldmodels.envs.shipped import task_file
from worldmodels.labels import run_label
from worldmodels.memory.config import MemoryConfig
from worldmodels.migrations import migrated
from worldmodels.objective import direction_of, require_reached
from worldmodels.rollouts.config import CollectConfig, ExecutorConfig, HeldoutConfig
from worldmodels.rollouts.iteration import IterationConfig
from worldmodels.training.config import CALLBACK, LOGGER, TrainerConfig
from worldmodels.transfer.budgets import loaded_parts, memory_steps
from worldmodels.transfer.config import ITERATED, TransferConfig
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.overrides import open_keys
from worldmodels.utils.settings import Part, Parts, Setting, Settings, declared
from worldmodels.vision.config import VisionConfig

CHANGES_RESULTS = False  # values count in the keys of artifacts
STAGES = ("collect", "vision", "encode", "memory", "controller", "evaluate")
REUSE = ("exact", "any")


def conf_dir() -> Path:
    """Folder of the Hydra tree: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@dataclass
class PathsConfig(Settings):
    node: ClassVar[str] = "paths"

    outputs: Annotated[str, Setting("Folder of everything that a run writes.", counts="never")] = "outputs"

    def check(self) -> None:
        _folder(self.outputs)


@dataclass
class Config(Settings):
    """One run of ``python -m worldmodels.train``."""

    env: EnvConfig = field(default_factory=EnvConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    heldout: HeldoutConfig = field(default_factory=HeldoutConfig)
    vae: VisionConfig = field(default_factory=VisionConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    logger: Annotated[
        dict[str, Any],
        Parts("Loggers of Lightning's, by names of your own: logger.NAME={_target_: …}.", counts="never"),
    ] = field(default_factory=dict)
    callbacks: Annotated[
        dict[str, Any],
        Parts(
            "Lightning's callbacks, of V's and M's training: callbacks.NAME={_target_: …}; stages: [memory] among the "
            "settings keeps one to M."
        ),
    ] = field(default_factory=dict)
    scale: Annotated[str, Setting("Name of the budgets, in folders and tables.", counts="never")] = "paper"
    stage: Annotated[str, Setting("The last stage to run.", options=("all", *STAGES), counts="never")] = "all"
    seed: Annotated[int, Setting("Seed of every random stream.", at_least=0)] = 0
    iterations: Annotated[
        int,
        Setting(
            "Rounds of the iterative procedure (Ha & Schmidhuber 2018, section 5): after the first, the agent collects "
            "and V, M and the search go on.",
            at_least=1,
            counts="never",
        ),
    ] = 1
    iteration: IterationConfig = field(default_factory=IterationConfig)
    objective: Annotated[
        str | None,
        Setting(
            "What a sweeper optimises: a key of results.json, for example vision.val_reconstruction (of the last "
            "epoch); null is evaluation.mean, where it was reached.",
            counts="never",
        ),
    ] = None
    reuse: Annotated[
        str,
        Setting(
            "exact: an artifact made by other code, or with other versions of the libraries, is made anew; any: it is "
            "taken as it is.",
            options=REUSE,
            counts="never",
        ),
    ] = "exact"
    allow: Annotated[
        list[str],
        Setting(
            "Modules outside of the package whose classes a finished run (transfer.source_run) may name.",
            counts="never",
        ),
    ] = field(default_factory=list)
    details: Annotated[
        bool,
        Setting(
            "Whether a run ends with its tables of parameters, probes and measures; results.json has them all.",
            counts="never",
        ),
    ] = False
    verbose: Annotated[
        bool,
        Setting("Whether the console shows all that the log of the run holds; also --verbose.", counts="never"),
    ] = False

    def check(self) -> None:
        require_reached(self.objective, STAGES[: STAGES.index(self.last_stage) + 1], self.measure.enabled)
        for node in (self.collect, self.heldout, self.controller):
            limit = node.max_steps or self.env.max_steps
            require(
                self.env.action_repeat < limit,
                f"env.action_repeat={self.env.action_repeat} leaves one frame of {node.node}.max_steps={limit}: "
                f"expected a smaller number; set env.action_repeat below {limit}",
            )
        require(
            self.iterations == 1 or STAGES.index(self.last_stage) >= STAGES.index("controller"),
            f"iterations={self.iterations} needs an agent that collects, which stage={self.stage} does not reach: "
            "expected stage=controller or a later one",
        )
        require(
            self.iterations == 1 or privileged(self.controller) is None,
            f"iterations={self.iterations} goes on from the agent, and {privileged(self.controller)}: expected "
            "iterations=1",
        )
        require(
            self.iterations == 1 or self.transfer.name == ITERATED or self.transfer.sourceless,
            f"iterations={self.iterations} goes on from its rounds, and transfer={self.transfer.name} would hold in "
            "the first alone: expected iterations=1, or a strategy without a source, such as transfer=scratch; "
            "iteration.freeze freezes later rounds",
        )
        steps = memory_steps(self)
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
        return [part for part in loaded_parts(self.transfer) if STAGES.index(part) <= STAGES.index(self.last_stage)]


def _folder(path: str) -> str:
    """Refuses what an unset variable leaves, before Hydra makes folders in the root."""
    require(bool(path.strip()), "paths.outputs is empty: expected a folder; set paths.outputs=outputs")
    return path


OmegaConf.register_new_resolver("folder", _folder, replace=True)
OmegaConf.register_new_resolver("direction", direction_of, replace=True)  # worldmodels.utils.overrides writes it


def _label(task: str, seed: int, overrides: ListConfig, sweep: str | None = None) -> str:
    return run_label(task, seed, list(overrides), Config, sweep)


OmegaConf.register_new_resolver("label", _label, replace=True)  # conf/config.yaml names folders by it


def register_schema(name: str = "schema", node: type = Config) -> None:
    """Make a schema known to Hydra under the name used in ``conf/``'s defaults lists."""
    store = ConfigStore.instance()
    known: Any = store.repo.get(f"{name}.yaml")
    if known is not None and OmegaConf.get_type(known.node) is node:
        return
    schema = OmegaConf.structured(node)
    for key in open_keys(node):
        if (chosen := OmegaConf.select(schema, key)) is not None:
            chosen._set_flag("struct", False)  # takes whatever settings the chosen class has, and a dict any key
    store.store(name=name, node=schema)


def to_config(composed: Any) -> Any:
    """Resolve a composed config into the dataclasses of its schema, which runs every check. Raises `ConfigError`."""
    # Merged again, it refuses what Hydra's "+" added.
    return _of_schema(OmegaConf.get_type(composed), OmegaConf.to_container(composed))


def _of_schema(schema: Any, values: Any) -> Any:
    """The dataclasses of a schema with these values, every check run."""
    return OmegaConf.to_object(OmegaConf.merge(_structured(schema), values))


def job_config(composed: Any, hydra_config: Any) -> Config:
    """`to_config` of a job, with what the task's own file says (``env.shipped``), from the folders of config files that
    Hydra has read. ``hydra_config``: Hydra's own node.
    """
    config = to_config(composed)
    sources = hydra_config.runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    shipped = task_file(config.env.name, [conf_dir(), *folders])
    return dataclasses.replace(config, env=dataclasses.replace(config.env, shipped=shipped))


@functools.cache  # it is only read: a merge begins with a copy
def _structured(schema: Any) -> Any:
    return OmegaConf.structured(schema)


def check_parts(config: Config) -> None:
    """Import every class that ``_target_`` chooses, and check its settings. Raises `ConfigError`. Separate from the
    other checks, because importing the networks takes a moment.
    """
    for field_ in dataclasses.fields(config):
        node = getattr(config, field_.name)
        if not isinstance(node, Settings):
            continue
        for name, declaration in declared(type(node)).items():
            if isinstance(declaration.setting, Part) and getattr(node, name) is not None:
                parts.complete(declaration.setting, getattr(node, name), f"{node.node}.{name}")
    for key, part in (("logger", LOGGER), ("callbacks", CALLBACK)):
        for name, value in getattr(config, key).items():
            parts.find(part, value, f"{key}.{name}")


def plain(config: Any) -> Any:
    """A config dataclass as plain dicts and lists, for JSON and for hashing."""
    if dataclasses.is_dataclass(config):
        return {field_.name: plain(getattr(config, field_.name)) for field_ in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {key: plain(value) for key, value in config.items()}
    return [plain(item) for item in config] if isinstance(config, list | tuple) else config


def config_to_json(config: Config) -> str:
    """The whole config as one line; the inverse of `config_from_json`."""
    return json.dumps(plain(config), sort_keys=True)


def config_from_json(text: str) -> Config:
    """Read `config_to_json`'s line, also one of an earlier version, running every check."""
    return copy.deepcopy(_from_json(text))


@functools.lru_cache(maxsize=16)  # the rollouts of a run read one line again and again
def _from_json(text: str) -> Config:
    return _of_schema(Config, migrated(json.loads(text)))


register_schema()  # so that Hydra finds it also where a config of conf/ is composed by other means than our own
