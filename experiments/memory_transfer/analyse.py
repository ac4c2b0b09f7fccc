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
from worldmodels.reports.verdict import DECIDING, JUDGED, UNITS, held_out
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
    *(("strategies", each, "scratch") for each in STRATEGIES),
    ("strategies", "freeze_lstm", "random_lstm"),
    *(("input_layers", f"{each} {layer}", to) for each in LAYERED for layer in LAYERS for to in ("scratch", each)),
    *(("alignment", transferred, scratch) for scratch, transferred in VISIONS.values()),
)
UNLIKE = ("time_to_threshold", "transfer_ratio")  # metrics that are not in the unit of what a reference learns
FAMILY = ("question", "metric")  # of comparisons that are judged together
KINDS = ("copied", "fresh", "frozen", "trainable")
Row = dict[str, Any]


def name(each: Strategy) -> str:
    """A strategy, with the input layer if not its usual one, and what became of the source's V."""
    transfer = json.loads(each.rest)
    words = [each.name]
    if transfer["input_layer"] != ("keep_latent" if each.name == "aligned" else "reinit"):
        words.append(transfer["input_layer"])
    if "vision" in transfer["load"]:
        words.append("frozen V" if "vision" in transfer["freeze"] else "fine-tuned V")
    return " ".join(words)


def label(each: Strategy) -> str:
    """A strategy's `name` with its share of the steps, and that of V's data, where it is not all."""
    shares = {"": each.budget, "V ": each.budget_of("vision")}
    return " ".join([name(each), *(f"{of}×{share:g}" for of, share in shares.items() if share != 1)])


def named(group: Group, wanted: str, least: float = 0.0) -> list[Strategy]:
    """Strategies of this `name` with as much budget or more, the greatest first."""
    found = [each for each in group.members if name(each) == wanted and each.budget >= least]
    return sorted(found, key=lambda each: (-each.budget, -each.budget_of("vision")))


def curves(group: Group, each: Strategy, reference: Strategy) -> Curves | None:
    """A strategy's curves, of the seeds whose M learns the latents of the V that the reference's has."""
    own, other = group.members[each], group.members[reference]
    alike = {
        seed: run
        for seed, run in own.items()
        if seed in other and artifact(run, "vision") == artifact(other[seed], "vision")
    }
    return replace(group, members={each: alike}).curves(each, MEASURE)


def compared(group: Group, each: Strategy, wanted: str) -> tuple[Strategy, Row] | None:
    """The gains over the first strategy called ``wanted`` that was trained as long or longer on the same V."""
    for reference in named(group, wanted, each.budget):
        own, other = curves(group, each, reference), curves(group, reference, each)
        if own and other and set(own.seeds) & set(other.seeds):
            found = {**compare(own, other, higher=False), "time_to_threshold": time_saved(own, other)}
            return reference, found | held_out(group, each, reference, found["seeds"])
    return None


def time_saved(own: Curves, other: Curves) -> Row:
    """Steps saved to a threshold of each seed's own: each has another V, so that one NLL for all would be early for
    some and out of reach for others.
    """

    def single(curves: Curves, seed: int) -> Curves:
        return Curves(curves.x, curves.values[[curves.seeds.index(seed)]], (seed,))

    found = {
        seed: compare(single(own, seed), single(other, seed), higher=False) for seed in own.seeds if seed in other.seeds
    }
    saved = {seed: each["time_to_threshold"]["value"] for seed, each in found.items()}
    if None in saved.values():
        return dict.fromkeys(("value", "interval", "negative", "per_seed"))
    return compare_values(saved, dict.fromkeys(saved, 0.0), higher=True)


def gains(group: Group) -> Iterator[Row]:
    """A row for each metric of every pair; ``per_seed`` is for the figure."""
    worth: dict[str, Row] = {}  # of M's transfer, by what V is
    for question, wanted, to in PAIRS:
        for each in named(group, wanted):
            if found := compared(group, each, to):
                reference, gain = found
                yield from gain_rows(question, label(each), label(reference), each.budget, gain)
                if question == "alignment" and each.budget == 1:
                    worth |= {vision: gain for vision, pair in VISIONS.items() if wanted in pair}
    own = worth.pop("own V", None)
    for vision, given in worth.items() if own else ():
        yield from gain_rows("alignment", f"gain with {vision}", "gain with own V", 1.0, more_worth(given, own or {}))


def more_worth(given: Row, own: Row) -> Row:
    """How much greater one gain is than another, paired by seed. No ratios: their unit is another with every V."""
    found: Row = {"seeds": sorted(set(given["seeds"]) & set(own["seeds"])), "learnt": own["learnt"]}
    shared = [metric for metric in (*METRICS[:-1], "heldout") if metric in given and metric in own]
    for metric in shared if found["seeds"] else ():
        sides = [dict(zip(side["seeds"], side[metric]["per_seed"] or (), strict=False)) for side in (given, own)]
        if all(sides):
            found[metric] = compare_values(sides[0], sides[1], higher=True)
    return found


def gain_rows(question: str, called: str, reference: str, budget: float, found: Row) -> Iterator[Row]:
    seeds = " ".join(map(str, found["seeds"]))
    facts = {"question": question, "label": called, "reference": reference, "budget": budget, "seeds": seeds}
    for metric in (*METRICS, "heldout"):
        if metric in found:
            gain = found[metric]
            low, high = gain["interval"] or (None, None)
            figure = {"value": gain["value"], "low": low, "high": high, "negative": gain["negative"]}
            way = None if metric in UNLIKE else found["learnt"]
            yield {**facts, "metric": metric, **figure, "per_seed": gain["per_seed"], "learnt": way}


def measures(group: Group) -> Iterator[Row]:
    """On held-out rollouts, for each run: how many latent dimensions V uses, M's NLL, and its forecasts' errors."""
    for each, runs in sorted(group.members.items(), key=lambda item: label(item[0])):
        for seed, run in sorted(runs.items()):
            if found := run.results.get("measures", {}).get("memory"):
                used = {"measure": "active_dimensions", "horizon": None, "value": found["active_dimensions"]}
                yield {"label": label(each), "seed": seed, **used}
            for row in tidy.measure_rows(run):
                wanted = row["measure"] == "nll" or (row["measure"] == "open_loop" and row["horizon"] in HORIZONS)
                if row["model"] == "memory" and wanted and row["value"] is not None:
                    figure = {key: row[key] for key in ("measure", "horizon", "value", "low", "high")}
                    yield {"label": label(each), "seed": seed, **figure}


def by_seed(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], dict[str, float]]:
    """The NLL and the active dimensions of each label and seed in the rows of `measures`."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        if not row["horizon"]:
            found.setdefault((row["label"], int(row["seed"])), {})[row["measure"]] = float(row["value"])
    return found


def summary(group: Group, measured: Mapping[tuple[str, int], Mapping[str, float]]) -> Iterator[Row]:
    """A row for each strategy and budget. ``measured``: of `by_seed`."""
    for each, runs in sorted(group.members.items(), key=lambda item: label(item[0])):
        found = group.curves(each, MEASURE)
        if found is None:
            continue
        row: Row = {"label": label(each), "seeds": " ".join(map(str, found.seeds)), "steps": int(found.x[-1])}
        trained = [runs[seed].results for seed in found.seeds]
        known = [results.get("parameters", {}).get("memory", {}) for results in trained]
        middle = np.array([np.interp(found.x[-1] / 2, found.x, values) for values in found.values])
        first, last = found.values[:, 0], found.values[:, -1]
        given: dict[str, Any] = {"first": first, "last": last, "late": middle - last}
        told = [measured.get((label(each), seed), {}) for seed in found.seeds]
        if all("nll" in one for one in told):
            given["heldout"] = [one["nll"] for one in told]
            row["active"] = float(np.mean([one["active_dimensions"] for one in told]))
        for key, values in given.items():
            figure = seed_estimate(values)
            low, high = figure["interval"] or (None, None)
            row |= {key: figure["value"], f"{key}_low": low, f"{key}_high": high}
        floors = [results["memory"].get("persistence_nll") for results in trained]
        row["persistence"] = None if None in floors else float(np.mean(floors))
        row |= {kind: known[0].get(kind) for kind in KINDS}
        yield row | {"seconds": float(np.mean([results["stages"]["memory"]["seconds"] for results in trained]))}


def chosen(group: Group, wanted: Mapping[str, Sequence[Strategy]]) -> dict[str, Curves]:
    """Curves of the first strategy given for each name, of the runs on the V of the first one that there is."""
    firsts = {called: found[0] for called, found in wanted.items() if found}
    reference = next(iter(firsts.values()), None)
    drawn = {called: curves(group, each, reference) for called, each in firsts.items() if reference}
    return {called: own for called, own in drawn.items() if own}


def gained(own: Curves, reference: Curves) -> Curves:
    """The gain at every step, seed by seed."""
    own, reference = paired(own, reference)
    return Curves(own.x, reference.values - own.values, own.seeds)


def over_scratch(title: str, drawn: Mapping[str, Curves]) -> figures.Panel:
    """A panel of gains over the curve that is called scratch; empty without it."""
    scratch = drawn.get("scratch")
    own = {called: gained(each, scratch) for called, each in drawn.items()} if scratch and len(drawn) > 1 else {}
    return figures.Panel(title, "step", f"gain, {UNITS['memory']}", own)


def panels(group: Group) -> Iterator[tuple[str, list[figures.Panel]]]:
    """The file of each figure of curves, and its panels."""
    axes = ("step", f"NLL, {UNITS['memory']}")
    scratch = {"scratch": named(group, "scratch")}
    found, drawn = [], {}
    for budget in sorted({each.budget for one in STRATEGIES for each in named(group, one)} or {1.0}):
        own = {one: [each for each in named(group, one) if each.budget == budget] for one in STRATEGIES}
        title = "all the steps" if budget == 1 else f"×{budget:g} of the steps, scratch in all"
        drawn = chosen(group, scratch | own)
        found.append(figures.Panel(title, *axes, drawn))
    yield "curves", [*found, over_scratch("gain over scratch", drawn)]

    found = []
    for one in LAYERED:
        layers = {"reinit": named(group, one)} | {layer: named(group, f"{one} {layer}") for layer in LAYERS}
        found.append(over_scratch(one, chosen(group, scratch | layers)))
    yield "input_layers", found

    found, worth = [], {}
    for vision, (fresh, transferred) in VISIONS.items():
        both = {"M from scratch": named(group, fresh), "M from the source": named(group, transferred)}
        drawn = chosen(group, both)
        found.append(figures.Panel(vision, *axes, drawn))
        if len(drawn) == 2:
            reference, own = drawn.values()
            worth |= {"M from scratch": gained(reference, reference), vision: gained(own, reference)}
    yield "alignment", [*found, figures.Panel("gain of M's transfer", "step", f"gain, {UNITS['memory']}", worth)]


def gains_figure(path: Path, rows: Sequence[Row]) -> None:
    """Every row of the metric that decides, on held-out rollouts where there is that; a line between two questions."""
    shown = studies.deciding(rows, PAIR, ENDING)
    bars = []
    for row in shown:
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
        for place in range(1, len(shown)):
            if shown[place]["question"] != shown[place - 1]["question"]:
                axes.axhline(place - 0.5, color="0.8", linewidth=0.8)
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
    given = arguments.from_csv
    measured = committed.table(given / "measures.csv") if given else list(measures(group))
    lines = list(summary(group, by_seed(measured)))
    if given:
        lines = studies.carried(lines, given / "summary.csv", ("label",), ("persistence", *KINDS))
    else:
        tidy.write_csv(to / "measures.csv", measured)
    tidy.write_csv(to / "summary.csv", lines)
    gains_figure(to / "gains.svg", rows)
    for file, given in panels(group):
        if drawn := [each for each in given if each.curves]:
            width = 3.4 if len(drawn) > 2 else figures.PANEL[0]
            figures.save(figures.learning_curves(drawn, width=width), to / f"{file}.svg")


if __name__ == "__main__":
    main()
