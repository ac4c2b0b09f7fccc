"""The sections that judge: what to use when, and the transfer matrix."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from worldmodels.reports.deciding import Proposal, equal_budget, more_seeds
from worldmodels.reports.figures import colour_of
from worldmodels.reports.groups import Group
from worldmodels.reports.page import Html, command, estimate, folded, listing, named, number, paragraph, table
from worldmodels.reports.verdict import JUDGED, MARGIN, UNITS, Comparison, decision, margin_of, ranked
from worldmodels.utils.comparing import FEWEST, Judgement

SMOKE = "smoke"  # a scale
ORDER = ("evaluate", "controller", "vision", "memory")  # the agent first
MARKS = {"better": "▲", "worse": "▼", "similar": "≈", "identical": "=", "undecided": "·"}
COLUMNS = {  # metric: what its column is called
    "heldout": "held-out",
    "jump_start": "jump-start",
    "asymptote": "asymptote",
    "area": "area",
    "time_to_threshold": "time saved",
    "transfer_ratio": "ratio",
}
Judged = Sequence[tuple[Group, Sequence[Comparison]]]

FAMILY = "within one task and settings; differences and equivalences each at 5 %"
HOW = (
    "A gain is the paired difference to scratch with the same task, settings and seeds; above 0, transfer helps, "
    "whether more is better or less. Brackets: 95 % interval over seeds, if gains are near normal (Student's t; of ten "
    "seeds or more corrected for skewness). V and M are judged after training on the held-out rollouts that all seeds "
    "share; where a run has no such figure, by the asymptote of validation, whose rollouts are others for each seed "
    f"(the line says so). Better or worse: the mean is not 0, by Holm {FAMILY}. Similar: it lies within ± {MARGIN:.0%} "
    "of what scratch itself has learnt, by validation (of a score: of its lead over a random agent), by two one-sided "
    "tests, Holm as well. That margin is estimated from the same seeds: its own interval stands beside it, and its "
    "error is no part of the test. Identical: every paired difference is exactly 0, which is no comparison, and is not "
    f"tested. All else is undecided, and so is everything of fewer than {FEWEST} seeds: that is no finding of no "
    "difference."
)
METHOD = (
    "Metrics of Taylor & Stone 2009 (JMLR 10:1633–1685) on V's validation reconstruction, M's validation NLL and C's "
    "population mean, over the stretch that both curves have. Held-out: gain after training on the held-out rollouts "
    "that all seeds share, which decides for V and M. Jump-start: gain at the first point recorded. Asymptote: gain of "
    "the mean of the last tenth, which decides for V and M where there is no held-out figure. Area: gain of the mean "
    "height, which decides for C, whose single generations are noise. Time saved: to 90 % of scratch's own "
    "progress; a run that never gets there counts with all the time it had, and n/m says how many got there with "
    "transfer and from scratch. Ratio: gain in area over scratch's area, for returns above a random agent's; a dash "
    "where an area is not above it. Budget: the share of data or steps that V and M trained on, as V/M where they "
    "differ; a part beside a transferred one has all of it."
)
KEY = (
    f"{MARKS['better']} better than scratch, {MARKS['worse']} worse, {MARKS['similar']} similar, "
    f"{MARKS['identical']} identical, {MARKS['undecided']} undecided; (in brackets): "
    "not comparable, see below."
)


def verdicts(judged: Judged, differing: dict[str, str]) -> Html:
    """What to use when, for each task: strategies ranked by their gain. ``differing``: what sets settings apart."""
    parts = []
    for env in dict.fromkeys(group.env for group, _ in judged):
        of_task = [pair for pair in judged if pair[0].env == env]
        of_task.sort(key=lambda pair: ORDER.index(pair[0].part))
        lines = [_verdict(group, compared, differing[group.settings]) for group, compared in of_task]
        parts += [f"<h3>{escape(env)}</h3>\n", *lines]
    return Html("".join(parts) + folded("How this is judged", paragraph(HOW, "note"))) if parts else Html("")


def _verdict(group: Group, compared: Sequence[Comparison], settings: str) -> str:
    head = f"<b>{escape(JUDGED[group.part][2])}</b>, {group.scale}{f' ({escape(settings)})' if settings else ''}: "
    strategies = [item for item in group.members if not item.scratch]
    if group.scale == SMOKE:
        return paragraph(Html(head + f"no verdict: {SMOKE} is for tests, and nothing is learnt in it."))
    if not strategies:
        return paragraph(Html(head + "scratch only; nothing to compare."))
    if len(strategies) == len(group.members):
        return paragraph(Html(head + "no scratch run with these settings; nothing to compare with."))
    if not compared:
        return paragraph(Html(head + "no seed in common with scratch, or nothing trained; nothing to compare."))
    fair = ranked(compared)
    if not fair:
        lines = [paragraph(Html(f"{head}<b>undecided: no comparison at equal budget.</b>"))]
    else:
        lines = [_against(head, [item for item in fair if item["reference"] == one], group) for one in _order(fair)]
    reasons = dict.fromkeys(item["unfair"] for item in compared if item["unfair"])
    labels = {
        reason: dict.fromkeys(item["label"] for item in compared if item["unfair"] == reason) for reason in reasons
    }
    unfair = [f"{reason}: {', '.join(names)}" for reason, names in labels.items()]
    rest = paragraph(f"Not judged. {'. '.join(unfair)}.", "note") if unfair else ""
    return "".join(lines) + rest + _at_equal_budget(group, compared)


def _at_equal_budget(group: Group, compared: Sequence[Comparison]) -> str:
    """What would compare strategies that were compared at unequal budgets alone."""
    judged = {item["label"] for item in compared if not item["unfair"]}
    waiting = [item for item in compared if item["unfair"].startswith("budget") and item["label"] not in judged]
    if not waiting:
        return ""
    reference = waiting[0]["reference"]
    return _proposed(equal_budget(group, [item for item in waiting if item["reference"] == reference]))


def _order(fair: Sequence[Comparison]) -> list[str]:
    """What there is to compare with, scratch with the greatest budget first."""
    return list(dict.fromkeys(item["reference"] for item in sorted(fair, key=lambda item: -item["reference_budget"])))


def _proposed(proposal: Proposal) -> str:
    """What would decide an undecided comparison."""
    if proposal.command is None:
        return paragraph(f"To decide it would take {proposal.told}.", "note")
    return paragraph(f"To decide it, {proposal.told}:", "note") + command(proposal.command)


def _against(head: str, fair: Sequence[Comparison], group: Group) -> str:
    """The advice of fair comparisons with one reference, the greatest gain first, each of them, and what would decide
    those that are undecided.
    """
    items, part = [], group.part
    for comparison in fair:
        gain = comparison[comparison["deciding"]]
        source = f" from {comparison['source_env']}" if comparison["source_env"] else ""
        told = (
            f"{source}: {_verdict_of(comparison)}, gain {estimate(gain, sign=True)} "
            f"{UNITS[part]}, {_seeds(comparison)}{_tested(comparison)}{_probability(comparison)}"
            f"{_by_validation(comparison)}"
        )
        items.append(Html(named(comparison["label"], colour_of(comparison["label"])) + escape(told)))
    undecided = [comparison for comparison in fair if decision(comparison) == "undecided"]
    proposed = _proposed(more_seeds(group, undecided)) if undecided else ""
    return paragraph(Html(f"{head}<b>{escape(_advice(fair))}</b>")) + listing(items, ordered=True) + proposed


def _verdict_of(comparison: Comparison) -> str:
    return decision(comparison) + (", by less than the margin" if comparison["judgement"].negligible else "")


def _tested(comparison: Comparison) -> str:
    judgement: Judgement = comparison["judgement"]
    p_values = [("p", judgement.p), ("p of similar", judgement.p_similar)]
    texts = [f"{name} {number(p, 2)}" for name, p in p_values if p is not None]
    margin = f", margin {estimate(margin_of(comparison))}" if judgement.margin and texts else ""
    return f" ({', '.join(texts)}{margin})" if texts else ""


def _by_validation(comparison: Comparison) -> str:
    """Why validation and not held-out rollouts decides for V or M; empty where held-out rollouts do."""
    return f"; by validation: {comparison['fallback']}" if comparison.get("fallback") else ""


def _probability(comparison: Comparison) -> str:
    """The probability of improvement, where there are seeds enough."""
    probability = comparison.get("probability")
    return f"; better with probability {estimate(probability)}" if probability else ""


def _seeds(comparison: Comparison) -> str:
    count = len(comparison["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def _advice(fair: Sequence[Comparison]) -> str:
    """One sentence from fair comparisons with one reference, the greatest gain first."""
    reference = fair[0]["reference"]
    decided = {kind: [item["label"] for item in fair if decision(item) == kind] for kind in MARKS}
    if decided["better"]:
        best, *others = decided["better"]
        return f"use {best}{' (or ' * bool(others)}{', '.join(others)}{')' * bool(others)}: better than {reference}."
    kinds = ("similar", "identical", "worse")
    rest = "".join(f"; {', '.join(decided[kind])} {kind}" for kind in kinds if decided[kind])
    if decided["undecided"]:
        return f"undecided between {reference} and {', '.join(decided['undecided'])}{rest}."
    if decided["similar"]:
        return f"use {reference}{rest.replace(';', ':', 1)}."
    if decided["identical"]:
        return f"nothing to choose{rest.replace(';', ':', 1)}."
    return f"use {reference}: every strategy tried is worse."


def matrix(judged: Judged, differing: dict[str, str]) -> Html:
    """Source × target × strategy at a glance, then every metric."""
    everything = [comparison for _, compared in judged for comparison in compared]
    if not everything:
        return Html("")
    parts = [paragraph(KEY, "note")]
    for part in JUDGED:
        of_part = [item for item in everything if item["part"] == part]
        if of_part:
            parts += [f"<h3>{escape(JUDGED[part][2])}: gain, {UNITS[part]}</h3>\n", _overview(of_part)]
    for heading, fair in (("every metric, at equal budget", True), ("not comparable, decides nothing", False)):
        for part in ("vision", "memory", "controller"):
            of_part = [item for item in everything if bool(item["unfair"]) != fair and item["part"] == part]
            if of_part:
                title, details = f"{JUDGED[part][2]}: {heading}", _details(of_part, differing, fair)
                parts += [f"<h3>{escape(title)}</h3>\n", details] if fair else [folded(title, details)]
    parts.append(paragraph(METHOD, "note"))
    return Html("".join(parts))


def _overview(compared: Sequence[Comparison]) -> Html:
    targets = list(dict.fromkeys(item["env"] for item in compared))
    rows = []
    for source, label in dict.fromkeys((item["source_env"], item["label"]) for item in compared):
        cells = []
        for target in targets:
            matching = [e for e in compared if (e["source_env"], e["label"], e["env"]) == (source, label, target)]
            cells.append("; ".join(map(_cell, matching)) or " ")
        rows.append((source, named(label, colour_of(label)), *cells))
    return table(("source", "strategy", *(f"→ {target}" for target in targets)), rows)


def _cell(comparison: Comparison) -> str:
    gain = estimate(comparison[comparison["deciding"]], sign=True)
    return f"({gain})" if comparison["unfair"] else f"{MARKS[decision(comparison)]} {gain}"


def _details(compared: Sequence[Comparison], differing: dict[str, str], fair: bool) -> Html:
    """Comparisons of one part; settings and references that all have in common are left out."""
    shared = {
        "against": [item["reference"] for item in compared],
        "settings": [f"{item['scale']} {differing[item['settings']]}" for item in compared],
    }
    columns_that_differ = {name: cells for name, cells in shared.items() if len(set(cells)) > 1}
    metrics = [metric for metric in COLUMNS if any(metric in item for item in compared)]
    rows = []
    for index, item in enumerate(compared):
        available = [metric for metric in metrics if metric in item]
        figures = [_metric(item, metric) for metric in metrics]
        negative = [metric.replace("_", "-") for metric in available if item[metric]["negative"]]
        last = ("all" if len(negative) == len(available) else ", ".join(negative) or "no") if fair else item["unfair"]
        first = (
            item["env"],
            item["source_env"],
            item["label"],
            *(cells[index] for cells in columns_that_differ.values()),
        )
        rows.append((*first, " ".join(map(str, item["seeds"])), *figures, last))
    columns = (
        "target",
        "source",
        "strategy",
        *columns_that_differ,
        "seeds",
        *(COLUMNS[metric] for metric in metrics),
    )
    return table([*columns, "negative transfer" if fair else "why not"], rows)


def _metric(comparison: Comparison, metric: str) -> Html:
    """A cell; a dash where the comparison has no such metric."""
    if metric not in comparison:
        return Html("–")
    gain, note = comparison[metric], ""
    if metric == "time_to_threshold" and gain["value"] is not None:
        note = f" ({gain['reached']}/{gain['reached_without']})"
    return _two_lines(gain, note)


def _two_lines(gain: Mapping[str, Any], note: str = "") -> Html:
    """A gain above its interval, so that a table of many stays narrow."""
    value, _, interval = estimate(gain, sign=True).partition(" ")
    return Html(f'<span class="figure">{value}{note}<br>{interval}</span>')


def settings_note(groups: Sequence[Group], differing: dict[str, str]) -> Html:
    """Which settings were kept apart; empty where each task and part has one."""
    with_differences = [group for group in groups if differing[group.settings]]
    if not with_differences:
        return Html("")
    text = "Runs of other settings are never averaged or compared with each other. Apart are here:"
    rows = [
        (
            group.env,
            group.part,
            group.scale,
            group.settings,
            differing[group.settings],
            group.size,
        )
        for group in with_differences
    ]
    return Html(
        paragraph(text) + table(("task", "part", "scale", "settings", "what sets them apart", "runs"), rows, ["runs"])
    )
