"""The stages in order: which artifact feeds which, and what each depends on. Nothing else knows this."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard.writer import SummaryWriter

from worldmodels.config import STAGES, CollectConfig, Config, plain, require_one_of
from worldmodels.envs import TASKS, ActionMap, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.stages import collect, controller, encode, evaluate, measure, memory, probe, vision
from worldmodels.rollouts.executor import Executor
from worldmodels.store.artifacts import RECORD, Artifact, Store
from worldmodels.store.journal import Journal
from worldmodels.store.runs import FinishedRun
from worldmodels.training.fit import device, require_hardware, resolve_precision, rollout_precision
from worldmodels.transfer.config import strategy_label
from worldmodels.transfer.weights import freeze_all, loaded_prefixes, mismatches, shapes
from worldmodels.utils import interrupts
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.losses import Given, feature_weights
from worldmodels.vision.objectives import MODULES, relevant

log = logging.getLogger(__name__)
FORMAT = 2  # raise it with a change that makes old artifacts differ from new ones of the same config
SETTINGS_OF_POLICIES = {
    "persistence": ("sticky", "biased"),
    "brownian_std": ("brownian",),
    "bias": ("biased",),
}
Work = Callable[[Path, Journal], dict[str, Any]]


class Pipeline:
    """Artifacts of one config, each built, or found, when first asked for. A strategy's source is a pipeline of its
    own.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        executor: Executor,
        writer: SummaryWriter | None,
        make_source: Callable[[], "Pipeline"],
    ) -> None:
        self.config = config
        self.store = store
        self.executor = executor
        self.writer = writer
        self._make_source = make_source
        self.spec = task_spec(config.env)
        self.artifacts: dict[str, Artifact] = {}  # of the stages
        self.judged: dict[str, Artifact] = {}  # held-out rollouts, and what they say of V and M
        self._check()

    def run(self) -> Iterator[str]:
        """Every stage up to the last one asked for; yields the name of each when its artifact is there, and V and M
        are probed, and M measured.
        """
        for stage in STAGES[: STAGES.index(self.config.last_stage) + 1]:
            getattr(self, stage)
            if self.config.probe.enabled and stage in ("vision", "memory"):
                getattr(self, f"probe_{stage}")
            if self.config.measure.enabled and stage == "memory":
                _ = self.measure_memory
            yield stage

    @cached_property
    def collect(self) -> Artifact:
        return self._collect(self.config.collect)

    @cached_property
    def heldout(self) -> Artifact:
        """Rollouts that no model of any run is trained on."""
        return self._collect(self.config.heldout)

    def _collect(self, part: CollectConfig) -> Artifact:
        config, node = self.config, part.node
        keys = ("name", "id", "kwargs", "renderer", "action_repeat", "crop_bottom")
        task = {key: self._env()[key] for key in keys}
        settings = {**plain(part), "max_steps": part.max_steps or config.env.max_steps}
        for key, policies in SETTINGS_OF_POLICIES.items():
            if part.policy not in policies:
                del settings[key]
        if not (part.scatter and TASKS[config.env.name].scatters):
            del settings["scatter"]
        return self._build(
            node,
            part.policy,
            {"env": task, node: settings},
            {},
            lambda folder, journal: collect.run(config, self.executor, folder, node),
        )

    @cached_property
    def vision(self) -> Artifact:
        config, source = self.config, self._source("vision")
        features = {"features": self._features} if self._features else {}
        parents = {"dataset": self.collect, **source, **features}
        return self._build(
            "vision",
            self._strategy("vision"),
            {"vae": relevant(config.vae), **self._training("vision")},
            parents,
            lambda folder, journal: vision.run(
                config,
                parents["dataset"].path,
                _weights(source.get("source")),
                _weights(self._features),
                folder,
                journal,
            ),
        )

    @cached_property
    def encode(self) -> Artifact:
        return self._encode("encode", self.collect)

    @cached_property
    def heldout_encode(self) -> Artifact:
        """The held-out rollouts as V sees them."""
        return self._encode("heldout_encode", self.heldout)

    def _encode(self, stage: str, dataset: Artifact) -> Artifact:
        parents = {"dataset": dataset, "vision": self.vision}
        return self._build(
            stage,
            self._strategy("vision"),
            {"network": plain(self.config.vae.network), "precision": resolve_precision(self.config.trainer)},
            parents,
            lambda folder, journal: encode.run(self.config, parents["dataset"].path, parents["vision"].weights, folder),
        )

    @cached_property
    def probe_vision(self) -> Artifact:
        return self._probe("vision", self.vision, probe.vision, self._strategy("vision"))

    @cached_property
    def probe_memory(self) -> Artifact:
        return self._probe("memory", self.memory, probe.memory, self._strategy("memory"))

    def _probe(self, part: str, model: Artifact, work: Callable[..., dict[str, Any]], label: str) -> Artifact:
        parents = {"heldout": self.heldout, "encoded": self.heldout_encode, part: model}
        settings = {key: value for key, value in plain(self.config.probe).items() if key != "enabled"}
        return self._build(
            f"probe_{part}",
            label,
            {"probe": settings},
            parents,
            lambda folder, journal: work(
                self.config, parents["heldout"].path, parents["encoded"].path, model.weights, journal
            ),
        )

    @cached_property
    def measure_memory(self) -> Artifact:
        """How good M is on the held-out rollouts; the baselines are fitted to those it was trained on."""
        parents = {"heldout": self.heldout_encode, "encoded": self.encode, "memory": self.memory}
        settings = {key: value for key, value in plain(self.config.measure).items() if key != "enabled"}
        return self._build(
            "measure_memory",
            self._strategy("memory"),
            {"measure": settings, "validation_fraction": self.config.memory.validation_fraction, "method": 2},
            parents,
            lambda folder, journal: measure.memory(
                self.config, parents["heldout"].path, parents["encoded"].path, parents["memory"].weights, journal
            ),
        )

    @cached_property
    def memory(self) -> Artifact:
        config, source = self.config, self._source("memory")
        parents = {"encoded": self.encode, **source}
        for_people = ("cached_rollouts", "dream_steps", "temperature")
        settings = {key: value for key, value in plain(config.memory).items() if key not in for_people}
        if not settings["network"]["carry"]:
            del settings["network"]["carry"]  # M is then what it was before there was such an option
        return self._build(
            "memory",
            self._strategy("memory"),
            {"memory": settings, **self._training("memory")},
            parents,
            lambda folder, journal: memory.run(
                config,
                parents["encoded"].path,
                self.vision.weights,
                self.spec.action_size,
                _weights(source.get("source")),
                folder,
                journal,
            ),
        )

    @cached_property
    def controller(self) -> Artifact:
        search = self.config.controller
        settings = {**plain(search), "max_steps": search.max_steps or self.config.env.max_steps}
        source = self._source("controller")
        parents = {"vision": self.vision, "memory": self.memory, **source}
        start = controller.Source(source["source"].weights, self._source_actions) if source else None
        return self._build(
            "controller",
            self._label,
            {"env": self._agents_env(), "controller": settings, **self._rollouts()},
            parents,
            lambda folder, journal: controller.run(
                self.config,
                parents["vision"].weights,
                parents["memory"].weights,
                self.spec.action_size,
                start,
                self.executor,
                folder,
                journal,
            ),
        )

    @cached_property
    def evaluate(self) -> Artifact:
        parents = {"vision": self.vision, "memory": self.memory, "controller": self.controller}
        agent = (self.vision.weights, self.memory.weights, self.controller.weights)
        settings = {key: value for key, value in plain(self.config.evaluate).items() if key != "video"}
        artifact = self._build(
            "evaluate",
            self._label,
            {"env": {**self._agents_env(), "renderer": "gymnasium"}, "evaluate": settings, **self._rollouts()},
            parents,
            lambda folder, journal: evaluate.run(self.config, *agent, self.executor, journal),
        )
        if self.config.evaluate.video and not (artifact.path / RECORD / "episode.mp4").exists():
            log.info("  filming an episode")
            evaluate.film(self.config, *agent, Journal(artifact.path, self.writer, "evaluate"))
        return artifact

    @cached_property
    def source(self) -> "Pipeline | FinishedRun":
        """Where transferred weights come from: a finished run, or a pipeline that trains them from scratch."""
        if self.config.transfer.source_run is not None:
            return FinishedRun(Path(self.config.transfer.source_run))
        source = self._make_source()
        log.info("source task: %s, from scratch", source.config.env.name)
        return source

    @cached_property
    def _features(self) -> Artifact | None:
        """The finished V whose features the loss compares, if it names one."""
        vae = self.config.vae
        if vae.loss != "perceptual" or vae.perceptual_run is None:
            return None
        return FinishedRun(Path(vae.perceptual_run)).vision

    def _agents_env(self) -> dict[str, Any]:
        """What an agent's returns depend on of the task's config."""
        env = self._env()
        ignored = {"max_steps", "default_source"}
        if not env["heuristic"]:
            ignored |= {key for key in env if key.startswith("heuristic_")}
        return {key: value for key, value in env.items() if key not in ignored}

    def _env(self) -> dict[str, Any]:
        """The task's config; the renderer by what it shows."""
        env = plain(self.config.env)
        return {**env, "renderer": "gymnasium" if env["renderer"] == "exact" else env["renderer"]}

    def _rollouts(self) -> dict[str, Any]:
        """What an agent's episodes depend on besides the task and the weights."""
        return {"seed": self.config.seed, "precision": rollout_precision(self.config.trainer)}

    @property
    def source_env(self) -> str | None:
        """The task that weights come from, if any do."""
        return self.source.config.env.name if self.config.loaded else None

    @property
    def _source_actions(self) -> int:
        return task_spec(self.source.config.env).action_size

    def _source(self, part: str) -> dict[str, Artifact]:
        return {"source": getattr(self.source, part)} if part in self.config.transfer.parts else {}

    @property
    def _label(self) -> str:
        return strategy_label(plain(self.config.transfer))

    def _strategy(self, part: str) -> str:
        label = self._label if self.config.transfer.choices(part) else "scratch"
        frames = self.config.vae.frames
        return label if part != "vision" or frames == "real" else f"{label}-{frames}"

    def _training(self, part: str) -> dict[str, Any]:
        """What the training of V or M depends on besides its own settings and its parents."""
        settings: dict[str, Any] = {"seed": self.config.seed, "precision": resolve_precision(self.config.trainer)}
        choices = self.config.transfer.choices(part)
        return {**settings, "transfer": choices} if choices else settings

    def _build(
        self, stage: str, label: str, inputs: Mapping[str, Any], parents: Mapping[str, Artifact], work: Work
    ) -> Artifact:
        interrupts.check()
        config = self.config
        seed = getattr(config, stage).seed if stage in ("collect", "heldout") else config.seed
        artifact = self.store.build(
            stage,
            f"{config.env.name}-{label}-{config.scale}-seed{seed}",
            {"format": FORMAT, **inputs},
            parents,
            lambda folder: work(folder, Journal(folder, self.writer, stage)),
            {
                "config": plain(config),
                "seed": config.seed,
                "device": str(device(config.trainer)),
                "threads": torch.get_num_threads(),
            },
        )
        if artifact.cached:
            Journal(artifact.path, self.writer, stage).show()
        (self.artifacts if stage in STAGES else self.judged)[stage] = artifact
        return artifact

    def _check(self) -> None:
        """What only the task, the networks and the source can tell, before any work. Raises `ConfigError`."""
        ActionMap(self.config.env, self.spec)
        require_one_of("vae.loss", self.config.vae.loss, MODULES)
        if self._features:
            feature_weights(Given(self.config.seed, source=_weights(self._features)))
        transfer, last = self.config.transfer, STAGES.index(self.config.last_stage)
        require_hardware(self.config.trainer, recurrent=last >= STAGES.index("memory"))
        given = self.config.loaded if transfer.source_run is not None else []
        taken = {part: getattr(self.source, part).weights for part in given}
        networks = {
            "vision": make_vision(self.config),
            "memory": make_memory(self.config, self.spec.action_size, source=taken.get("memory")),
        }
        for part in (part for part in networks if STAGES.index(part) <= last):
            prefixes = loaded_prefixes(networks[part], part, transfer)
            freeze_all(networks[part], part, transfer, self.config.epochs[part])
            if part in taken and (problems := mismatches(networks[part], shapes(taken[part]), prefixes)):
                raise ConfigError(
                    f"transfer={transfer.name} cannot take {part} from {transfer.source_run}: {problems[0]}"
                    f"{f' (and {len(problems) - 1} more)' if len(problems) > 1 else ''}; "
                    "use a source of the same sizes, or set this run's sizes to the source's"
                )


def _weights(artifact: Artifact | None) -> Path | None:
    return artifact and artifact.weights
