"""Which runs may stand beside each other: those of one task whose settings, but for transfer and seed, are the same."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from worldmodels.config import STAGES
from worldmodels.reports.settings import DIAGNOSTICS, settings
from worldmodels.reports.tidy import TABLES
from worldmodels.store.runs import RESULTS, FinishedRun
from worldmodels.transfer.budgets import budget_of
from worldmodels.transfer.config import NETWORKS, TransferConfig
from worldmodels.transfer.metrics import Curves

CONTENT = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")  # of an artifact
SHORTENED = r"\1…"
JUDGED_PARTS = ("vision", "memory", "controller", "evaluate")


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
        """Share of data or steps that V or M trains on: `worldmodels.transfer.budgets.budget_of`."""
        transfer = SimpleNamespace(**{"budgeted": NETWORKS, **json.loads(self.rest), "budget": self.budget})
        return budget_of(cast(TransferConfig, transfer), part)


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
        words = _told(last, sorted(differing - {"scale"}))
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
    """For each group's ``settings``, those that differ from other groups of its task and part: ``key=value, …``. What
    is null is left out: in the other groups it stands.
    """
    descriptions = {}
    for group in groups:
        others = [other for other in groups if (other.env, other.part) == (group.env, group.part)]
        keys = sorted({key for other in others for key in other.config.keys() | group.config.keys()})
        differing = [key for key in keys if len({json.dumps(other.config.get(key)) for other in others}) > 1]
        descriptions[group.settings] = ", ".join(_told(group.config, differing))
    return descriptions


def _told(settings: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Of these settings those that are not null; the content of an artifact by its first digits."""
    values = {key: json.dumps(settings[key], ensure_ascii=False) for key in keys if settings.get(key) is not None}
    return [f"{key}={CONTENT.sub(SHORTENED, value)}" for key, value in values.items()]
