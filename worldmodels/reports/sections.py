"""The sections that show: runs, scores, cost, probes and measures."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from worldmodels.reports import tidy
from worldmodels.reports.groups import differing_settings, labels, strategy, written_at
from worldmodels.reports.page import Html, estimate, link, number, paragraph, table
from worldmodels.store.heldout import OF_VALIDATION, PATHS
from worldmodels.store.runs import RESULTS, FinishedRun, path_from
from worldmodels.store.wording import INTERVALS, MANY_VALUES
from worldmodels.utils.comparing import MANY, interquartile_mean
from worldmodels.utils.statistics import seed_estimate

Row = tidy.Row
FEW = f"95 %, and of fewer than {MANY_VALUES} values only if these are near normal"
COMMON_COLUMNS = ("task", "strategy", "source", "settings")
OF_ONE = (*COMMON_COLUMNS, "scale", "seed", "seeds")  # whose a row is: of one run the title says it


def run_table(runs: Sequence[FinishedRun], folder: Path) -> Html:
    """A line a run, with links to its folder as seen from ``folder``."""
    names = labels(map(strategy, runs))
    columns = ("task", "strategy", "source", "scale", "seed", "last stage")
    figures_of = [(part, name) for part, names in PATHS.items() for name in names]
    figures = ("V: squared error", "V: KL", "M: NLL", "C: first mean", "C: last mean", "score", "random")
    rows = []
    for run in runs:
        results, stages = run.results, list(run.results["stages"])
        generations, score = results.get("controller", {}).get("generations") or [{}], results.get("evaluation")
        score_text = "–" if score is None else estimate({"value": score["mean"], "interval": score["interval"]})
        if score is not None and not score.get("official", True):
            score_text = Html(f"{escape(score_text)}<br>{escape(score.get('unofficial') or 'episodes cut')}")
        path = path_from(folder, run.folder)
        rows.append(
            (
                *(results["env"], names[strategy(run)], results["source_env"] or "", results["scale"], results["seed"]),
                stages[-1] if stages else "–",
                *(_after_training(results, *part_and_name) for part_and_name in figures_of),
                *(number(row.get("mean")) for row in (generations[0], generations[-1])),
                score_text,
                number(score["random"]["mean"]) if score and "random" in score else "–",
                Html(f"{link(f'{path}/', 'folder')} {link(f'{path}/{RESULTS}', 'results')}"),
            )
        )
    note = paragraph(
        "V and M: on the held-out rollouts that all seeds share; (val): on their validation rollouts, where a run was "
        f"not measured there. Score: mean return with its interval over episodes ({FEW}); below it, why it is "
        "no score of the task.",
        "note",
    )
    return Html(_table(runs, [*columns, *figures, "files"], rows, ["seed", *figures]) + note)


def _table(
    runs: Sequence[FinishedRun], columns: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[str] = ()
) -> Html:
    """A table of what ``runs`` gave, without the columns that have nothing to say."""
    known = OF_ONE if len(runs) == 1 else ("task",) if len({run.results["env"] for run in runs}) == 1 else ()
    shown = [
        index
        for index, name in enumerate(columns)
        if name not in known and any(row[index] not in ("", "–") for row in rows)
    ]
    chosen = [columns[index] for index in shown]
    return table(
        chosen, [[row[index] for index in shown] for row in rows], [name for name in numbers if name in chosen]
    )


def _after_training(results: Mapping[str, Any], part: str, name: str) -> str:
    """A held-out figure of V or M, or validation's last, which is then said."""
    figures = results.get(part, {})
    if figures.get(name) is not None:
        return number(figures[name], 4)
    rows = figures.get(tidy.TABLES[part][0]) or [{}]
    value = rows[-1].get(OF_VALIDATION[name])
    return f"{number(value, 4)} (val)" if value is not None else "–"


def _by_strategy(
    runs: Sequence[FinishedRun], rows_of: Callable[[FinishedRun], list[Row]], keys: Sequence[str], part: str
) -> list[tuple[tuple[str, str, str, str], tuple[Any, ...], list[Row]]]:
    """Rows of runs that differ in nothing but the seed, scratch first: task, strategy, source and settings for a table,
    the values of ``keys``, and the rows, one a seed, the newest of each. ``part``: whose settings must be the same.
    """
    runs = [run for run in runs if rows_of(run)]
    names, settings = labels(map(strategy, runs)), differing_settings(runs, part)
    lines: dict[tuple[Any, ...], dict[int, Row]] = {}
    for run in sorted(runs, key=written_at):
        chosen = strategy(run)
        common = (run.results["env"], names[chosen], chosen.source_env, settings[run.folder])
        for row in rows_of(run):
            lines.setdefault((common, not chosen.scratch, tuple(row[key] for key in keys)), {})[row["seed"]] = row
    order = sorted(
        lines.items(), key=lambda item: (item[0][0][0], item[0][1], item[0][0])
    )  # a strategy's own rows stay
    return [(common, values, [rows[seed] for seed in sorted(rows)]) for (common, _, values), rows in order]


def _over_seeds(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    return estimate(seed_estimate(values)) if values else "–"


def _scores(rows: Sequence[Mapping[str, Any]]) -> str:
    """The mean over seeds, and where there are many their interquartile mean, which a few failures do not move."""
    middle = f"; IQM {estimate(interquartile_mean([row['mean'] for row in rows]))}" if len(rows) >= MANY else ""
    return _over_seeds(rows, "mean") + middle


def _limits(row: Mapping[str, Any]) -> list[float] | None:
    return None if row["low"] is None else [row["low"], row["high"]]


def evaluation_table(runs: Sequence[FinishedRun]) -> Html:
    """Scores by strategy: the mean over seeds with its interval, and the agent's on every seed."""
    lines: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for common, (contestant, unofficial, episodes), scores in _by_strategy(
        runs, tidy.evaluation_rows, ["contestant", "unofficial", "episodes"], "evaluate"
    ):
        lines.setdefault((common, episodes, unofficial), {})[contestant] = scores
    rows = []
    for (common, episodes, unofficial), scores in lines.items():
        cells = (_scores(scores.get(contestant, [])) for contestant in tidy.CONTESTANTS)
        per_seed = (
            f"{row['seed']}: {estimate({'value': row['mean'], 'interval': _limits(row)})}" for row in scores["mean"]
        )
        rows.append((*common, episodes, *cells, "; ".join(per_seed), unofficial))
    columns = (
        *COMMON_COLUMNS,
        "episodes",
        "agent",
        "best individual",
        "random",
        "seed: the agent's [over episodes]",
        "why no score of the task",
    )
    note = (
        f"Means of the seeds' scores, with their interval over seeds, and of each seed over episodes ({FEW}; a single "
        "value has none). IQM: their interquartile mean, from ten seeds on. Agent: the mean of the search's "
        "distribution."
    )
    return Html(_table(runs, columns, rows, ["episodes"]) + paragraph(note, "note")) if rows else Html("")


def cost_table(runs: Sequence[FinishedRun]) -> Html:
    """Seconds and frames by strategy, the target's own and with the source's counted."""
    rows = []
    for common, (stages,), costs in _by_strategy(runs, _cost, ["stages"], "evaluate"):
        keys = ("vision", "memory", "controller", "target", "source", "both", "frames", "source_frames", "all_frames")
        rows.append((*common, stages, len(costs), *(number(_mean(costs, key)) for key in keys)))
    columns = (*COMMON_COLUMNS, "up to", "seeds", "V, s", "M, s", "C, s", "target, s", "source, s")
    columns += ("both, s", "frames", "source's frames", "both")
    return Html(_table(runs, columns, rows, columns[5:]) + paragraph(COST, "note")) if rows else Html("")


COST = (
    "Means over seeds. Seconds are those of building each artifact, whether this run built or reused it, so that "
    "sharing between runs does not make a strategy look cheap; after an interruption only the last call's count. "
    "Source: what was trained on the source task for this run; a dash where that is not known (a finished run was "
    "taken). Frames: collected to train V and M (a part with a budget below 1 trains on that share of them); C's "
    "search, held-out rollouts, probes and measures are not counted in them."
)


def _cost(run: FinishedRun) -> list[Row]:
    """One run's cost in a row; a source that exists and whose cost is not known makes the totals None."""
    rows = tidy.cost_rows(run)
    if not rows:
        return []
    seconds = {(task, stage): row["seconds"] for row in rows for task, stage in [(row["task"], row["stage"])]}
    frames = {row["task"]: row["frames"] for row in rows if row["stage"] == "collect"}
    target, source = (
        sum(value for (whose, _), value in seconds.items() if whose == task) for task in ("target", "source")
    )
    loads = bool(run.results["config"]["transfer"]["load"])
    source_known = not loads or any(task == "source" for task, _ in seconds)
    source_frames = frames.get("source") if loads else 0
    row = {stage: seconds.get(("target", stage)) for stage in ("vision", "memory", "controller")}
    row |= {
        "target": target,
        "source": source if source_known else None,
        "both": target + source if source_known else None,
    }
    row |= {"frames": frames.get("target"), "source_frames": source_frames}
    row["all_frames"] = None if source_frames is None or row["frames"] is None else source_frames + row["frames"]
    return [{**tidy.facts(run), "stages": list(run.results["stages"])[-1], **row}]


def _mean(rows: Sequence[Row], key: str) -> float | None:
    values = [row[key] for row in rows]
    return None if None in values else sum(values) / len(values)


def probe_table(runs: Sequence[FinishedRun]) -> Html:
    """R² of the probes and recall of objects on held-out rollouts, over seeds."""
    keys = ("part", "inputs", "target")
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    for model in ("vision", "memory"):

        def model_rows(run: FinishedRun, model: str = model) -> list[Row]:
            return [row for row in tidy.probe_rows(run) if row["part"] == model]

        for common, (*values, probe), rows in _by_strategy(runs, model_rows, [*keys, "probe"], f"probe_{model}"):
            lines.setdefault((*common, *values, len(rows)), {})[probe] = _explained(_over_seeds(rows, "value"))
    rows = [
        (*line, *(cells.get(probe, "–") for probe in ("linear", "mlp", "recall")))
        for line, cells in lines.items()
        if any(cell != "–" for cell in cells.values())  # there were frames enough
    ]
    columns = (*COMMON_COLUMNS, "model", "inputs", "target", "seeds")
    note = (
        "What V's z, and M's [z, h], carry of the true state: R² of a linear and a small MLP probe. Recall: share of "
        "reconstructions that still show the object. None: below 0, no better than the target's mean. Means over "
        f"seeds, with {INTERVALS}."
    )
    return (
        Html(_table(runs, [*columns, "linear R²", "MLP R²", "recall"], rows, ["seeds"]) + paragraph(note, "note"))
        if rows
        else Html("")
    )


def _explained(r2: str) -> str:
    """An R² over seeds; ``none`` below 0, where the mean of the target would have been a better guess."""
    return "none" if r2.startswith("-") else r2


def heldout_table(runs: Sequence[FinishedRun]) -> Html:
    """V's reconstruction and KL and M's NLL on the held-out rollouts that all seeds share, over seeds."""
    rows = []
    for part in PATHS:

        def part_rows(run: FinishedRun, part: str = part) -> list[Row]:
            return [row for row in tidy.heldout_rows(run) if row["part"] == part]

        for common, (measure,), figures in _by_strategy(runs, part_rows, ["measure"], f"measure_{part}"):
            rows.append((*common, HELDOUT_LABELS[measure], len(figures), _over_seeds(figures, "value")))
    note = (
        "After training, on rollouts that no model was trained on, the same for every seed: what comparisons use. "
        "Learning curves are of validation, which has a few rollouts, other ones for each seed. Means over seeds, with "
        f"{INTERVALS}; NLL is comparable only between runs with the same V."
    )
    columns = (*COMMON_COLUMNS, "figure", "seeds", "mean")
    return Html(_table(runs, columns, rows, ["seeds"]) + paragraph(note, "note")) if rows else Html("")


HELDOUT_LABELS = {
    "heldout_reconstruction": "V: squared error a frame",
    "heldout_kl": "V: KL, nats a frame",
    "heldout_nll": "M: NLL, nats per dimension",
}
MODELS = ("memory", "persistence", "reservoir", "mismatched_actions")


def measure_table(runs: Sequence[FinishedRun]) -> Html:
    """M's open-loop errors and NLL on held-out rollouts beside those of its baselines, over seeds."""

    def chosen(run: FinishedRun) -> list[Row]:
        measured = (
            row for row in tidy.measure_rows(run) if row["measure"] in ("open_loop", "nll") and row["model"] in MODELS
        )
        return [row for row in measured if row["value"] is not None]

    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    keys = ("measure", "horizon", "model")
    for common, (measure, horizon, model), rows in _by_strategy(runs, chosen, keys, "measure_memory"):
        label = "NLL" if measure == "nll" else f"{horizon} step{'s' if horizon > 1 else ''}"
        lines.setdefault((*common, label, len(rows)), {})[model] = _over_seeds(rows, "value")
    rows = [(*line, *(cells.get(model, "–") for model in MODELS)) for line, cells in lines.items()]
    columns = (*COMMON_COLUMNS, "what", "seeds", "M", "persistence", "reservoir", "mismatched actions")
    note = (
        "n steps: open-loop error as a share of the variance of μ. NLL: nats per dimension; comparable only between "
        f"runs with the same V. Means over seeds, with {INTERVALS}."
    )
    return Html(_table(runs, columns, rows, ["seeds"]) + paragraph(note, "note")) if rows else Html("")
