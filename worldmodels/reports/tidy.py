"""Finished runs as tidy tables: one observation a row, plain values, ready for a CSV file."""

import csv
import glob
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodels.store.artifacts import load_artifact
from worldmodels.store.heldout import PATHS
from worldmodels.store.runs import RESULTS, FinishedRun
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.files import write_bytes
from worldmodels.utils.overrides import typed

Row = dict[str, Any]
TABLES = {"vision": ("epochs", "epoch"), "memory": ("steps", "step"), "controller": ("generations", "generation")}
MEASURES = {
    "vision": ("reconstruction", "kl", "val_reconstruction", "val_kl", "seconds"),
    "memory": ("nll", "val_nll"),
    "controller": ("best", "mean", "worst", "std", "seconds"),
}
CONTESTANTS = ("mean", "best", "random")  # of an evaluation


def find_runs(patterns: str | Sequence[str], allow: Collection[str] = ()) -> tuple[list[FinishedRun], list[str]]:
    """The runs whose folders match one of the patterns (``**`` is any depth), by path, and a line for each match whose
    ``results.json`` is damaged. A folder that exists is meant as it is written, whatever brackets it has. Raises
    `ConfigError` where nothing is left.
    """
    pattern_list = [patterns] if isinstance(patterns, str) else list(patterns)
    paths = {path for pattern in pattern_list for path in glob.glob(f"{_literal(pattern)}/{RESULTS}", recursive=True)}
    runs, problems = [], []
    for path in sorted(paths):
        folder = Path(path).parent
        try:
            runs.append(_checked(FinishedRun(folder, allow)))
        except ConfigError as error:
            problems.append(" ".join(str(error).split()))
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            problems.append(f"{folder / RESULTS} is damaged ({reason}): expected what a training run wrote")
    if not runs:
        damaged = f"; {len(problems)} damaged, the first: {problems[0]}" if problems else ""
        raise ConfigError(
            f"runs={' '.join(pattern_list)} matches no finished run{damaged}: expected folders that hold {RESULTS}; "
            "use for example runs='outputs/**'"
        )
    return runs, problems + _interrupted(pattern_list, runs)


def _interrupted(patterns: Sequence[str], runs: Sequence[FinishedRun]) -> list[str]:
    """A line for each training under the patterns that began and did not finish, nor did one with its overrides."""
    done = [typed(run.folder) for run in runs]
    folders = (glob.glob(f"{_literal(pattern)}/.hydra", recursive=True) for pattern in patterns)
    started = {Path(path).parent for matches in folders for path in matches}
    return [
        f"{folder} has no {RESULTS}: the job was interrupted or still runs; the same command goes on"
        for folder in sorted(started)
        if not (folder / RESULTS).exists() and typed(folder) not in done and _trains(folder)
    ]


def _trains(folder: Path) -> bool:
    path = folder / ".hydra" / "config.yaml"
    return path.is_file() and "\ncontroller:\n" in path.read_text(encoding="utf-8")


def _literal(pattern: str) -> str:
    """A pattern in which the folders that exist, from its beginning on, are no patterns."""
    parts = Path(pattern).parts
    existing = 0
    while existing < len(parts) and Path(*parts[: existing + 1]).exists():
        existing += 1
    return str(Path(glob.escape(str(Path(*parts[:existing]))), *parts[existing:])) if existing else pattern


def _checked(run: FinishedRun) -> FinishedRun:
    """Read every part of a run once, so that a damaged one is found here and not in the middle of a report."""
    for rows in (curve_rows, heldout_rows, evaluation_rows, cost_rows, parameter_rows, probe_rows, measure_rows):
        rows(run)
    return run


def facts(run: FinishedRun) -> Row:
    """What a row of any table says of its run."""
    results, transfer = run.results, run.results["config"]["transfer"]
    return {
        "run": str(run.folder),
        "env": str(results["env"]),
        "strategy": str(results["transfer"]),
        "source_env": results["source_env"],
        "budget": float(transfer["budget"]),
        "scale": str(results["scale"]),
        "seed": int(results["seed"]),
        "load": " ".join(transfer["load"]),
        "freeze": " ".join(transfer["freeze"]),
    }


def curve_rows(run: FinishedRun) -> list[Row]:
    """Learning curves: a row for each measure at each epoch, step or generation. Units are those of results.json."""
    rows = []
    for part, (table, axis) in TABLES.items():
        for entry in run.results.get(part, {}).get(table, []):
            point = {**facts(run), "part": part, "axis": axis, "x": int(entry[axis])}
            for measure in MEASURES[part]:
                if measure in entry:
                    rows.append({**point, "measure": measure, "value": float(entry[measure])})
    return rows


def heldout_rows(run: FinishedRun) -> list[Row]:
    """V's and M's figures of the held-out rollouts that all seeds share, after training: a row for each."""
    rows = []
    for part, names in PATHS.items():
        for name in names:
            value = run.results.get(part, {}).get(name)
            if value is not None:
                rows.append({**facts(run), "part": part, "measure": name, "value": float(value)})
    return rows


def evaluation_rows(run: FinishedRun) -> list[Row]:
    """Scores: of the search's mean (the agent's), of the best individual and of a random agent, with the interval over
    episodes.
    """
    score = run.results.get("evaluation")
    if score is None:
        return []
    rows = []
    for contestant in CONTESTANTS:
        scores = score if contestant == "mean" else score.get(contestant)
        if scores is not None:
            low, high = scores["interval"] or (None, None)  # of a single episode there is none
            figures = {"episodes": int(scores["episodes"]), "mean": float(scores["mean"]), "std": float(scores["std"])}
            official = bool(score.get("official", True))
            why = "" if official else score.get("unofficial") or "episodes cut"
            figures |= {"low": low, "high": high, "official": official, "unofficial": why}
            rows.append({**facts(run), "contestant": contestant, **figures})
    return rows


def cost_rows(run: FinishedRun) -> list[Row]:
    """Seconds of every stage, of the target task's and of the source's, as when it was built, reused or not.
    ``frames``: collected, with the stage that collected them; None where the artifact is gone.
    """
    rows = []
    for task, stages in (("target", run.results["stages"]), ("source", run.results.get("source_stages") or {})):
        for stage, entry in stages.items():
            frames = _collected(run, task, entry) if stage == "collect" else None
            seconds = {"seconds": float(entry["seconds"]), "reused": bool(entry["cached"]), "frames": frames}
            rows.append({**facts(run), "task": task, "stage": stage, "artifact": entry["artifact"], **seconds})
    return rows


def _collected(run: FinishedRun, task: str, entry: Mapping[str, Any]) -> int | None:
    if task == "target":
        return int(run.results["collect"]["frames"])
    if "frames" in entry:
        return entry["frames"]
    try:
        path = run.folder / run.results["artifacts"] / "collect" / entry["artifact"]
        return int(load_artifact(path).summary["frames"])
    except (OSError, ValueError, KeyError):
        return None


def parameter_rows(run: FinishedRun) -> list[Row]:
    """Parameters of V and M, whole (``group`` empty) and by module: total = copied + fresh = frozen + trainable."""
    rows = []
    for part, counts in run.results.get("parameters", {}).items():
        for group, values in {"": counts, **counts["groups"]}.items():
            kinds = ("total", "copied", "fresh", "frozen", "trainable")
            rows.append({**facts(run), "part": part, "group": group, **{kind: int(values[kind]) for kind in kinds}})
    return rows


def probe_rows(run: FinishedRun) -> list[Row]:
    """R² of every probe, and the recall of objects as probe ``recall``; intervals over held-out rollouts."""
    rows = []
    for part, figures in run.results.get("probes", {}).items():
        for inputs in ("z", "zh"):
            for target, scores in figures.get(inputs, {}).items():
                for probe in ("linear", "mlp"):
                    shuffled = scores["shuffled"][probe]
                    probed = {"part": part, "inputs": inputs, "target": target, "probe": probe}
                    rows.append({**facts(run), **probed, **_bounded(scores[probe], "r2"), "shuffled": shuffled})
        for target, scores in figures.get("objects", {}).items():
            probed = {"part": part, "inputs": "z", "target": target, "probe": "recall"}
            rows.append({**facts(run), **probed, **_bounded(scores, "recall"), "shuffled": None})
    return rows


def measure_rows(run: FinishedRun) -> list[Row]:
    """M's measures on held-out rollouts, as `worldmodels.diagnostics.measures.rows` gives them."""
    if "memory" not in run.results.get("measures", {}):
        return []
    from worldmodels.diagnostics.measures import rows  # brings torch, which nothing else here needs

    return [{**facts(run), **row} for row in rows(run.results["measures"]["memory"])]


def _bounded(figure: Mapping[str, Any], key: str) -> Row:
    low, high = figure["interval"] or (None, None)
    return {"value": figure[key], "low": low, "high": high}


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], number: str = ".6g") -> None:
    """Write rows with every column that one of them has, floats by ``number``, None as an empty field. Replaces the
    file as a whole, and makes its folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: format(value, number) if isinstance(value, float) else value for key, value in row.items()}
        )
    write_bytes(path, text.getvalue().encode())
