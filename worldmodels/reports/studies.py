"""The tables that every study of transfer in ``experiments/`` commits."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldmodels.reports import tidy
from worldmodels.reports.groups import NODES, Group, flat, group_runs
from worldmodels.reports.verdict import Comparison, comparison_rows, comparisons
from worldmodels.runs import FinishedRun

WORDY = ("run", "load", "freeze")  # of a row's facts: in ``runs.csv`` they stand once


def arguments(description: str, here: Path) -> argparse.Namespace:
    """The command line of a study's analysis: ``runs``, patterns of folders, and ``to``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders that hold results.json, or patterns of them")
    parser.add_argument("--to", type=Path, default=here, help="where tables and figures go")
    return parser.parse_args()


def write_tables(to: Path, runs: Sequence[FinishedRun], part: str) -> list[tuple[Group, list[Comparison]]]:
    """Write the tables of ``part`` (vision, memory or controller) into ``to``: ``runs.csv``, a line for each run with
    its whole config; ``curves.csv``; ``comparisons.csv``, every strategy against scratch; ``costs.csv``. Returns the
    groups of comparable runs with their comparisons.
    """
    groups, notes = group_runs(runs, part)
    for note in notes:
        print(note)
    judged = [(group, list(comparisons(group))) for group in groups]
    tidy.write_csv(to / "runs.csv", [_config_row(run) for run in runs])
    curves = [row for run in runs for row in tidy.curve_rows(run) if row["part"] == part]
    tidy.write_csv(to / "curves.csv", [_short(row) for row in curves])
    tidy.write_csv(to / "comparisons.csv", comparison_rows([each for _, own in judged for each in own]))
    tidy.write_csv(to / "costs.csv", [_short(row) for run in runs for row in tidy.cost_rows(run)])
    return judged


def _config_row(run: FinishedRun) -> dict[str, Any]:
    nodes = ("transfer", "heldout", "probe", "measure", *NODES["evaluate"])
    config = run.results["config"]
    below = {key: value for node in nodes for key, value in flat(config[node], node).items()}
    precision = {"trainer.precision": config["trainer"]["precision"]}
    return {key: value for key, value in {**tidy.facts(run), **precision, **below}.items() if key not in WORDY[1:]}


def _short(row: tidy.Row) -> tidy.Row:
    return {key: value for key, value in row.items() if key not in WORDY}
