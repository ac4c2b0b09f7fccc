"""The stages in their order. Each declares what it needs and depends on: `worldmodels.pipeline.stages`."""

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from worldmodels.config import STAGES, Config, plain
from worldmodels.controller.agent import check_inputs, remembers
from worldmodels.dreams.search import check_dreams
from worldmodels.envs import checked_spec, task_spec
from worldmodels.factory import make_memory, make_vision
from worldmodels.pipeline.fitting import require_fitting
from worldmodels.pipeline.source import describe_source, other_time_scale
from worldmodels.pipeline.stage import Stage, Work, libraries_of
from worldmodels.pipeline.stages import (
    collect,
    controller,
    encode,
    evaluate,
    measure,
    measure_vision,
    memory,
    probe,
    vision,
)
from worldmodels.rollouts.executor import Executor
from worldmodels.store.artifacts import Artifact
from worldmodels.store.building import Store
from worldmodels.store.fingerprint import fingerprint
from worldmodels.store.journal import Journal
from worldmodels.store.loggers import Loggers
from worldmodels.store.runs import FinishedRun
from worldmodels.training.hardware import device, require_hardware
from worldmodels.transfer.budgets import epochs_of, loaded_parts
from worldmodels.transfer.weights import freeze_all, loaded_prefixes
from worldmodels.utils import interrupts, live
from worldmodels.utils.settings import implied_defaults

log = logging.getLogger(__name__)
FORMAT = 2  # raise it with a change that makes old artifacts differ from new ones of the same config and code
ORDER: dict[str, list[Stage]] = {  # what each stage of a run makes, the diagnostics of its model included
    "collect": [collect.STAGE],
    "vision": [vision.STAGE, measure_vision.STAGE, probe.VISION],
    "encode": [encode.STAGE],
    "memory": [memory.STAGE, probe.MEMORY, measure.STAGE],
    "controller": [controller.STAGE],
    "evaluate": [evaluate.STAGE],
}
DECLARED = {stage.name: stage for stages in ORDER.values() for stage in stages}
DECLARED |= {stage.name: stage for stage in (collect.HELDOUT, encode.HELDOUT)}
SHOWN = {stage.name: name for name, stages in ORDER.items() for stage in stages}  # with which stage of a run
SHOWN |= dict.fromkeys(("heldout", "heldout_encode"), "vision")


class Pipeline:
    """Artifacts of one config, each built, or found, when first asked for. A strategy's source is a pipeline of its
    own.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        executor: Executor,
        loggers: Loggers | None,
        make_source: Callable[[], "Pipeline"],
    ) -> None:
        self.config = config
        self.store = store
        self.executor = executor
        self.loggers = loggers
        self._make_source = make_source
        self.spec = checked_spec(config.env)
        self._artifacts: dict[str, Artifact] = {}
        self._parents: dict[str, tuple[dict[str, Artifact], int | None]] = {}  # what stages are made from
        self._check()
        # Now, with the imported code: files may be edited while the run goes on.
        self._code = {
            name: fingerprint(self._modules(stage), libraries_of(stage, config)) for name, stage in DECLARED.items()
        }

    def run(self) -> Iterator[str]:
        """Every stage up to the last one asked for; yields the name of each when its artifact is there, and its model
        has been probed and measured. What people look at, such as films, comes after that.
        """
        for name in STAGES[: STAGES.index(self.config.last_stage) + 1]:
            stages = [DECLARED[stage.name] for stage in ORDER[name] if stage.enabled(self.config)]
            for stage in stages:
                self.artifact(stage.name)
            yield name
            for stage in stages:
                if stage.finish is not None:
                    stage.finish(self._work(stage, self.artifact(stage.name).path))

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """What the stages have made so far."""
        return {name: artifact for name, artifact in self._artifacts.items() if name in STAGES}

    @property
    def heldout_artifacts(self) -> dict[str, Artifact]:
        """The held-out rollouts so far, and what they say of V and M."""
        return {name: artifact for name, artifact in self._artifacts.items() if name not in STAGES}

    def artifact(self, name: str) -> Artifact:
        """The artifact of a stage, made or found with all that it needs."""
        if name not in self._artifacts:
            self._artifacts[name] = self._build(DECLARED[name])
        return self._artifacts[name]

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return plain(self.config)

    @cached_property
    def source(self) -> "Pipeline | FinishedRun":
        """Where transferred weights come from: a finished run, or a pipeline that trains them from scratch."""
        if self.config.transfer.source_run is not None:
            source = FinishedRun(Path(self.config.transfer.source_run), self.config.allow)
        else:
            source = self._make_source()
            log.info(describe_source(self.config, source.config))
        if warning := other_time_scale(self.config, source.config):
            log.warning(warning)
        return source

    @property
    def source_env(self) -> str | None:
        """The task that weights come from, if any do."""
        return self.source.config.env.name if self.config.loaded else None

    def _build(self, stage: Stage) -> Artifact:
        interrupts.check()
        config = self.config
        parents = {role: self.artifact(name) for role, name in stage.parents(config).items()}
        source_outputs = None
        if stage.loads in loaded_parts(config.transfer):
            parents["source"] = self.source.artifact(stage.loads)
            if stage.loads == "controller":
                source_outputs = task_spec(self.source.config.env).outputs
        parents |= stage.extra(config)

        self._parents[stage.name] = parents, source_outputs
        with implied_defaults() as defaults:
            inputs = {"format": FORMAT, **stage.inputs(config)}
        view = live.current()
        if view:
            view.begin(config.env.name, SHOWN.get(stage.name, stage.name), stage.name)
        artifact = self.store.build(
            stage.name,
            f"{config.env.name}-{stage.label(config)}-{config.scale}-seed{stage.seed(config)}",
            inputs,
            parents,
            lambda folder: stage.build(self._work(stage, folder)),
            {
                "config": self._plain,
                "seed": config.seed,
                "device": str(device(config.trainer)),
                "threads": torch.get_num_threads(),
            },
            code={**self._code[stage.name], "defaults": defaults},
            reuse=config.reuse,
            length=stage.length(config),
        )
        if view:
            view.end(artifact.cached, artifact.manifest["seconds"])
        if artifact.cached:
            Journal(artifact.path, self.loggers, stage.name).show()
        return artifact

    def _work(self, stage: Stage, folder: Path) -> Work:
        parents, source_outputs = self._parents[stage.name]
        journal = Journal(folder, self.loggers, stage.name)
        code = self._code[stage.name]
        return Work(self.config, self.spec, parents, self.executor, folder, journal, code, source_outputs)

    def _modules(self, stage: Stage) -> Iterator[str]:
        """The modules that the code of a stage starts from."""
        yield stage.build.__module__
        yield from (path.rpartition(".")[0] for path in stage.parts(self.config))

    def _check(self) -> None:
        """The checks that need the task, the networks and the source, before any work. Raises `ConfigError`."""
        vision.check(self.config)
        transfer, last = self.config.transfer, STAGES.index(self.config.last_stage)
        if last >= STAGES.index("controller"):
            controller.check(self.config, self.spec.outputs)
        require_hardware(self.config.trainer)
        loaded = self.config.loaded if transfer.source_run is not None else []
        source_weights = {part: self.source.artifact(part).weights for part in loaded}
        networks = {
            "vision": make_vision(self.config),
            "memory": make_memory(self.config, self.spec.action_size, source=source_weights.get("memory")),
        }
        if last >= STAGES.index("vision"):
            vision.check_network(self.config, networks["vision"])
        if last >= STAGES.index("controller") and remembers(self.config):
            check_inputs(self.config, networks["memory"])
        if last >= STAGES.index("controller"):
            check_dreams(self.config, networks["memory"])
        for part in (part for part in networks if STAGES.index(part) <= last):
            prefixes = loaded_prefixes(networks[part], part, transfer)
            freeze_all(networks[part], part, transfer, epochs_of(self.config, part))
            if part in source_weights:
                theirs = source_weights[part]
                require_fitting(self.config, self.source.config, part, networks[part], theirs, prefixes)
