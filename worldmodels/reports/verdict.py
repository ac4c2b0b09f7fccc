"""What transfer gave: every strategy against scratch of the same task and settings, paired by seed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from worldmodels.reports.groups import Group, Strategy, artifact, labels
from worldmodels.reports.settings import heldout_settings
from worldmodels.transfer.metrics import METRICS, compare, compare_values
from worldmodels.utils.comparing import MANY, Judgement, judge, probability_of_improvement
from worldmodels.utils.statistics import Figure, seed_estimate

MARGIN = 0.1  # of what scratch has learnt itself; a smaller gain is none
JUDGED = {  # measure, whether higher is better, what it is called
    "vision": ("val_reconstruction", False, "V: reconstruction"),
    "memory": ("val_nll", False, "M: NLL"),
    "controller": ("mean", True, "C: population mean"),
    "evaluate": ("mean", True, "score on held-out episodes"),
}
UNITS = {
    "vision": "squared error a frame",
    "memory": "nats per dimension",
    "controller": "return",
    "evaluate": "return",
}
HELDOUT_FIGURES = {"vision": "heldout_reconstruction", "memory": "heldout_nll"}  # decides where both have it
DECIDING = {  # else the metric of a curve; a search is noisy, and short ones are not at their end
    "vision": "asymptote",
    "memory": "asymptote",
    "controller": "area",
}
Comparison = dict[str, Any]


def comparisons(group: Group) -> list[Comparison]:
    """Every other strategy against every scratch of the group that shares a seed with it and has no less budget, the
    fair ones judged as one family (``judgement``). Of M's trainings from scratch on one V a shorter one is the
    beginning of a longer one, which stands for both.
    """
    # A margin is a share of an estimate, from the same seeds: `judge` takes it as known, `margin_of` tells how well.
    pairs = list(_pairs(group))
    fair = [pair for pair in pairs if not pair["unfair"]]
    gains = [pair[pair["deciding"]]["per_seed"] for pair in fair]
    margins = [None if pair["learnt"] is None else MARGIN * pair["learnt"] for pair in fair]
    for pair, judgement in zip(fair, judge(gains, margins), strict=True):
        pair["judgement"] = judgement
    return pairs


def _pairs(group: Group) -> Iterator[Comparison]:
    names = labels(group.members)
    references = [strategy for strategy in group.members if strategy.scratch and not _begins_a_longer(group, strategy)]
    pairs = ((strategy, scratch) for strategy in group.members for scratch in references)
    for strategy, reference in pairs:
        if strategy.scratch or reference.budget < strategy.budget:
            continue
        gains = _compared(group, strategy, reference)
        if gains is not None:
            yield {
                "env": group.env,
                "part": group.part,
                "scale": group.scale,
                "settings": group.settings,
                "source_env": strategy.source_env,
                "strategy": strategy.name,
                "label": names[strategy],
                "budget": strategy.budget,
                "reference": names[reference],
                "reference_budget": reference.budget,
                "unfair": _unfair(group, strategy, reference, gains["seeds"]),
                **gains,
            }


def _begins_a_longer(group: Group, scratch: Strategy) -> bool:
    if group.part != "memory":
        return False
    runs = group.members[scratch]
    return any(
        other.scratch
        and other.budget_of("memory") > scratch.budget_of("memory")
        and all(
            seed in more and artifact(more[seed], "vision") == artifact(run, "vision") for seed, run in runs.items()
        )
        for other, more in group.members.items()
    )


def _compared(group: Group, strategy: Strategy, reference: Strategy) -> dict[str, Any] | None:
    """The gains, or None where the two share no seed."""
    measure, higher, _ = JUDGED[group.part]
    members = [group.members[one] for one in (strategy, reference)]
    try:
        if group.part == "evaluate":
            scores = [{seed: run.results["evaluation"][measure] for seed, run in runs.items()} for runs in members]
            gains = compare_values(scores[0], scores[1], higher)
            seeds = gains.pop("seeds")
            random = _random_return(group)
            above = float(np.mean([scores[1][seed] for seed in seeds])) - random
            figures = {"score": gains, "deciding": "score", "learnt": above if above > 0 else None}
            lead = seed_estimate([scores[1][seed] - random for seed in seeds])
            figures["learnt_interval"] = lead["interval"] if above > 0 else None
            if len(seeds) >= MANY:
                values = [[side[seed] for seed in seeds] for side in scores]
                figures["probability"] = probability_of_improvement(values[0], values[1])
            return {"seeds": seeds, **figures}
        curves = [group.curves(one, measure) for one in (strategy, reference)]
        if curves[0] is None or curves[1] is None:
            return None
        floor = _random_return(group) if group.part == "controller" else 0.0
        gains = {**compare(curves[0], curves[1], higher, floor=floor), "deciding": DECIDING[group.part]}
        return (
            gains | heldout_gain(group, strategy, reference, gains["seeds"]) if group.part in HELDOUT_FIGURES else gains
        )
    except ValueError:  # nothing to pair
        return None


def heldout_gain(
    group: Group, strategy: Strategy, reference: Strategy, seeds: Sequence[int], figure: str = ""
) -> Comparison:
    """The gain of V or M on the held-out rollouts that all seeds share, as ``heldout``, which then decides; where there
    is none, ``fallback`` says why validation has to. ``figure``: by default the one that `HELD_OUT` names.
    """
    runs = [[group.members[one][seed] for seed in seeds] for one in (strategy, reference)]
    name = figure or HELDOUT_FIGURES[group.part]
    values = [[run.results[group.part].get(name) for run in side] for side in runs]
    missing = [seed for seed, *pair in zip(seeds, *values, strict=True) if None in pair]
    why = ""
    if missing:
        why = f"not measured on held-out rollouts with seed {' '.join(map(str, missing))}"
    elif len({str(sorted(heldout_settings(run, group.part).items())) for side in runs for run in side}) > 1:
        why = "measured on different held-out rollouts"
    elif group.part == "memory" and strategy.budget_of("memory") != reference.budget_of("memory"):
        why = "trained for other numbers of steps, and held-out figures are of the last"
    if why:
        return {"fallback": why}
    ours, theirs = (dict(zip(seeds, side, strict=True)) for side in values)
    gain = compare_values(ours, theirs, higher=False)
    del gain["seeds"]
    return {"heldout": gain, "deciding": "heldout", "fallback": ""}


def _random_return(group: Group) -> float:
    """Mean return of a random agent in the runs that were scored; 0 without one."""
    runs = [run for members in group.members.values() for run in members.values()]
    returns = [
        run.results["evaluation"]["random"]["mean"] for run in runs if "random" in run.results.get("evaluation", {})
    ]
    return sum(returns) / len(returns) if returns else 0.0


def _unfair(group: Group, strategy: Strategy, reference: Strategy, seeds: Sequence[int]) -> str:
    """Why a comparison decides nothing; empty where it may."""
    # M's rate falls by the step, so that the first half of a whole training is a training of half the steps, and curves
    # are compared on the stretch they share.
    parts = ("vision",) if group.part in ("vision", "memory") else ("vision", "memory")
    budgets = [[one.budget_of(part) for part in parts] for one in (strategy, reference)]
    if budgets[0] != budgets[1]:
        return "budget {} against {}".format(*(_budget_text(pair) for pair in budgets))
    if group.part == "memory":
        pairs = [(group.members[strategy][seed], group.members[reference][seed]) for seed in seeds]
        if any(artifact(one, "vision") != artifact(other, "vision") for one, other in pairs):
            return "M learns the latents of another V"
    if group.part == "evaluate" and not all(
        run.results["evaluation"].get("official", True) for run in group.members[strategy].values()
    ):
        return "episodes cut: no score"
    return ""


def _budget_text(budgets: Sequence[float]) -> str:
    """The budget of V, or those of V and M where they differ."""
    return "/".join(f"{budget:g}" for budget in (budgets if len(set(budgets)) > 1 else budgets[:1]))


def margin_of(comparison: Comparison) -> Figure:
    """The margin of a comparison with its 95 % interval, that of what the reference has learnt; its error is no part of
    the test of similarity.
    """
    margin, limits = comparison["judgement"].margin, comparison["learnt_interval"]
    return {"value": margin, "interval": None if margin is None or limits is None else [MARGIN * x for x in limits]}


def decision(comparison: Mapping[str, Any]) -> str:
    """``better`` or ``worse`` than scratch, ``similar``, ``identical`` or ``undecided``: of
    `worldmodels.utils.comparing.judge`.
    """
    judgement: Judgement | None = comparison.get("judgement")
    return judgement.verdict if judgement else "undecided"


def ranked(all_comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Fair comparisons, the greatest gain first."""
    fair = [comparison for comparison in all_comparisons if not comparison["unfair"]]
    return sorted(fair, key=lambda comparison: -comparison[comparison["deciding"]]["value"])


def judged_row(judgement: Judgement | None) -> dict[str, Any]:
    """A verdict as columns of a CSV file, all empty without one."""
    if judgement is None:
        return dict.fromkeys(("p_holm", "margin", "p_similar_holm", "verdict"))
    figures = {"p_holm": judgement.p, "margin": judgement.margin, "p_similar_holm": judgement.p_similar}
    return {**figures, "verdict": judgement.verdict}


def comparison_rows(all_comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One row a metric, for a CSV file. Gains: above 0, transfer helps."""
    rows = []
    for comparison in all_comparisons:
        facts = {key: value for key, value in comparison.items() if not isinstance(value, dict | list | tuple)}
        del facts["deciding"], facts["learnt"]
        judgement: Judgement | None = comparison.get("judgement")
        for metric in (*METRICS, "heldout", "score"):
            if metric in comparison:
                gain = comparison[metric]
                low, high = gain["interval"] or (None, None)
                figures = {"value": gain["value"], "low": low, "high": high, "negative": gain["negative"]}
                reached = {key: gain.get(key) for key in ("reached", "reached_without")}
                seeds = " ".join(map(str, comparison["seeds"]))
                decides = judgement if metric == comparison["deciding"] else None
                rows.append({**facts, "seeds": seeds, "metric": metric, **figures, **reached, **judged_row(decides)})
    return rows
