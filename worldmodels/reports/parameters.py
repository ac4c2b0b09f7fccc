"""What became of V's and M's parameters with each strategy."""

from collections.abc import Sequence
from html import escape

from worldmodels.reports import tidy
from worldmodels.reports.figures import colour_of
from worldmodels.reports.groups import labels, strategy
from worldmodels.reports.page import Html, folded, named, paragraph, table
from worldmodels.store.runs import FinishedRun


def section(runs: Sequence[FinishedRun]) -> Html:
    """What became of each module with each strategy, a table for each task; then the numbers."""
    parts = []
    for env in dict.fromkeys(run.results["env"] for run in runs):
        of_task = sorted((run for run in runs if run.results["env"] == env), key=lambda run: not strategy(run).scratch)
        names = labels(map(strategy, of_task))
        fates: dict[str, dict[str, str]] = {}
        for run in of_task:
            for row in tidy.parameter_rows(run):
                if row["group"]:
                    module = f"{row['part']}.{row['group']}"
                    fates.setdefault(module, {}).setdefault(names[strategy(run)], _fate(row))
        columns = list(dict.fromkeys(names[strategy(run)] for run in of_task))
        heads = [named(name, colour_of(name)) for name in columns]
        rows = [(module, *(by_name.get(name, "–") for name in columns)) for module, by_name in fates.items()]
        if rows:
            parts += [f"<h3>{escape(env)}</h3>\n", table(["module", *heads], rows)]
    return Html("".join(parts) + _numbers(runs)) if parts else Html("")


def _fate(row: tidy.Row) -> str:
    """Where a module's parameters came from, and whether they train: ``copied, frozen``; parts of it in numbers."""
    total = row["total"]
    origin = "fresh" if row["copied"] == 0 else "copied" if row["copied"] == total else f"{row['copied']:,} copied"
    if row["frozen"] == 0:
        return origin
    return f"{origin}, frozen" if row["frozen"] == total else f"{origin}, {row['frozen']:,} of {total:,} frozen"


def _numbers(runs: Sequence[FinishedRun]) -> Html:
    """Where V's and M's parameters came from and which trained, by strategy; equal tables of several runs once."""
    names = labels(map(strategy, runs))
    kinds = ("total", "copied", "fresh", "frozen", "trainable")
    rows = dict.fromkeys(
        (
            *(row["env"], names[strategy(run)], row["source_env"] or ""),
            f"{row['part']}.{row['group']}" if row["group"] else row["part"],
            *(f"{row[kind]:,}" for kind in kinds),
        )
        for run in sorted(runs, key=lambda run: (run.results["env"], not strategy(run).scratch))
        for row in tidy.parameter_rows(run)
    )
    note = "total = copied + fresh = frozen + trainable. Copied: from the source; fresh: initialised at random."
    columns = ("task", "strategy", "source", "module", *kinds)
    content = Html(table(columns, rows, kinds) + paragraph(note, "note"))
    return folded("In numbers", content) if rows else Html("")
