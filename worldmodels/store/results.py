"""``results.json`` and the tables a run prints, from the artifacts it made or reused."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from worldmodels.config import Config, plain
from worldmodels.store.artifacts import RECORD, Artifact
from worldmodels.store.heldout import heldout_figures
from worldmodels.store.wording import INTERVALS, deviation, forecasts_in_words, name_of_interval
from worldmodels.utils.files import write_bytes
from worldmodels.utils.words import number_of

CHANGES_RESULTS = False

log = logging.getLogger(__name__)
PER_STAGE = {
    "vision": ("epochs",),
    "memory": ("steps", "persistence_nll"),
    "controller": ("generations", "parameters", "ended_by"),
}


def assemble(
    config: Config,
    artifacts: Mapping[str, Artifact],
    source: Mapping[str, Artifact],
    artifacts_root: str,
    source_env: str | None = None,
    heldout_artifacts: Mapping[str, Artifact] | None = None,
) -> dict[str, Any]:
    """The content of ``results.json`` (see the README for its units). Stages that were not run are absent.

    ``source``: what training the source task ``source_env`` made or reused; nothing where a finished run was taken.
    ``heldout_artifacts``: the held-out rollouts and what they say of V and M.
    """
    heldout_artifacts = heldout_artifacts or {}
    summaries = {stage: artifact.summary for stage, artifact in artifacts.items()}
    results: dict[str, Any] = {
        "env": config.env.name,
        "transfer": config.transfer.name,
        "source_env": source_env,
        "seed": config.seed,
        "scale": config.scale,
        "stages": _stages(artifacts),
        "source_stages": _stages(source),
    }
    if heldout_artifacts:
        results["heldout"] = {name: artifact.name for name, artifact in heldout_artifacts.items()}
        results["heldout_inputs"] = {
            name: artifact.manifest.get("inputs", {}) for name, artifact in heldout_artifacts.items()
        }
        if other := {name: artifact.other_code for name, artifact in heldout_artifacts.items() if artifact.other_code}:
            results["heldout_other_code"] = other
        probed = [part for part in ("vision", "memory") if f"probe_{part}" in heldout_artifacts]
        if probed:
            results["probes"] = {part: heldout_artifacts[f"probe_{part}"].summary for part in probed}
        measured = [part for part in ("vision", "memory") if f"measure_{part}" in heldout_artifacts]
        if measured:
            results["measures"] = {part: heldout_artifacts[f"measure_{part}"].summary for part in measured}
    if "collect" in summaries:
        results["collect"] = summaries["collect"]
    for stage, keys in PER_STAGE.items():
        if stage in summaries:
            results[stage] = {key: summaries[stage][key] for key in keys if key in summaries[stage]}
            if stage in results.get("measures", {}):
                results[stage] |= heldout_figures(stage, results["measures"][stage])
    if "evaluate" in summaries:
        results["evaluation"] = summaries["evaluate"]
    results["parameters"] = {part: summaries[part]["parameters"] for part in ("vision", "memory") if part in summaries}
    return {**results, "artifacts": artifacts_root, "config": plain(config)}


def _stages(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    return {
        stage: {
            "artifact": artifact.name,
            "cached": artifact.cached,
            "seconds": artifact.manifest["seconds"],
            "inputs": artifact.manifest.get("inputs", {}),  # the settings that count: which runs may be compared
        }
        | ({"other_code": artifact.other_code} if artifact.other_code else {})
        for stage, artifact in artifacts.items()
    }


def keep_films(artifact: Path, folder: Path) -> None:
    """Copy the film of an evaluated episode, mp4 and GIF, to where a person looks for it. One that cannot be copied is
    a warning.
    """
    record = artifact / RECORD
    for path in [record / "episode.mp4", *record.glob("pictures/episode.*.gif")]:
        try:
            if path.exists():
                write_bytes(folder / f"episode{path.suffix}", path.read_bytes())
        except OSError as error:
            log.warning("%s could not be copied to %s: %s", path, folder, error.strerror)


def print_parameters(parameters: Mapping[str, Any], console: Console) -> None:
    """The transfer table: where each group's parameters came from, and which train."""
    columns = ("total", "copied", "fresh", "frozen", "trainable")
    table = Table("part", *columns, title="parameters")
    for column in table.columns[1:]:
        column.justify = "right"
    for part, counts in parameters.items():
        for group, values in {"": counts, **counts["groups"]}.items():
            table.add_row(f"{part}.{group}" if group else part, *(f"{values[column]:,}" for column in columns))
    console.print(table)


def print_probes(probes: Mapping[str, Any], console: Console) -> None:
    """How much of the true state linear and small-MLP probes find in V's z and M's h, beside what they find of shuffled
    targets; and how often V's reconstructions keep objects.
    """
    columns = ("target", "linear R², 95 %", "MLP R², 95 %", "shuffled")
    table = Table(*columns, title="probes on held-out rollouts", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True
    for part in probes.values():
        for inputs, label in (("z", "z"), ("zh", "z, h")):
            for target, figures in part.get(inputs, {}).items():
                probed = [_r2(figures[kind]) for kind in ("linear", "mlp")]
                floor = max((value for value in figures["shuffled"].values() if value is not None), default=None)
                table.add_row(f"{target} ({label})", *probed, _number(floor))
    console.print(table)
    console.print(f"brackets: {INTERVALS} over rollouts", highlight=False)
    for name, figures in probes.get("vision", {}).get("objects", {}).items():
        recall = _with_interval(figures, "recall")
        console.print(f"reconstructions that still show the {name}: {recall} of {figures['frames']:,} frames")


def print_measures(measures: Mapping[str, Any], console: Console) -> None:
    """V's reconstruction and KL, and M's open-loop error and NLL, beside its baselines and M under mismatched actions,
    which come from other rollouts.
    """
    if vision := measures.get("vision"):
        figures = [_with_interval(vision[name], "value", ".4g") for name in ("reconstruction", "kl")]
        console.print(f"V on held-out rollouts: reconstruction {figures[0]}, KL {figures[1]} nats", highlight=False)
    if "memory" in measures:
        _print_memory(measures["memory"], console)


def _print_memory(figures: Mapping[str, Any], console: Console) -> None:
    forecasts, nll = figures["open_loop"], figures["nll"]
    models = {"persistence": "persistence", "reservoir": "reservoir", "mismatched_actions": "mismatched actions"}
    columns = ("", "M, 95 %", *models.values())
    table = Table(*columns, title="M on held-out rollouts", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True

    def add(label: str, by_model: Mapping[str, Any]) -> None:
        """``by_model``: the figure of each model, and M's difference to it."""
        if by_model["memory"]["value"] is None:
            return
        beaten = {name: (by_model[f"memory_minus_{name}"]["interval"] or [0, 0])[1] < 0 for name in models}
        others = [_number(by_model[name]["value"], ".3g") + (" ✓" if beaten[name] else "") for name in models]
        table.add_row(label, _with_interval(by_model["memory"], "value", ".3g"), *others)

    for index, horizon in enumerate(forecasts["horizons"]):
        by_model = {name: values[index] for name, values in forecasts.items() if isinstance(values[index], dict)}
        add(f"{horizon} {'step' if horizon == 1 else 'steps'}", by_model)
    add("NLL", nll)
    console.print(table)
    console.print(
        "n steps: open-loop error, a share of μ's variance; NLL: nats per dimension\n"
        "✓: M is better, by the interval of the difference\n"
        f"brackets: {INTERVALS} over rollouts",
        highlight=False,
    )
    console.print("; ".join(forecasts_in_words(figures)), highlight=False)
    if calibrated := figures["calibration"]:
        inside = " and ".join(f"{calibrated[f'coverage_{share}']['value']:.0%}" for share in (50, 90))
        console.print(f"of z, {inside} are in M's central 50 % and 90 % intervals", highlight=False)
    if "reward" in figures:
        console.print(f"reward: R² {_with_interval(figures['reward']['r2'], 'value')}", highlight=False)
    if "end" in figures:
        precision = _with_interval(figures["end"]["average_precision"], "value")
        chance = _number(figures["end"]["base_rate"]["value"], ".3g")
        console.print(f"end: average precision {precision}, {chance} by chance", highlight=False)


def _r2(figure: Mapping[str, Any]) -> str:
    """With its interval; ``none`` below 0, where the target's mean would have been a better guess."""
    return "none" if figure["r2"] is not None and figure["r2"] < 0 else _with_interval(figure, "r2")


def _number(value: float | None, form: str = ".2f") -> str:
    return "–" if value is None else f"{value:{form}}"


def _with_interval(figure: Mapping[str, Any], key: str, form: str = ".2f") -> str:
    low, high = (_number(limit, form) for limit in figure["interval"] or (None, None))
    return f"{_number(figure[key], form)} [{low}, {high}]"


def headline(stage: str, results: Mapping[str, Any]) -> str:
    """What a stage gave, in a line."""
    if stage in ("collect", "encode"):
        data = results["collect"]
        return f"{number_of(data['rollouts'], 'rollout')}, {number_of(data['frames'], 'frame')}"
    if stage == "vision":
        vision = results["vision"]
        text = "all frozen, not trained"
        if epochs := vision["epochs"]:
            first, last = (_number(row["val_reconstruction"], ".1f") for row in (epochs[0], epochs[-1]))
            text = f"validation reconstruction {first} → {last}, KL {_number(epochs[-1]['val_kl'], '.1f')} nats"
        if "heldout_reconstruction" in vision:
            figures = [_number(vision[name], ".1f") for name in ("heldout_reconstruction", "heldout_kl")]
            text += "; held-out {}, KL {}".format(*figures)
        return text
    if stage == "memory":
        memory = results["memory"]
        text = "all frozen, not trained"
        if steps := memory["steps"]:
            nll, floor = _number(steps[-1]["val_nll"], ".3f"), _number(memory["persistence_nll"], ".3f")
            text = f"validation NLL {nll} (persistence {floor})"
        return text + (f"; held-out {_number(memory['heldout_nll'], '.3f')}" if "heldout_nll" in memory else "")
    if stage == "controller":
        generations = results["controller"]["generations"]
        text = f"population mean {generations[0]['mean']:.1f} → {generations[-1]['mean']:.1f}"
        dreamt = [row for row in generations if "dream" in row]
        told = "; held-out dreams {dream:.1f}, the task {validation:.1f} at generation {generation}"
        return text + (told.format(**dreamt[-1]) if dreamt else "")
    return score_line(results["evaluation"])


def score_line(score: Mapping[str, Any]) -> str:
    """An evaluation in a line."""
    low, high = (_number(limit, ".1f") for limit in score["interval"] or (None, None))
    why = score.get("unofficial") or "episodes cut"
    note = "" if score["official"] else f" (not the official task: {why})"
    episodes = number_of(score["episodes"], "episode")
    return (
        f"{score['mean']:.1f} ± {deviation(score)}, {name_of_interval(score['episodes'])} [{low}, {high}], {episodes}; "
        f"random {score['random']['mean']:.1f}{note}"
    )
