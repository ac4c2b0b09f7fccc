"""What a run prints at its end: a line or two a stage, within 100 columns. All of it is in ``results.json``."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from worldmodels.store.results import headline, print_measures, print_parameters, print_probes
from worldmodels.store.runs import foreign_code, packages_of
from worldmodels.store.wording import (
    beyond_search,
    forecasts_in_words,
    latent_in_words,
    r2_grade,
    recall_grade,
    score_in_words,
)
from worldmodels.transfer.config import strategy_label
from worldmodels.utils.overrides import written

CHANGES_RESULTS = False
WIDTH = 100  # columns
COMPARABLE = 100  # episodes, as published scores are of


def print_results(results: Mapping[str, Any], console: Console, details: bool = False) -> None:
    """The stages of a run: what each gave, how long it took or that it was reused. With parameters that were copied or
    frozen, the table of parameters; with ``details`` all tables.
    """
    if details or any(_transferred(counts) for counts in results["parameters"].values()):
        print_parameters(results["parameters"], console)
    if details and "probes" in results:
        print_probes(results["probes"], console)
    if details and "measures" in results:
        print_measures(results["measures"], console)
    print_summary(results, console)


def print_summary(results: Mapping[str, Any], console: Console) -> None:
    """A line or two a stage; then the score in words."""
    strategy = strategy_label(results["config"]["transfer"])
    console.print(f"{results['env']}, {strategy}, scale {results['scale']}, seed {results['seed']}", highlight=False)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.width = min(WIDTH, console.width)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for stage, facts in results["stages"].items():
        seconds = "reused" if facts["cached"] else f"{facts['seconds']:.1f} s"
        lines = [_told(stage, results), *_diagnostics(stage, results)]
        table.add_row(f"  {stage}", "\n".join(lines), seconds)
    console.print(table, highlight=False)


def next_steps(results: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What a person may want to do with a run."""
    yield "next:"
    yield f"  python -m worldmodels.report {written('runs', _from_here(folder))}"
    if "evaluation" in results and results["evaluation"]["episodes"] < COMPARABLE:
        yield f"  {command('evaluate', results, folder, f'episodes={COMPARABLE}')}"
    if "memory" in results["stages"]:
        yield f"  {command('dream', results, folder)}"


def command(name: str, results: Mapping[str, Any], folder: Path, *settings: str) -> str:
    """A command on the run in ``folder``, to paste into a shell, with the code that its parts need allowed, as for the
    run of ``results``.
    """
    foreign = packages_of(foreign_code(results["config"]))
    allowed = [shlex.quote(f"allow=[{','.join(foreign)}]")] if foreign else []
    return " ".join([f"python -m worldmodels.{name} {written('run', _from_here(folder))}", *settings, *allowed])


def _from_here(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def _told(stage: str, results: Mapping[str, Any]) -> str:
    if stage == "evaluate":
        return score_in_words(results["evaluation"], results["config"])
    return headline(stage, results)


def _transferred(counts: Mapping[str, Any]) -> bool:
    return counts["copied"] > 0 or counts["frozen"] > 0


def _diagnostics(stage: str, results: Mapping[str, Any]) -> Iterator[str]:
    """What the probes and measures say of V or M, and the search of the score, in words."""
    inputs = {"vision": "z", "memory": "zh"}.get(stage)
    probed = results.get("probes", {}).get(stage, {})
    if stage == "vision" and (empty := latent_in_words(results["vision"].get("heldout_kl"))):
        yield empty
    if inputs and probed.get(inputs):
        r_squared = {name: figures["linear"]["r2"] for name, figures in probed[inputs].items()}
        listed = "; ".join(f"{name} {r2_grade(value)}" for name, value in r_squared.items() if value is not None)
        yield f"R² of the true state from {', '.join(inputs)}: {listed or 'too few frames'}"
    for name, figures in probed.get("objects", {}).items():
        if figures["recall"] is not None:
            yield f"reconstructions that still show the {name}: {recall_grade(figures['recall'])}"
    if stage == "memory" and stage in (measures := results.get("measures", {})):
        yield "; ".join(forecasts_in_words(measures[stage]))
    if stage == "evaluate" and (why := beyond_search(results)):
        yield why
