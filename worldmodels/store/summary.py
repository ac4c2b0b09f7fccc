"""What a run prints at its end: a line or two a stage, within 100 columns. All of it is in ``results.json``."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from worldmodels.store.results import headline, print_measures, print_parameters, print_probes
from worldmodels.transfer.config import strategy_label

CHANGES_RESULTS = False
WIDTH = 100  # columns


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
    """A line or two a stage."""
    strategy = strategy_label(results["config"]["transfer"])
    console.print(f"{results['env']}, {strategy}, scale {results['scale']}, seed {results['seed']}", highlight=False)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.width = min(WIDTH, console.width)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for stage, facts in results["stages"].items():
        seconds = "reused" if facts["cached"] else f"{facts['seconds']:.1f} s"
        lines = [headline(stage, results), *_diagnostics(stage, results)]
        table.add_row(f"  {stage}", "\n".join(lines), seconds)
    console.print(table, highlight=False)


def _transferred(counts: Mapping[str, Any]) -> bool:
    return counts["copied"] > 0 or counts["frozen"] > 0


def _diagnostics(stage: str, results: Mapping[str, Any]) -> Iterator[str]:
    """What the probes and measures say of V or M, in short."""
    inputs = {"vision": "z", "memory": "zh"}.get(stage)
    probed = results.get("probes", {}).get(stage, {})
    if inputs and probed.get(inputs):
        r_squared = {name: figures["linear"]["r2"] for name, figures in probed[inputs].items()}
        listed = ", ".join(f"{name} {value:.2f}" for name, value in r_squared.items() if value is not None)
        yield f"R² of the true state from {', '.join(inputs)}: {listed or 'too few frames'}"
    for name, figures in probed.get("objects", {}).items():
        if figures["recall"] is not None:
            yield f"reconstructions that still show the {name}: {figures['recall']:.0%}"
    if stage == "memory" and stage in (measures := results.get("measures", {})):
        yield from _forecasts(measures[stage]["open_loop"])


def _forecasts(open_loop: Mapping[str, Any]) -> Iterator[str]:
    points = [
        (horizon, model["value"], persistence["value"])
        for horizon, model, persistence in zip(
            open_loop["horizons"], open_loop["memory"], open_loop["persistence"], strict=True
        )
        if model["value"] is not None and persistence["value"] is not None
    ]
    if points:
        steps, errors, floors = zip(
            *(points[index] for index in sorted({0, len(points) // 2, len(points) - 1})), strict=True
        )
        columns = [" / ".join(f"{value:.3g}" for value in values) for values in (steps, errors, floors)]
        yield f"error of forecasts over {columns[0]} steps: {columns[1]} (persistence {columns[2]})"
