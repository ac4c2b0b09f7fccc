"""Runs as a study's committed tables tell them, so that its verdicts can be made again without the runs."""

import ast
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodels.reports.tidy import TABLES
from worldmodels.store.runs import FinishedRun

Row = dict[str, str]
FACTS = ("env", "strategy", "source_env", "budget", "seed")


class CommittedRun(FinishedRun):
    """A line of ``runs.csv`` with the curves and costs beside it. Probes, measures, parameter counts and artifacts are
    not in these tables.
    """

    def __init__(
        self, row: Row, part: str, heldout: Mapping[str, float], curves: Sequence[Row], costs: Sequence[Row]
    ) -> None:
        self.folder = Path(row["run"])
        config = _nested({key: value for key, value in row.items() if "." in key})
        stages: dict[str, dict[str, Any]] = {"target": {}, "source": {}}
        for cost in costs:
            frames = {"frames": _value(cost["frames"])} if cost["stage"] == "collect" else {}
            entry = {"artifact": cost["artifact"], "seconds": float(cost["seconds"]), "cached": _value(cost["reused"])}
            stages[cost["task"]][cost["stage"]] = entry | frames
        self.results: dict[str, Any] = {
            "env": row["env"],
            "transfer": row["strategy"],
            "source_env": row["source_env"] or None,
            "scale": row["scale"],
            "seed": int(row["seed"]),
            "config": config,
            "stages": stages["target"],
            "source_stages": stages["source"],
            "collect": {"frames": stages["target"]["collect"]["frames"]},
            part: {TABLES[part][0]: _points(curves, TABLES[part][1]), **heldout},
        }


def read(folder: Path, part: str) -> list[CommittedRun]:
    """The runs of a study's ``runs.csv``, ``curves.csv``, ``costs.csv`` and, if it is there, ``heldout.csv``, in their
    order. Raises `ValueError` where the tables do not belong together.
    """
    runs, curves, costs = (table(folder / f"{name}.csv") for name in ("runs", "curves", "costs"))
    blocks = [
        list(_blocks(curves, lambda row: int(row["x"]))),
        list(_blocks(costs, lambda row: row["task"] == "source")),
    ]
    if any(len(block) != len(runs) for block in blocks):
        raise ValueError(
            f"{folder}: runs.csv has {len(runs)} runs, curves.csv {len(blocks[0])}, costs.csv {len(blocks[1])}"
        )
    heldout: dict[str, dict[str, float]] = {}
    for row in table(folder / "heldout.csv") if (folder / "heldout.csv").exists() else ():
        heldout.setdefault(row["run"], {})[row["measure"]] = float(row["value"])
    if unknown := heldout.keys() - {row["run"] for row in runs}:
        raise ValueError(f"{folder}: heldout.csv has runs that runs.csv has not, such as {min(unknown)}")
    return [
        CommittedRun(row, part, heldout.get(row["run"], {}), *tables)
        for row, *tables in zip(runs, *blocks, strict=True)
    ]


def table(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _blocks(rows: Sequence[Row], order: Any) -> Iterator[list[Row]]:
    """Rows of one run each: they stand together, in an order in which ``order`` never falls."""
    block: list[Row] = []
    for row in rows:
        if block and (any(row[key] != block[-1][key] for key in FACTS) or order(row) < order(block[-1])):
            yield block
            block = []
        block.append(row)
    if block:
        yield block


def _points(curves: Sequence[Row], axis: str) -> list[dict[str, Any]]:
    points: dict[int, dict[str, Any]] = {}
    for row in curves:
        points.setdefault(int(row["x"]), {axis: int(row["x"])})[row["measure"]] = float(row["value"])
    return list(points.values())


def _nested(flat: Mapping[str, str]) -> dict[str, Any]:
    """``{"vae.epochs": "4"}`` as ``{"vae": {"epochs": 4}}``; an empty field above or below another is no setting."""
    tree: dict[str, Any] = {}
    for key, text in flat.items():
        above = any(flat.get(key.rsplit(".", depth)[0]) for depth in range(1, key.count(".")))
        below = any(other.startswith(f"{key}.") and value for other, value in flat.items())
        if not text and (above or below):
            continue
        *nodes, leaf = key.split(".")
        branch = tree
        for node in nodes:
            branch = branch.setdefault(node, {})
        branch[leaf] = _value(text)
    return tree


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError):
        return text
