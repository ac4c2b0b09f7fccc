"""The report's figures, from groups of comparable runs."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from worldmodels.reports.figures import Bar, Panel, gains, learning_curves
from worldmodels.reports.groups import Group, labels
from worldmodels.reports.published import car_racing
from worldmodels.reports.verdict import JUDGED, UNITS, Comparison, decision
from worldmodels.transfer.metrics import Curves

PANELS = {  # measure, title, axis
    "vision": (
        ("val_reconstruction", "V: reconstruction, validation", "squared error a frame"),
        ("val_kl", "V: KL, validation", "nats a frame"),
    ),
    "memory": (
        ("val_nll", "M: NLL, validation", "nats per dimension"),
        ("nll", "M: NLL, training", "nats per dimension"),
    ),
    "controller": (
        ("best", "C: best of the population", "return"),
        ("mean", "C: mean of the population", "return"),
        ("worst", "C: worst of the population", "return"),
    ),
}
AXES = {"vision": "epoch", "memory": "step", "controller": "generation"}


def curves_of(group: Group, measure: str, budget: float) -> dict[str, Curves]:
    """Curves of the strategies with ``budget``, by label, after scratch's with as much and with all."""
    names = labels(group.members)
    chosen = [
        strategy for strategy in group.members if strategy.budget in (budget, 1.0 if strategy.scratch else budget)
    ]
    by_label = {
        names[strategy]: group.curves(strategy, measure)
        for strategy in sorted(chosen, key=lambda strategy: (not strategy.scratch, strategy))
    }
    return {name: curves for name, curves in by_label.items() if curves is not None}


def budgets(group: Group) -> list[float]:
    """Budgets of the strategies, each worth a figure; of scratch if there is nothing else. The greatest first."""
    of_transfer = {strategy.budget for strategy in group.members if not strategy.scratch}
    return sorted(of_transfer or {strategy.budget for strategy in group.members}, reverse=True)


def panels(group: Group, budget: float) -> list[Panel]:
    """Learning curves of one part; none where nothing was trained."""
    return [
        Panel(title, AXES[group.part], unit, curves)
        for measure, title, unit in PANELS[group.part]
        if (curves := curves_of(group, measure, budget))
    ]


def published_figure(group: Group, budget: float) -> Figure | None:
    """CarRacing's population mean beside the published searches, generations on a log axis."""
    if (group.env, group.part) != ("car_racing", "controller") or not (curves := curves_of(group, "mean", budget)):
        return None
    panel = Panel(
        "C on CarRacing beside the published searches", "generation", "return", curves, car_racing(), log=True
    )
    return learning_curves([panel], width=8)


def gains_figure(group: Group, compared: Sequence[Comparison]) -> Figure | None:
    """Gain over scratch of the fair comparisons of a group; hollow where neither better nor worse. None without one."""
    bars = []
    for comparison in (candidate for candidate in compared if not candidate["unfair"]):
        gain, hollow = comparison[comparison["deciding"]], decision(comparison) not in ("better", "worse")
        bars.append(Bar(comparison["label"], gain["value"], gain["interval"], gain["per_seed"], hollow))
    if not bars:
        return None
    return gains(f"{group.env}: {JUDGED[group.part][2]}", UNITS[group.part], bars)
