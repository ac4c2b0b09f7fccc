"""What would decide a comparison that is undecided: a command, and how long it takes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.special import ndtr, ndtri

from worldmodels.reports.dashboard import in_shell
from worldmodels.reports.groups import Group, Strategy
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.comparing import FEWEST, LEVEL
from worldmodels.utils.overrides import typed
from worldmodels.utils.progress import duration

USUAL = 5  # seeds of a comparison that has too few
MOST = 100  # seeds that are worth a command
POWER = 0.8
LAST = {"vision": "vision", "memory": "memory", "controller": "controller", "evaluate": "all"}  # stage of each part


class Proposal(NamedTuple):
    """A command, or why there is none, and its expected time in words."""

    command: str | None
    told: str


def seeds_needed(gains: Sequence[float], margin: float | None, tests: int = 1, equivalences: int = 1) -> float:
    """How many seeds would show that the mean of paired ``gains`` is not 0, or that it lies within ± ``margin``, with a
    power of 80 %, if mean and spread stay as they are; ∞ where neither would be shown. ``tests`` and ``equivalences``:
    how many share the 5 %.
    """
    mean, spread = abs(float(np.mean(gains))), float(np.std(gains, ddof=1))
    two_sided, one_sided = -ndtri(LEVEL / tests / 2), -ndtri(LEVEL / equivalences)
    different = ((two_sided + ndtri(POWER)) * spread / mean) ** 2 if mean > 0 else math.inf
    similar = _inside(mean, spread, margin, one_sided) if margin and margin > mean else math.inf
    # More for Student's t: half the quantile's square of a difference (Guenther 1981), which is 2 of a single test.
    return min(different, similar) + max(2.0, two_sided**2 / 2)


def _inside(mean: float, spread: float, margin: float, quantile: float) -> float:
    """How many show that a mean lies within ± ``margin``, by two tests that have to hold both, of a one-sided normal
    ``quantile``; ∞ where more than `MOST` would.
    """
    if spread == 0:
        return 0.0
    counts = np.arange(1, MOST + 1)
    below, above = (ndtr((margin + way * mean) * np.sqrt(counts) / spread - quantile) for way in (-1, 1))
    enough = counts[below + above - 1 >= POWER]
    return float(enough[0]) if len(enough) else math.inf


def more_seeds(group: Group, undecided: Sequence[Mapping[str, Any]]) -> Proposal:
    """For fair comparisons with one reference that are ``undecided``: as many more seeds, of them and of the reference,
    as the last of them needs; those aside that `MOST` would not decide.
    """
    needed = {item["label"]: _needed(item) for item in undecided}
    within = {label: seeds for label, seeds in needed.items() if seeds <= MOST}
    if not within:
        return Proposal(None, f"more than {MOST} seeds, so small is the difference beside its spread")
    strategies = _of(group, list(within), undecided[0]["reference"])
    known = sorted(set.intersection(*(set(group.members[strategy]) for strategy in strategies)))
    total = max(len(known) + 2, USUAL, math.ceil(max(within.values())))
    first = known[-1] + 1 if known else 0
    proposal = _proposal(group, strategies, range(first, first + total - len(known)))
    beyond = [label for label in needed if label not in within]
    more = f"; {MOST} seeds would not decide {', '.join(beyond)}" if beyond else ""
    return proposal._replace(told=proposal.told + more)


def _needed(comparison: Mapping[str, Any]) -> float:
    gains, judgement = comparison[comparison["deciding"]]["per_seed"], comparison["judgement"]
    if len(gains) < FEWEST:
        return USUAL
    return seeds_needed(gains, judgement.margin, judgement.tests, judgement.equivalences)


def equal_budget(group: Group, unfair: Sequence[Mapping[str, Any]]) -> Proposal:
    """For comparisons at unequal budgets: the same at equal ones."""
    strategies = _of(group, [item["label"] for item in unfair], unfair[0]["reference"])
    return _proposal(group, strategies, range(USUAL), budget=1.0)


def _of(group: Group, names: Sequence[str], reference: str) -> list[Strategy]:
    from worldmodels.reports.groups import labels

    by_label = {name: strategy for strategy, name in labels(group.members).items()}
    return [by_label[name] for name in dict.fromkeys([reference, *names])]


def _proposal(group: Group, strategies: Sequence[Strategy], seeds: range, budget: float | None = None) -> Proposal:
    runs = [next(iter(group.members[strategy].values())) for strategy in strategies]
    chosen = list(dict.fromkeys(_option(run) for run in runs))
    words = ["python", "-m", "worldmodels.train", *_config_dirs(runs[-1]), "-m", *_common(runs)]
    words += [f"transfer={','.join(chosen)}", f"seed={','.join(map(str, seeds))}"]
    budgets = [budget] if budget is not None else list(dict.fromkeys(s.budget for s in strategies if not s.scratch))
    if budgets != [None] and budgets:
        words.append(f"transfer.budget={','.join(f'{value:g}' for value in budgets)}")
    if LAST[group.part] != "all":
        words.append(f"stage={LAST[group.part]}")
    seconds = sum(_seconds(run) for run in runs) * len(seeds) * max(1, len(budgets))
    return Proposal(in_shell(words), f"about {duration(seconds)} on a machine like the one these runs were made on")


def _option(run: FinishedRun) -> str:
    """The option of the group ``transfer`` that was chosen; the strategy's name where that is not known."""
    options = [word.partition("=")[2] for word in typed(run.folder) if word.startswith("transfer=")]
    return options[-1] if options else str(run.results["transfer"])


def _common(runs: Sequence[FinishedRun]) -> list[str]:
    """What was typed for all of the runs, besides what the command chooses itself."""
    commands = [typed(run.folder) for run in runs]
    results = runs[0].results
    if not all(commands):
        return [f"env={results['env']}", f"scale={results['scale']}"]
    own = ("transfer=", "transfer.budget=", "seed=", "stage=", "hydra.", "hydra/")
    return [word for word in commands[0] if not word.startswith(own) and all(word in each for each in commands)]


def _config_dirs(run: FinishedRun) -> list[str]:
    path = run.folder / ".hydra" / "hydra.yaml"
    if not path.is_file():
        return []
    hydra = yaml.safe_load(path.read_text(encoding="utf-8"))
    sources = hydra.get("hydra", hydra).get("runtime", {}).get("config_sources", [])
    return [f"--config-dir={source['path']}" for source in sources if source.get("provider") == "command-line"]


def _seconds(run: FinishedRun) -> float:
    """What all stages of a run took to build, those of its source included."""
    stages = (*run.results["stages"].values(), *(run.results.get("source_stages") or {}).values())
    return sum(float(entry["seconds"]) for entry in stages)
