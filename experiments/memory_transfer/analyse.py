"""Tables and figures of finished runs: ``python experiments/memory_transfer/analyse.py RUN … [--to FOLDER]``.

What the columns and figures show is in the README. The runs may be any part of the sweeps, all of one scale. With
``--from-csv`` gains, verdicts and figures are made again from the committed curves.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.reports import committed, figures, studies, tidy
from worldmodels.reports.groups import Group, Strategy, artifact
from worldmodels.reports.verdict import DECIDING, JUDGED, UNITS, heldout_gain
from worldmodels.transfer.metrics import METRICS, Curves, compare, compare_values, paired
from worldmodels.utils.statistics import seed_estimate

MEASURE = JUDGED["memory"][0]
ENDING = DECIDING["memory"]  # where there is no figure of held-out rollouts, which decides
PAIR = ("question", "label", "reference", "budget")
HORIZONS = (1, 10, 50, 100)  # of the forecasts in measures.csv
STRATEGIES = ("pretrained_memory", "freeze_lstm", "freeze_mdn", "random_lstm")
SMALL = 0.01  # nats per dimension; greater gains are drawn on a log axis
LAYERED = STRATEGIES[:2]  # of which there are runs with every input layer
LAYERS = ("keep_latent", "adapter")
VISIONS = {  # M from scratch and M from the source, on one V
    "own V": ("scratch", "pretrained_memory keep_latent"),
    "fine-tuned source V": ("pretrained_vision fine-tuned V", "aligned fine-tuned V"),
    "frozen source V": ("pretrained_vision frozen V", "aligned frozen V"),
}
PAIRS = (  # question, strategy, reference
    *(("strategies", strategy, "scratch") for strategy in STRATEGIES),
    ("strategies", "freeze_lstm", "random_lstm"),
    *(("input_layers", f"{name} {layer}", to) for name in LAYERED for layer in LAYERS for to in ("scratch", name)),
    *(("alignment", transferred, scratch) for scratch, transferred in VISIONS.values()),
)
UNLIKE = ("time_to_threshold", "transfer_ratio")  # metrics that are not in the unit of what a reference learns
FAMILY = ("question", "metric")  # of comparisons that are judged together
KINDS = ("copied", "fresh", "frozen", "trainable")
Row = dict[str, Any]


def name(strategy: Strategy) -> str:
    """A strategy, with the input layer if not its usual one, and what became of the source's V."""
    transfer = json.loads(strategy.rest)
    words = [strategy.name]
    if transfer["input_layer"] != ("keep_latent" if strategy.name == "aligned" else "reinit"):
        words.append(transfer["input_layer"])
    if "vision" in transfer["load"]:
        words.append("frozen V" if "vision" in transfer["freeze"] else "fine-tuned V")
    return " ".join(words)


def label(strategy: Strategy) -> str:
    """A strategy's `name` with its share of the steps, and that of V's data, where it is not all."""
    shares = {"": strategy.budget, "V ": strategy.budget_of("vision")}
    return " ".join([name(strategy), *(f"{of}×{share:g}" for of, share in shares.items() if share != 1)])


def strategies_named(group: Group, called: str, least: float = 0.0) -> list[Strategy]:
    """Strategies of this `name` with as much budget or more, the greatest first."""
    strategies = [strategy for strategy in group.members if name(strategy) == called and strategy.budget >= least]
    return sorted(strategies, key=lambda strategy: (-strategy.budget, -strategy.budget_of("vision")))


def curves(group: Group, strategy: Strategy, reference: Strategy) -> Curves | None:
    """A strategy's curves, of the seeds whose M learns the latents of the V that the reference's has."""
    runs, reference_runs = group.members[strategy], group.members[reference]
    alike = {
        seed: run
        for seed, run in runs.items()
        if seed in reference_runs and artifact(run, "vision") == artifact(reference_runs[seed], "vision")
    }
    return replace(group, members={strategy: alike}).curves(strategy, MEASURE)


def compared(group: Group, strategy: Strategy, called: str) -> tuple[Strategy, Row] | None:
    """The gains over the first strategy called ``called`` that was trained as long or longer on the same V."""
    for reference in strategies_named(group, called, strategy.budget):
        strategy_curves, reference_curves = curves(group, strategy, reference), curves(group, reference, strategy)
        if strategy_curves and reference_curves and set(strategy_curves.seeds) & set(reference_curves.seeds):
            gain = {
                **compare(strategy_curves, reference_curves, higher=False),
                "time_to_threshold": time_saved(strategy_curves, reference_curves),
            }
            return reference, gain | heldout_gain(group, strategy, reference, gain["seeds"])
    return None


def time_saved(transfer: Curves, reference: Curves) -> Row:
    """Steps saved to a threshold of each seed's own: each has another V, so that one NLL for all would be early for
    some and out of reach for others.
    """

    def single(curves: Curves, seed: int) -> Curves:
        return Curves(curves.x, curves.values[[curves.seeds.index(seed)]], (seed,))

    comparisons = {
        seed: compare(single(transfer, seed), single(reference, seed), higher=False)
        for seed in transfer.seeds
        if seed in reference.seeds
    }
    saved = {seed: comparison["time_to_threshold"]["value"] for seed, comparison in comparisons.items()}
    if None in saved.values():
        return dict.fromkeys(("value", "interval", "negative", "per_seed"))
    return compare_values(saved, dict.fromkeys(saved, 0.0), higher=True)


def gains(group: Group) -> Iterator[Row]:
    """A row for each metric of every pair; ``per_seed`` is for the figure."""
    worth: dict[str, Row] = {}  # of M's transfer, by what V is
    for question, called, to in PAIRS:
        for strategy in strategies_named(group, called):
            if comparison := compared(group, strategy, to):
                reference, gain = comparison
                yield from gain_rows(question, label(strategy), label(reference), strategy.budget, gain)
                if question == "alignment" and strategy.budget == 1:
                    worth |= {vision: gain for vision, pair in VISIONS.items() if called in pair}
    own_gain = worth.pop("own V", None)
    for vision, gain in worth.items() if own_gain else ():
        yield from gain_rows(
            "alignment", f"gain with {vision}", "gain with own V", 1.0, more_worth(gain, own_gain or {})
        )


def more_worth(gain: Row, reference: Row) -> Row:
    """How much greater one gain is than another, paired by seed. No ratios: their unit is another with every V."""
    difference: Row = {"seeds": sorted(set(gain["seeds"]) & set(reference["seeds"])), "learnt": reference["learnt"]}
    shared = [metric for metric in (*METRICS[:-1], "heldout") if metric in gain and metric in reference]
    for metric in shared if difference["seeds"] else ():
        sides = [dict(zip(side["seeds"], side[metric]["per_seed"] or (), strict=False)) for side in (gain, reference)]
        if all(sides):
            difference[metric] = compare_values(sides[0], sides[1], higher=True)
    return difference


def gain_rows(question: str, called: str, reference: str, budget: float, gains_of: Row) -> Iterator[Row]:
    seeds = " ".join(map(str, gains_of["seeds"]))
    facts = {"question": question, "label": called, "reference": reference, "budget": budget, "seeds": seeds}
    for metric in (*METRICS, "heldout"):
        if metric in gains_of:
            gain = gains_of[metric]
            low, high = gain["interval"] or (None, None)
            figure = {"value": gain["value"], "low": low, "high": high, "negative": gain["negative"]}
            way = None if metric in UNLIKE else gains_of["learnt"]
            yield {**facts, "metric": metric, **figure, "per_seed": gain["per_seed"], "learnt": way}


def measures(group: Group) -> Iterator[Row]:
    """On held-out rollouts, for each run: how many latent dimensions V uses, M's NLL, and its forecasts' errors."""
    for strategy, runs in sorted(group.members.items(), key=lambda item: label(item[0])):
        for seed, run in sorted(runs.items()):
            if figures_of := run.results.get("measures", {}).get("memory"):
                used = {"measure": "active_dimensions", "horizon": None, "value": figures_of["active_dimensions"]}
                yield {"label": label(strategy), "seed": seed, **used}
            for row in tidy.measure_rows(run):
                pictured = row["measure"] == "nll" or (row["measure"] == "open_loop" and row["horizon"] in HORIZONS)
                if row["model"] == "memory" and pictured and row["value"] is not None:
                    figure = {key: row[key] for key in ("measure", "horizon", "value", "low", "high")}
                    yield {"label": label(strategy), "seed": seed, **figure}


def by_seed(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], dict[str, float]]:
    """The NLL and the active dimensions of each label and seed in the rows of `measures`."""
    result: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        if not row["horizon"]:
            result.setdefault((row["label"], int(row["seed"])), {})[row["measure"]] = float(row["value"])
    return result


def summary(group: Group, measured: Mapping[tuple[str, int], Mapping[str, float]]) -> Iterator[Row]:
    """A row for each strategy and budget. ``measured``: of `by_seed`."""
    for strategy, runs in sorted(group.members.items(), key=lambda item: label(item[0])):
        strategy_curves = group.curves(strategy, MEASURE)
        if strategy_curves is None:
            continue
        row: Row = {
            "label": label(strategy),
            "seeds": " ".join(map(str, strategy_curves.seeds)),
            "steps": int(strategy_curves.x[-1]),
        }
        trained = [runs[seed].results for seed in strategy_curves.seeds]
        parameters = [results.get("parameters", {}).get("memory", {}) for results in trained]
        middle = np.array(
            [np.interp(strategy_curves.x[-1] / 2, strategy_curves.x, values) for values in strategy_curves.values]
        )
        first, last = strategy_curves.values[:, 0], strategy_curves.values[:, -1]
        figures_of: dict[str, Any] = {"first": first, "last": last, "late": middle - last}
        diagnostics = [measured.get((label(strategy), seed), {}) for seed in strategy_curves.seeds]
        if all("nll" in one for one in diagnostics):
            figures_of["heldout"] = [one["nll"] for one in diagnostics]
            row["active"] = float(np.mean([one["active_dimensions"] for one in diagnostics]))
        for key, values in figures_of.items():
            figure = seed_estimate(values)
            low, high = figure["interval"] or (None, None)
            row |= {key: figure["value"], f"{key}_low": low, f"{key}_high": high}
        floors = [results["memory"].get("persistence_nll") for results in trained]
        row["persistence"] = None if None in floors else float(np.mean(floors))
        row |= {kind: parameters[0].get(kind) for kind in KINDS}
        yield row | {"seconds": float(np.mean([results["stages"]["memory"]["seconds"] for results in trained]))}


def chosen(group: Group, strategies: Mapping[str, Sequence[Strategy]]) -> dict[str, Curves]:
    """Curves of the first strategy given for each name, of the runs on the V of the first one that there is."""
    firsts = {called: candidates[0] for called, candidates in strategies.items() if candidates}
    reference = next(iter(firsts.values()), None)
    drawn = {called: curves(group, strategy, reference) for called, strategy in firsts.items() if reference}
    return {called: strategy_curves for called, strategy_curves in drawn.items() if strategy_curves}


def gained(transfer: Curves, reference: Curves) -> Curves:
    """The gain at every step, seed by seed."""
    transfer, reference = paired(transfer, reference)
    return Curves(transfer.x, reference.values - transfer.values, transfer.seeds)


def over_scratch(title: str, drawn: Mapping[str, Curves]) -> figures.Panel:
    """A panel of gains over the curve that is called scratch; empty without it."""
    scratch = drawn.get("scratch")
    gains_of = (
        {called: gained(strategy_curves, scratch) for called, strategy_curves in drawn.items()}
        if scratch and len(drawn) > 1
        else {}
    )
    return figures.Panel(title, "step", f"gain, {UNITS['memory']}", gains_of)


def panels(group: Group) -> Iterator[tuple[str, list[figures.Panel]]]:
    """The file of each figure of curves, and its panels."""
    axes = ("step", f"NLL, {UNITS['memory']}")
    scratch = {"scratch": strategies_named(group, "scratch")}
    drawn_panels, drawn = [], {}
    for budget in sorted({strategy.budget for one in STRATEGIES for strategy in strategies_named(group, one)} or {1.0}):
        by_name = {
            one: [strategy for strategy in strategies_named(group, one) if strategy.budget == budget]
            for one in STRATEGIES
        }
        title = "all the steps" if budget == 1 else f"×{budget:g} of the steps, scratch in all"
        drawn = chosen(group, scratch | by_name)
        drawn_panels.append(figures.Panel(title, *axes, drawn))
    yield "curves", [*drawn_panels, over_scratch("gain over scratch", drawn)]

    drawn_panels = []
    for one in LAYERED:
        layers = {"reinit": strategies_named(group, one)} | {
            layer: strategies_named(group, f"{one} {layer}") for layer in LAYERS
        }
        drawn_panels.append(over_scratch(one, chosen(group, scratch | layers)))
    yield "input_layers", drawn_panels

    drawn_panels, worth = [], {}
    for vision, (fresh, transferred) in VISIONS.items():
        both = {
            "M from scratch": strategies_named(group, fresh),
            "M from the source": strategies_named(group, transferred),
        }
        drawn = chosen(group, both)
        drawn_panels.append(figures.Panel(vision, *axes, drawn))
        if len(drawn) == 2:
            reference, transfer = drawn.values()
            worth |= {"M from scratch": gained(reference, reference), vision: gained(transfer, reference)}
    yield "alignment", [*drawn_panels, figures.Panel("gain of M's transfer", "step", f"gain, {UNITS['memory']}", worth)]


def gains_figure(path: Path, rows: Sequence[Row]) -> None:
    """Every row of the metric that decides, on held-out rollouts where there is that; a line between two questions."""
    deciding = studies.deciding(rows, PAIR, ENDING)
    bars = []
    for row in deciding:
        interval = None if row["low"] is None else (row["low"], row["high"])
        hollow = row["verdict"] not in ("better", "worse")
        bars.append(figures.Bar(row["shown"], row["value"], interval, row["per_seed"], hollow))
    if bars:
        figure = figures.gains("M: NLL at the end", UNITS["memory"], bars)
        figure.set_figwidth(9)
        axes = figure.axes[0]
        axes.set_xscale("symlog", linthresh=SMALL)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"gain, {UNITS['memory']} (right: better than the reference)")
        for index in range(1, len(deciding)):
            if deciding[index]["question"] != deciding[index - 1]["question"]:
                axes.axhline(index - 0.5, color="0.8", linewidth=0.8)
        figures.save(figure, path)


def main() -> None:
    arguments = studies.arguments(__doc__ or "", Path(__file__).parent)
    to = arguments.to
    groups = [
        group
        for group, _ in studies.write_tables(to, studies.read(arguments.runs, "memory", arguments.from_csv), "memory")
    ]
    if len(groups) != 1:
        raise SystemExit("error: expected runs of one task and settings")
    group = groups[0]
    rows = studies.judged(list(gains(group)), FAMILY)
    studies.write_gains(to / "gains.csv", rows)
    tables = arguments.from_csv
    measured = committed.table(tables / "measures.csv") if tables else list(measures(group))
    lines = list(summary(group, by_seed(measured)))
    if tables:
        lines = studies.carried(lines, tables / "summary.csv", ("label",), ("persistence", *KINDS))
    else:
        tidy.write_csv(to / "measures.csv", measured)
    tidy.write_csv(to / "summary.csv", lines)
    gains_figure(to / "gains.svg", rows)
    for file, file_panels in panels(group):
        if drawn := [panel for panel in file_panels if panel.curves]:
            width = 3.4 if len(drawn) > 2 else figures.PANEL[0]
            figures.save(figures.learning_curves(drawn, width=width), to / f"{file}.svg")


if __name__ == "__main__":
    main()
