"""Tables and figures of finished runs: ``python experiments/vision_transfer/analyse.py RUN … [--to FOLDER]``.

What the columns and figures show is in the README. The runs may be any part of the sweeps, all of one scale. With
``--from-csv`` gains, verdicts and figures are made again from the committed curves.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from worldmodels.reports import figures, studies, tidy
from worldmodels.reports.groups import Group, Strategy, labels
from worldmodels.reports.verdict import heldout_gain
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.metrics import Curves, compare

STRATEGIES = ("scratch", "pretrained_vision", "freeze2", "freeze_encoder")
CONTROLS = {  # what each is the control of
    "from_noise": "pretrained_vision",
    "from_shuffled": "pretrained_vision",
    "random_encoder": "freeze_encoder",
}
ORDER = (*STRATEGIES, *CONTROLS)
MEASURES = {"val_reconstruction": "squared error a frame", "val_kl": "nats a frame"}
METRICS = ("jump_start", "asymptote", "area")
DECIDING = "asymptote"  # where runs have no figure of held-out rollouts, which decides
PAIR = ("question", "env", "label", "reference", "measure")
FAMILY = ("env", "question", "measure", "metric")  # of comparisons that are judged together
COUNTS = ("copied", "fresh", "frozen", "trainable")
FAIR, STUDY, CONTROL = "equal data", "as in the study", "control"
Row = dict[str, Any]


def ordered(group: Group) -> list[Strategy]:
    """A task's strategies: scratch first, all the data before half of it."""
    return sorted(group.members, key=lambda strategy: (ORDER.index(strategy.name), -strategy.budget))


def summary(group: Group) -> Iterator[Row]:
    """A row for each strategy and share of the data."""
    names = labels(group.members)
    for strategy in ordered(group):
        runs = group.members[strategy]
        row: Row = {
            "env": group.env,
            "label": names[strategy],
            "budget": strategy.budget,
            "seeds": " ".join(map(str, sorted(runs))),
        }
        for measure in MEASURES:
            if curves := group.curves(strategy, measure):
                short = measure.removeprefix("val_")
                row |= studies.bounded(f"{short}_first", curves.values[:, 0]) | studies.bounded(
                    f"{short}_last", curves.values[:, -1]
                )
        for measure in (f"heldout_{name.removeprefix('val_')}" for name in MEASURES):
            values = [run.results["vision"].get(measure) for _, run in sorted(runs.items())]
            if None not in values:
                row |= studies.bounded(measure, values)
        if seconds := group.curves(strategy, "seconds"):
            row |= studies.bounded("epoch_seconds", seconds.values.mean(axis=1))
            row |= studies.bounded("epoch_seconds_fastest", seconds.values.min(axis=1))
        loss = group.curves(strategy, "val_total")
        row["loss_last"] = float(loss.values[:, -1].mean()) if loss else None
        costs = [cost(run, strategy.budget) for run in runs.values()]
        row |= {key: float(np.mean([run_cost[key] for run_cost in costs])) for key in costs[0]}
        counts = next(iter(runs.values())).results.get("parameters", {}).get("vision", {})
        yield row | {kind: counts.get(kind) for kind in COUNTS}


def cost(run: FinishedRun, budget: float) -> Row:
    """Collected frames, times the share of them that V has, and seconds of its training; both with the source's."""
    rows = tidy.cost_rows(run)
    frames = {row["task"]: row["frames"] for row in rows if row["stage"] == "collect"}
    seconds = {row["task"]: row["seconds"] for row in rows if row["stage"] == "vision"}
    target = {"frames": budget * frames["target"], "seconds": seconds["target"]}
    source = {"frames": frames.get("source") or 0, "seconds": seconds.get("source", 0.0)}
    return target | {f"{key}_with_source": target[key] + source[key] for key in target}


def pairs(group: Group) -> Iterator[tuple[str, Strategy, Strategy]]:
    """A question, a strategy, and what it is compared with."""
    for strategy in ordered(group):
        for other in ordered(group):
            if strategy.name in CONTROLS and other.name == CONTROLS[strategy.name] and strategy.budget == other.budget:
                yield CONTROL, other, strategy
            if other.name == "scratch" != strategy.name and strategy.budget == other.budget:
                yield CONTROL if strategy.name in CONTROLS else FAIR, strategy, other
            if other.name == "scratch" and strategy.budget < other.budget:
                yield STUDY, strategy, other


def gains(group: Group) -> Iterator[Row]:
    """A row for each metric of every pair; ``per_seed`` and ``learnt`` are for the verdict."""
    names = labels(group.members)
    for question, strategy, other in pairs(group):
        for measure in MEASURES:
            curves, reference = group.curves(strategy, measure), group.curves(other, measure)
            if curves is None or reference is None or not set(curves.seeds) & set(reference.seeds):
                continue
            gains_of = compare(curves, reference, higher=False)
            gains_of |= heldout_gain(group, strategy, other, gains_of["seeds"], measure.replace("val_", "heldout_"))
            facts = {"question": question, "env": group.env, "label": names[strategy], "reference": names[other]}
            way = None if measure == "val_kl" else gains_of["learnt"]  # a KL is no loss to be brought down
            facts |= {"seeds": " ".join(map(str, gains_of["seeds"])), "measure": measure.removeprefix("val_")}
            for metric in (name for name in (*METRICS, "heldout") if name in gains_of):
                gain = gains_of[metric]
                low, high = gain["interval"] or (None, None)
                figure = {"value": gain["value"], "low": low, "high": high, "negative": gain["negative"]}
                yield {**facts, "metric": metric, **figure, "per_seed": gain["per_seed"], "learnt": way}


def gains_figure(path: Path, env: str, rows: Sequence[Row]) -> None:
    """Every gain in reconstruction at the end, on held-out rollouts where runs have that."""
    bars = []
    for row in studies.deciding([row for row in rows if row["measure"] == "reconstruction"], PAIR, DECIDING):
        interval = None if row["low"] is None else (row["low"], row["high"])
        hollow = row["verdict"] not in ("better", "worse")
        bars.append(figures.Bar(row["shown"], row["value"], interval, row["per_seed"], hollow))
    if bars:
        figure = figures.gains(f"V on {env}: reconstruction after the last epoch", MEASURES["val_reconstruction"], bars)
        figure.set_figwidth(8.5)
        figure.axes[0].set_xlabel("gain, squared error a frame (right: better than the reference)")
        figures.save(figure, path)


def panel(group: Group, title: str, measure: str, names: Sequence[str], budgets: Mapping[str, float]) -> figures.Panel:
    """Curves of the strategies, each with its share of the data."""
    curves = {}
    for strategy in ordered(group):
        strategy_curves: Curves | None = group.curves(strategy, measure)
        if strategy_curves and strategy.name in names and strategy.budget == budgets.get(strategy.name, budgets[""]):
            curves[strategy.name] = strategy_curves
    return figures.Panel(title, "epoch", MEASURES[measure], curves)


def panels(group: Group) -> Iterator[tuple[str, list[figures.Panel]]]:
    """The file of each figure of curves, and its panels: reconstruction as the study compared it, on all the data and
    on half of it, and KL as the study did.
    """
    study, reconstruction = {"": 0.5, "scratch": 1.0}, "val_reconstruction"
    yield (
        f"curves_{group.env}",
        [
            panel(group, "reconstruction: scratch on all the data", reconstruction, STRATEGIES, study),
            panel(group, "all on all of it", reconstruction, STRATEGIES, {"": 1.0}),
            panel(group, "all on half of it", reconstruction, STRATEGIES, {"": 0.5}),
            panel(group, "KL: scratch on all the data", "val_kl", STRATEGIES, study),
        ],
    )
    if any(strategy.name in CONTROLS for strategy in group.members):
        names = ("scratch", *CONTROLS.values(), *CONTROLS)
        yield f"controls_{group.env}", [panel(group, "all on all the data", reconstruction, names, {"": 1.0})]


def seconds_figure(path: Path, groups: Sequence[Group]) -> None:
    """Seconds of each fastest epoch, which other jobs disturb least: filled on all the data, hollow on half of it."""
    with matplotlib.rc_context(figures.SETTINGS):
        figure, shown = Figure((10, 3.0), layout="constrained"), {}
        for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
            names = [name for name in ORDER if any(strategy.name == name for strategy in group.members)]
            for strategy in ordered(group):
                curves = group.curves(strategy, "seconds")
                if curves is not None:
                    row = names.index(strategy.name) + (0.15 if strategy.budget < 1 else -0.15)
                    own = curves.values.min(axis=1)
                    (dots,) = axes.plot(own, [row] * len(own), "o", color="0.55", markersize=3)
                    fill, label = ("black", "all the data") if strategy.budget == 1 else ("white", "half of it")
                    shown["a seed"] = dots
                    (shown[label],) = axes.plot(own.mean(), row, "D", color="black", markerfacecolor=fill)
            axes.set_yticks(range(len(names)), names)
            axes.set(title=group.env, xlabel="seconds of the fastest epoch")
            axes.set_xlim(left=0)
            axes.invert_yaxis()
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=3)
    figures.save(figure, path)


def main() -> None:
    arguments = studies.arguments(__doc__ or "", Path(__file__).parent)
    to = arguments.to
    groups = [
        group
        for group, _ in studies.write_tables(to, studies.read(arguments.runs, "vision", arguments.from_csv), "vision")
    ]
    groups.sort(key=lambda group: (group.env != "car_racing", group.env))
    if len({group.env for group in groups}) < len(groups):
        raise SystemExit("error: expected runs with the same settings on each task, such as one vae")
    rows = {group.env: studies.judged(list(gains(group)), FAMILY) for group in groups}
    lines = [row for group in groups for row in summary(group)]
    if arguments.from_csv:
        lines = studies.carried(lines, arguments.from_csv / "summary.csv", ("env", "label"), ("loss_last", *COUNTS))
        probes = list(studies.probe_rows_again(arguments.from_csv / "probes.csv"))
    else:
        probes = [row for group in groups for row in studies.probe_rows(group, ordered(group))]
    tidy.write_csv(to / "probes.csv", probes)
    tidy.write_csv(to / "summary.csv", lines)
    studies.write_gains(to / "gains.csv", [row for own in rows.values() for row in own])
    for group in groups:
        gains_figure(to / f"gains_{group.env}.svg", group.env, rows[group.env])
        for name, all_panels in panels(group):
            if drawn := [shown for shown in all_panels if len(shown.curves) > 1]:
                width = 3.2 if len(drawn) > 2 else 6.0
                figures.save(figures.learning_curves(drawn, width=width), to / f"{name}.svg")
        whole = [strategy for strategy in ordered(group) if strategy.budget == 1] or ordered(group)
        if not arguments.from_csv:
            studies.picture(to / f"pictures_{group.env}.png", group, whole)
    seconds_figure(to / "seconds.svg", groups)


if __name__ == "__main__":
    main()
