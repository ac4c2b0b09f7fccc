"""What the figures of a run depend on, as its stages declared it: runs in which that is the same may be compared."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from worldmodels.config import STAGES, Config
from worldmodels.migrations import migrated
from worldmodels.store.runs import FinishedRun
from worldmodels.training.config import TrainerConfig
from worldmodels.utils.settings import Counts, Settings, declared, plain_value

DIAGNOSTICS = {  # of which model
    "probe_vision": "vision",
    "measure_vision": "vision",
    "probe_memory": "memory",
    "measure_memory": "memory",
}
HELDOUT = ("heldout", "heldout_encode")  # what diagnostics are made on
NODES: dict[str, type[Settings]] = {  # of the config
    name: kind for name, kind in get_type_hints(Config).items() if isinstance(kind, type) and issubclass(kind, Settings)
}
OWN_DATA = "the run's own"  # data set, in the place of its seed


def settings(run: FinishedRun, part: str) -> dict[str, Any]:
    """What the figures of a part, or of one of `DIAGNOSTICS`, depend on besides transfer and seed, flat:
    ``{"vae.epochs": 5, …}``. These are the inputs that the run's stages up to there declared, as in ``results.json``:
    ``inputs`` of each stage, and ``heldout_inputs``. A setting of several stages is listed once, unless they differ.
    """
    declared_by = {stage: entry.get("inputs") for stage, entry in run.results["stages"].items()}
    stages = STAGES[: STAGES.index(DIAGNOSTICS.get(part, part)) + 1]
    if part in DIAGNOSTICS:
        declared_by |= run.results.get("heldout_inputs", {})
        stages = (*stages, *HELDOUT, part)
    inputs = {stage: declared_by[stage] for stage in stages if stage in declared_by}
    if any(stage_inputs is None for stage_inputs in inputs.values()) or (
        part in DIAGNOSTICS and HELDOUT[0] not in inputs
    ):
        inputs = _of_config(run, stages)
    result: dict[str, Any] = {"scale": run.results["scale"]}
    for stage, stage_inputs in inputs.items():
        for node, value in stage_inputs.items():
            for key, leaf in flat(value, node).items() if node not in ("seed", "transfer") else ():
                if result.setdefault(key, leaf) != leaf:
                    result[f"{stage}.{key}"] = leaf
    return result | {"collect.seed": _data_seed(run)}


def heldout_settings(run: FinishedRun, part: str) -> dict[str, Any]:
    """Which held-out rollouts V or M, ``part``, was measured on: runs with the same met the same."""
    return {key: value for key, value in settings(run, f"measure_{part}").items() if key.startswith("heldout.")}


def _data_seed(run: FinishedRun) -> Any:
    """`OWN_DATA`, or the seed of a data set that runs share. A config of before ``collect.seed`` could be null holds
    the run's own as a number; there a number that is not the run's is a shared one.
    """
    seed = run.results["config"]["collect"]["seed"]
    declares = "inputs" in run.results["stages"].get("collect", {})
    return OWN_DATA if seed is None or (not declares and seed == run.results["seed"]) else seed


def _of_config(run: FinishedRun, stages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For runs whose stages declare no inputs: all settings of the config except those that never count."""
    config = migrated(run.results["config"])
    inputs: dict[str, dict[str, Any]] = {"": {"trainer": _flags(config["trainer"])}}
    for stage in stages:
        inputs[stage] = {
            node: {key: value for key, value in config[node].items() if _counts(NODES[node], key) != "never"}
            for node in _nodes_of(stage)
        }
    return inputs


@functools.cache
def _nodes_of(stage: str) -> list[str]:
    """The nodes of the config that a stage reads, as it declares itself."""
    from worldmodels.pipeline.pipeline import DECLARED  # brings torch, which nothing else here needs

    return [node for node in DECLARED[stage].inputs(Config()) if node in NODES]


def _counts(node: type[Settings], name: str) -> Counts:
    """Whether results depend on a setting; on one of an earlier version they may."""
    settings = declared(node)
    return settings[name].setting.counts if name in settings else "always"


def _flags(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The precision, and those of the trainer's settings that change results and differ from their defaults."""
    settings = declared(TrainerConfig)
    changed = {
        name: value
        for name, value in trainer.items()
        if name in settings and _counts(TrainerConfig, name) != "never" and value != plain_value(settings[name].default)
    }
    return {"precision": trainer["precision"], **changed}


def config_row(run: FinishedRun) -> dict[str, Any]:
    """A run's config for a table, flat: the nodes with settings that count, whole; of the trainer the precision and the
    flags that change results; callbacks.
    """
    config = run.results["config"]
    nodes = {"trainer": _flags(config["trainer"])}
    for name, node in NODES.items():
        if any(_counts(node, setting) == "always" for setting in declared(node)):
            nodes[name] = config[name]
    if config.get("callbacks"):
        nodes["callbacks"] = config["callbacks"]
    return {key: value for name, node in nodes.items() for key, value in flat(node, name).items()}


def flat(value: Any, name: str) -> dict[str, Any]:
    """A tree as ``{"node.key": leaf}``, under ``name``."""
    if not isinstance(value, Mapping) or not value:
        return {name: value}
    return {key: leaf for part, below in value.items() for key, leaf in flat(below, f"{name}.{part}").items()}
