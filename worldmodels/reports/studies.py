"""The tables that every study of transfer in ``experiments/`` commits."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.reports import pictures, tidy
from worldmodels.reports.groups import Group, Strategy, flat, group_runs, labels
from worldmodels.reports.verdict import Comparison, comparison_rows, comparisons
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.statistics import seed_estimate

WORDY = ("run", "load", "freeze")  # of a row's facts: in ``runs.csv`` they stand once


def arguments(description: str, here: Path) -> argparse.Namespace:
    """The command line of a study's analysis: ``runs``, patterns of folders, and ``to``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders that hold results.json, or patterns of them")
    parser.add_argument("--to", type=Path, default=here, help="where tables and figures go")
    return parser.parse_args()


def read(patterns: Sequence[str], part: str) -> list[FinishedRun]:
    """The runs that went as far as ``part`` (vision, memory or controller); what is no run is told. Exits where there
    are none, or those of several scales.
    """
    try:
        runs, problems = tidy.find_runs(patterns)
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    print(*problems, sep="\n", end="\n" if problems else "")
    runs = [run for run in runs if part in run.results]
    scales = sorted({run.results["scale"] for run in runs})
    if len(scales) != 1:
        found = f"those of the scales {', '.join(scales)}" if scales else "none"
        raise SystemExit(f"error: expected finished runs as far as stage={part}, all of one scale: got {found}")
    return runs


def write_tables(to: Path, runs: Sequence[FinishedRun], part: str) -> list[tuple[Group, list[Comparison]]]:
    """Write the tables of ``part`` (vision, memory or controller) into ``to``: ``runs.csv``, a line for each run with
    its whole config; ``curves.csv``; ``comparisons.csv``, every strategy against scratch; ``costs.csv``. Returns the
    groups of comparable runs with their comparisons.
    """
    groups, notes = group_runs(runs, part)
    for note in notes:
        print(note)
    judged = [(group, comparisons(group)) for group in groups]
    tidy.write_csv(to / "runs.csv", [_config_row(run) for run in runs])
    curves = [row for run in runs for row in tidy.curve_rows(run) if row["part"] == part]
    tidy.write_csv(to / "curves.csv", [_short(row) for row in curves])
    tidy.write_csv(to / "comparisons.csv", comparison_rows([each for _, own in judged for each in own]))
    tidy.write_csv(to / "costs.csv", [_short(row) for run in runs for row in tidy.cost_rows(run)])
    return judged


def bounded(name: str, values: Sequence[float] | np.ndarray) -> tidy.Row:
    """The mean of a value for each seed as column ``name``, its 95 % interval as ``name_low`` and
    ``name_high``.
    """
    found = seed_estimate(values)
    low, high = found["interval"] or (None, None)
    return {name: found["value"], f"{name}_low": low, f"{name}_high": high}


def probe_rows(group: Group, strategies: Sequence[Strategy]) -> Iterator[tidy.Row]:
    """What V tells of the true state: a row for each strategy, target and probe (linear, mlp, recall), over seeds."""
    names = labels(group.members)
    for each in strategies:
        found: dict[tuple[str, str], list[float]] = {}
        for run in group.members[each].values():
            for row in tidy.probe_rows(run):
                if row["part"] == "vision" and row["value"] is not None:
                    found.setdefault((row["target"], row["probe"]), []).append(row["value"])
        for (target, probe), values in found.items():
            place = {"env": group.env, "label": names[each], "target": target, "probe": probe, "seeds": len(values)}
            yield place | bounded("value", values)


def picture(path: Path, group: Group, strategies: Sequence[Strategy]) -> None:
    """Held-out frames as V reconstructs them with each strategy, from the first seed that all have."""
    seeds = set.intersection(*(set(group.members[each]) for each in strategies))
    if seeds:
        names = labels(strategies)
        shown = {names[each]: group.members[each][min(seeds)] for each in strategies}
        pictures.save(path, pictures.reconstructions(shown))


def _config_row(run: FinishedRun) -> dict[str, Any]:
    nodes = ("transfer", "heldout", "probe", "measure", "env", "collect", "vae", "memory", "controller", "evaluate")
    config = run.results["config"]
    below = {key: value for node in nodes for key, value in flat(config[node], node).items()}
    precision = {"trainer.precision": config["trainer"]["precision"]}
    return {key: value for key, value in {**tidy.facts(run), **precision, **below}.items() if key not in WORDY[1:]}


def _short(row: tidy.Row) -> tidy.Row:
    return {key: value for key, value in row.items() if key not in WORDY}
