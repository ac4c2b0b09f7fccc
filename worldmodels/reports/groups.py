"""Which runs may stand beside each other: those of one task whose settings, but for transfer and seed, are the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from worldmodels.config import STAGES, Config
from worldmodels.migrations import migrated
from worldmodels.reports.tidy import TABLES
from worldmodels.store.runs import RESULTS, FinishedRun
from worldmodels.transfer.config import NETWORKS, of_part
from worldmodels.transfer.metrics import Curves
from worldmodels.utils.settings import declared

JUDGED_PARTS = ("vision", "memory", "controller", "evaluate")
DIAGNOSTICS = {  # of which model
    "probe_vision": "vision",
    "measure_vision": "vision",
    "probe_memory": "memory",
    "measure_memory": "memory",
}
HELDOUT = ("heldout", "heldout_encode")  # what diagnostics are made on
OLD_NODES = {  # of the config, for runs of before results.json told what counts
    "collect": ("env", "collect"),
    "vision": ("vae",),
    "encode": (),
    "memory": ("memory",),
    "controller": ("controller",),
    "evaluate": ("evaluate",),
    "heldout": ("heldout",),
    "heldout_encode": (),
    **dict.fromkeys(("probe_vision", "probe_memory"), ("probe",)),
    "measure_vision": (),
    "measure_memory": ("measure",),
}
OWN_DATA = "the run's own"  # data set, in the place of its seed


@dataclass(frozen=True, order=True)
class Strategy:
    """What was transferred, from where, and with which ``budget``. ``rest``: all other settings of transfer."""

    name: str
    source_env: str
    budget: float
    rest: str

    @property
    def scratch(self) -> bool:
        return self.name == "scratch"

    def budget_of(self, part: str) -> float:
        """Share of data or steps that V or M trains on: a part beside a loaded one has all of it, as
        `worldmodels.transfer.budgets.budget_of` says.
        """
        transfer = json.loads(self.rest)
        load, budgeted = transfer["load"], transfer.get("budgeted", NETWORKS)
        return self.budget if (of_part(load, part) if load else part in budgeted) else 1.0


@dataclass
class Group:
    """Runs whose figures of one part of one task may be compared. ``settings``: a hash of what they share."""

    env: str
    part: str
    scale: str
    settings: str
    config: Mapping[str, Any]
    members: dict[Strategy, dict[int, FinishedRun]] = field(default_factory=dict)

    def curves(self, strategy: Strategy, measure: str) -> Curves | None:
        """A strategy's learning curves, at the points that all its seeds have; None where it has none. Seeds whose
        curve is not finite are left out; see `diverged`.
        """
        table, axis = TABLES[self.part]
        by_seed: dict[int, dict[float, float]] = {}
        for seed, run in sorted(self.members[strategy].items()):
            points = {row[axis]: row[measure] for row in run.results[self.part][table] if measure in row}
            if points and np.isfinite(list(points.values())).all():
                by_seed[seed] = points
        shared = sorted(set.intersection(*map(set, by_seed.values()))) if by_seed else []
        if not shared:
            return None
        values = np.array([[points[x] for x in shared] for points in by_seed.values()])
        return Curves(np.array(shared), values, tuple(by_seed))

    @property
    def size(self) -> int:
        """How many runs it has."""
        return sum(map(len, self.members.values()))

    def diverged(self, measure: str) -> list[str]:
        """Folders of runs whose curve is not finite."""
        table, _ = TABLES[self.part]
        return [
            str(run.folder)
            for members in self.members.values()
            for run in members.values()
            if not np.isfinite([row[measure] for row in run.results[self.part][table] if measure in row]).all()
        ]


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
    """`OWN`, or the seed of a data set that runs share. A config of before ``collect.seed`` could be null holds the
    run's own as a number; there a number that is not the run's is a shared one.
    """
    seed = run.results["config"]["collect"]["seed"]
    declares = "inputs" in run.results["stages"].get("collect", {})
    return OWN_DATA if seed is None or (not declares and seed == run.results["seed"]) else seed


def _of_config(run: FinishedRun, stages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For runs whose stages declare no inputs: all settings of the config except those that never count."""
    config = migrated(run.results["config"])
    nodes = get_type_hints(Config)
    inputs: dict[str, dict[str, Any]] = {"": {"trainer.precision": config["trainer"]["precision"]}}
    for stage in stages:
        for node in OLD_NODES[stage]:
            never = {
                name for name, declaration in declared(nodes[node]).items() if declaration.setting.counts == "never"
            }
            counting = {key: value for key, value in config[node].items() if key not in never}
            inputs.setdefault(stage, {})[node] = counting
    return inputs


def flat(value: Any, name: str) -> dict[str, Any]:
    """A tree as ``{"node.key": leaf}``, under ``name``."""
    if not isinstance(value, Mapping) or not value:
        return {name: value}
    return {key: leaf for part, below in value.items() for key, leaf in flat(below, f"{name}.{part}").items()}


def strategy(run: FinishedRun) -> Strategy:
    """The strategy of a run."""
    transfer = run.results["config"]["transfer"]
    excluded = {"name", "source_env", "budget"}
    if transfer["load"] or transfer["budget"] == 1 or transfer.get("budgeted") == list(NETWORKS):
        excluded.add("budgeted")  # makes no difference, or is as ever
    if not transfer.get("source_settings"):
        excluded.add("source_settings")  # which earlier runs have not
    rest = {key: value for key, value in transfer.items() if key not in excluded}
    source = run.results["source_env"] or ""
    return Strategy(run.results["transfer"], source, float(transfer["budget"]), json.dumps(rest, sort_keys=True))


def labels(strategies: Iterable[Strategy]) -> dict[Strategy, str]:
    """A short name for each: the strategy's, with its budget if not all of it, and with what else it takes to tell
    several of one name apart.
    """
    distinct = sorted(set(strategies))
    names = {}
    for strategy in distinct:
        namesakes = [other for other in distinct if other.name == strategy.name]
        words = [strategy.name]
        if len({other.source_env for other in namesakes}) > 1:
            words.append(f"from {strategy.source_env}")
        if strategy.budget != 1:
            words.append(f"×{strategy.budget:g}")
        alike = [
            other for other in namesakes if (other.source_env, other.budget) == (strategy.source_env, strategy.budget)
        ]
        variants = [json.loads(other.rest) for other in alike]
        choices = json.loads(strategy.rest)
        differing = [key for key in choices if any(other.get(key) != choices[key] for other in variants)]
        words += [f"{key}={json.dumps(choices[key], ensure_ascii=False)}" for key in differing]
        names[strategy] = " ".join(words)
    return names


def group_runs(runs: Sequence[FinishedRun], part: str) -> tuple[list[Group], list[str]]:
    """Groups of the runs that have ``part`` (vision, memory, controller or evaluate), by task, scale and settings; and
    notes on what was left out.

    Of runs with the same strategy and seed that made or reused one artifact, one stands for all; if their artifacts
    differ (the code changed), the newest counts. Strategies that differ in nothing the part depends on, so that they
    share an artifact, are one, under the name of the plainest: scratch if it is among them.
    """
    groups: dict[tuple[str, str], Group] = {}
    notes = []
    for run in sorted(runs, key=written_at):
        if part not in run.results["stages"]:
            continue
        shared = settings(run, part)
        digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:6]
        env, scale = run.results["env"], run.results["scale"]
        group = groups.setdefault((env, digest), Group(env, part, scale, digest, shared))
        members = group.members.setdefault(strategy(run), {})
        older = members.get(run.results["seed"])
        if older is not None and artifact(older, part) != artifact(run, part):
            notes.append(f"{older.folder}: its {part} was made again with other results in {run.folder}, which counts")
        members[run.results["seed"]] = run
    for group in groups.values():
        _fold(group)
    order = sorted(groups.values(), key=lambda group: (group.env, group.scale, -group.size, group.settings))
    return order, notes


def written_at(run: FinishedRun) -> int:
    """When a run's results were written, to put the newest last; 0 of a committed table's."""
    path = run.folder / RESULTS
    return path.stat().st_mtime_ns if path.exists() else 0


def differing_settings(runs: Sequence[FinishedRun], part: str = "evaluate") -> dict[Path, str]:
    """For each run's folder, its scale and the settings of ``part`` that differ between it and other runs on its task,
    as far as both have gone.
    """
    by_run = {run.folder: {stage: settings(run, stage) for stage in _depths(run, part)} for run in runs}
    descriptions = {}
    for run in runs:
        by_stage, differing = by_run[run.folder], set()
        for other in (other for other in runs if other.results["env"] == run.results["env"]):
            if shared := [stage for stage in by_stage if stage in by_run[other.folder]]:
                mine, others = by_stage[shared[-1]], by_run[other.folder][shared[-1]]
                differing |= {key for key in mine.keys() | others.keys() if mine.get(key) != others.get(key)}
        last = list(by_stage.values())[-1] if by_stage else {}
        words = [f"{key}={json.dumps(last.get(key), ensure_ascii=False)}" for key in sorted(differing - {"scale"})]
        descriptions[run.folder] = " ".join([str(run.results["scale"]), *words])
    return descriptions


def _depths(run: FinishedRun, part: str) -> list[str]:
    """The stages up to ``part`` that a run went through, or the diagnostics alone, whose runs all have the same."""
    return [part] if part in DIAGNOSTICS else [stage for stage in STAGES if stage in run.results["stages"]]


def artifact(run: FinishedRun, part: str) -> str:
    """Name of the artifact that a run made or reused for a stage."""
    return run.results["stages"][part]["artifact"]


def _fold(group: Group) -> None:
    owners: dict[str, Strategy] = {}
    for strategy in sorted(
        group.members, key=lambda strategy: (not strategy.scratch, -strategy.budget, len(strategy.rest), strategy)
    ):
        runs = group.members.pop(strategy)
        artifacts = {artifact(run, group.part) for run in runs.values()}
        owner = next((owners[name] for name in sorted(artifacts) if name in owners), strategy)
        owners |= dict.fromkeys(artifacts, owner)
        group.members[owner] = runs | group.members.get(owner, {})
    group.members = {
        strategy: group.members[strategy]
        for strategy in sorted(
            group.members, key=lambda strategy: (strategy.name, strategy.source_env, -strategy.budget, strategy.rest)
        )
    }


def differences(groups: Sequence[Group]) -> dict[str, str]:
    """For each group's ``settings``, those that differ from other groups of its task and part: ``key=value, …``."""
    descriptions = {}
    for group in groups:
        others = [other for other in groups if (other.env, other.part) == (group.env, group.part)]
        keys = sorted({key for other in others for key in other.config.keys() | group.config.keys()})
        differing = [key for key in keys if len({json.dumps(other.config.get(key)) for other in others}) > 1]
        descriptions[group.settings] = ", ".join(f"{key}={json.dumps(group.config.get(key))}" for key in differing)
    return descriptions
