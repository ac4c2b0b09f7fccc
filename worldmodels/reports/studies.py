"""The tables that every study of transfer in ``experiments/`` commits."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.reports import committed, tidy
from worldmodels.reports.groups import Group, Strategy, group_runs, labels
from worldmodels.reports.settings import config_row
from worldmodels.reports.verdict import MARGIN, Comparison, comparison_rows, comparisons, judged_row
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.comparing import judge
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.statistics import seed_estimate

WORDY = ("run", "load", "freeze")  # of a row's facts: in ``runs.csv`` they stand once


def arguments(description: str, study: Path) -> argparse.Namespace:
    """The command line of a study's analysis: ``runs``, patterns of folders, and ``to``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", help="folders that hold results.json, or patterns of them")
    parser.add_argument("--from-csv", type=Path, nargs="?", const=study, help="a folder of tables instead: the study's")
    parser.add_argument("--to", type=Path, default=study, help="where tables and figures go")
    options = parser.parse_args()
    if bool(options.runs) == bool(options.from_csv):
        parser.error("expected runs, or --from-csv")
    return options


def read(patterns: Sequence[str], part: str, tables: Path | None = None) -> Sequence[FinishedRun]:
    """The runs that went as far as ``part`` (vision, memory or controller), or those of a folder of ``tables``. Prints
    which folders are no runs. Exits where there are none, or runs of several scales.
    """
    if tables is not None:
        return committed.read(tables, part)
    try:
        runs, problems = tidy.find_runs(patterns)
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None
    print(*problems, sep="\n", end="\n" if problems else "")
    runs = [run for run in runs if part in run.results]
    scales = sorted({run.results["scale"] for run in runs})
    if len(scales) != 1:
        got = f"those of the scales {', '.join(scales)}" if scales else "none"
        raise SystemExit(f"error: expected finished runs as far as stage={part}, all of one scale: got {got}")
    return runs


def write_tables(to: Path, runs: Sequence[FinishedRun], part: str) -> list[tuple[Group, list[Comparison]]]:
    """Write the tables of ``part`` (vision, memory or controller) into ``to``: ``runs.csv``, a line for each run with
    its whole config; ``curves.csv``; ``heldout.csv``, V's or M's figures of the held-out rollouts, where runs have
    them; ``comparisons.csv``, every strategy against scratch; ``costs.csv``. Returns the groups of comparable runs with
    their comparisons.
    """
    groups, notes = group_runs(runs, part)
    for note in notes:
        print(note)
    compared = [(group, comparisons(group)) for group in groups]
    reasons = Counter(
        comparison["fallback"]
        for _, group_comparisons in compared
        for comparison in group_comparisons
        if comparison.get("fallback")
    )
    for reason, count in reasons.items():
        print(f"{count} comparisons are by validation: {reason}")
    tidy.write_csv(
        to / "comparisons.csv",
        comparison_rows([comparison for _, group_comparisons in compared for comparison in group_comparisons]),
    )
    if not any(isinstance(run, committed.CommittedRun) for run in runs):  # whose tables these are
        tidy.write_csv(to / "runs.csv", [_config_row(run) for run in runs])
        curves = [row for run in runs for row in tidy.curve_rows(run) if row["part"] == part]
        tidy.write_csv(to / "curves.csv", [_short(row) for row in curves])
        if heldout := [row for run in runs for row in tidy.heldout_rows(run) if row["part"] == part]:
            tidy.write_csv(to / "heldout.csv", [_short(row) | {"run": row["run"]} for row in heldout])
        tidy.write_csv(to / "costs.csv", [_short(row) for run in runs for row in tidy.cost_rows(run)])
    return compared


def bounded(name: str, values: Sequence[float] | np.ndarray) -> tidy.Row:
    """The mean of a value for each seed as column ``name``, its 95 % interval as ``name_low`` and
    ``name_high``.
    """
    figure = seed_estimate(values)
    low, high = figure["interval"] or (None, None)
    return {name: figure["value"], f"{name}_low": low, f"{name}_high": high}


def judged(rows: Sequence[tidy.Row], family: Sequence[str]) -> list[tidy.Row]:
    """Gains with their verdicts: rows with the same values of ``family`` are one. Each has ``per_seed`` and ``learnt``,
    what its reference has learnt, or None.
    """
    families: dict[tuple[Any, ...], list[tidy.Row]] = {}
    for row in rows:
        families.setdefault(tuple(row[key] for key in family), []).append(row)
    for members in families.values():
        margins = [None if row["learnt"] is None else MARGIN * row["learnt"] for row in members]
        for row, judgement in zip(members, judge([row["per_seed"] for row in members], margins), strict=True):
            row |= judged_row(judgement)
    return list(rows)


def deciding(rows: Sequence[tidy.Row], pair: Sequence[str], metric: str) -> list[tidy.Row]:
    """Of the rows with the same values of ``pair`` the one on held-out rollouts, else the one of ``metric``: in their
    order, and with ``shown``, what the row compares, which tells of the second where there are both kinds.
    """
    chosen: dict[tuple[Any, ...], tidy.Row] = {}
    for row in rows:
        if row["value"] is not None and row["metric"] in ("heldout", metric):
            key = tuple(row[name] for name in pair)
            if row["metric"] == "heldout" or key not in chosen:
                chosen[key] = row
    mixed = len({row["metric"] for row in chosen.values()}) > 1
    note = {"heldout": "", metric: " (validation)" if mixed else ""}
    return [
        {**row, "shown": f"{row['label']} against {row['reference']}{note[row['metric']]}"} for row in chosen.values()
    ]


def write_gains(path: Path, rows: Sequence[tidy.Row]) -> None:
    """Write judged gains without what only figures and verdicts need."""
    tidy.write_csv(path, [{key: row[key] for key in row if key not in ("per_seed", "learnt", "std")} for row in rows])


def carried(rows: Sequence[tidy.Row], path: Path, keys: Sequence[str], columns: Sequence[str]) -> list[tidy.Row]:
    """Rows of a summary with the ``columns`` that only runs can tell, from the committed file where they are None."""
    committed_rows = {tuple(row[key] for key in keys): row for row in committed.table(path)}
    for row in rows:
        old = committed_rows[
            tuple(
                "" if row[key] is None else f"{row[key]:.6g}" if isinstance(row[key], float) else str(row[key])
                for key in keys
            )
        ]
        row |= {column: old[column] for column in columns if row.get(column) is None}
    return list(rows)


def probe_rows(group: Group, strategies: Sequence[Strategy]) -> Iterator[tidy.Row]:
    """What V tells of the true state: a row for each strategy, target and probe (linear, mlp, recall), over seeds, with
    each seed's."""
    names = labels(group.members)
    for strategy in strategies:
        by_probe: dict[tuple[str, str], list[float]] = {}
        for run in group.members[strategy].values():
            for row in tidy.probe_rows(run):
                if row["part"] == "vision" and row["value"] is not None:
                    by_probe.setdefault((row["target"], row["probe"]), []).append(row["value"])
        for (target, probe), values in by_probe.items():
            facts = {"env": group.env, "label": names[strategy], "target": target, "probe": probe, "seeds": len(values)}
            yield facts | bounded("value", values) | {"values": " ".join(f"{value:.6g}" for value in values)}


def probe_rows_again(path: Path) -> Iterator[tidy.Row]:
    """The rows of a committed ``probes.csv`` with intervals of today, from the seeds' ``values``; none without them."""
    for row in committed.table(path):
        values = [float(value) for value in row["values"].split()]
        yield row | (bounded("value", values) if values else {"value_low": None, "value_high": None})


def picture(path: Path, group: Group, strategies: Sequence[Strategy]) -> None:
    """Held-out frames as V reconstructs them with each strategy, from the first seed that all have."""
    seeds = set.intersection(*(set(group.members[strategy]) for strategy in strategies))
    if seeds:
        names = labels(strategies)
        by_label = {names[strategy]: group.members[strategy][min(seeds)] for strategy in strategies}
        from worldmodels.reports import pictures  # brings torch

        pictures.save(path, pictures.reconstructions(by_label))


def _config_row(run: FinishedRun) -> dict[str, Any]:
    return {key: value for key, value in (tidy.facts(run) | config_row(run)).items() if key not in WORDY[1:]}


def _short(row: tidy.Row) -> tidy.Row:
    return {key: value for key, value in row.items() if key not in WORDY}
