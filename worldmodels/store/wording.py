"""What figures mean, in words: is it good, and may it be compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worldmodels.store.goals import solved_at
from worldmodels.utils.statistics import SKEWED_FROM
from worldmodels.utils.words import number_of

CHANGES_RESULTS = False
GRADES = ((0.8, "good"), (0.5, "fair"), (0.0, "weak"))  # of an R² from here on
KEPT = ((0.9, "kept"), (0.5, "often lost"), (0.0, "lost"))  # of the share of reconstructions that show an object
EMPTY = 1.0  # nats: a z of less carries next to nothing
# Values from which on an interval is called one of 95 % whatever their shape: it then is for all of
# experiments/statistics but failures rarer than one in twenty.
MANY_VALUES = 100
NEAR_NORMAL = "95 % if near normal"
INTERVALS = f"95 % intervals (of fewer than {MANY_VALUES} values, if these are near normal)"


def name_of_interval(members: int) -> str:
    """What an interval over ``members`` values is called. Of fewer than `MANY_VALUES` it is one of 95 % only if they
    are near normal: of five episodes, of which one in seven fails, 68 % hold the mean.
    """
    return NEAR_NORMAL if 1 < members < MANY_VALUES else "95 %"


def r2_text(value: float | None) -> str:
    """An R² as a number; ``none`` below 0, where the mean of the target would have been a better guess."""
    return "–" if value is None else f"{value:.2f}" if value >= 0 else "none"


def r2_grade(value: float | None) -> str:
    """``0.83, good``, ``none`` or ``too few frames``."""
    if value is None:
        return "too few frames"
    return f"{value:.2f}, {_graded(value, GRADES)}" if value >= 0 else "none"


def recall_grade(value: float) -> str:
    """``98%, kept``"""
    return f"{value:.0%}, {_graded(value, KEPT)}"


def _graded(value: float, grades: Sequence[tuple[float, str]]) -> str:
    return next(word for least, word in grades if round(value, 2) >= least)


def deviation(figures: Mapping[str, Any]) -> str:
    """Of the returns of an evaluation; that of a single one is unknown."""
    return f"{figures['std']:.1f}" if figures["episodes"] > 1 else "–"


def judged(score: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """What an evaluation's line does not say: ``900 counts as solved; 3 episodes: too few to compare``. Empty where
    there is nothing to add. ``config``: the run's, plain.
    """
    goal, words = solved_at(config), []
    if goal is not None:
        words.append(f"{'solved: ' if _solves(score, goal) else ''}{goal:.0f} counts as solved")
    if _few(score):
        words.append(f"{number_of(score['episodes'], 'episode')}: too few to compare")
    return "; ".join(words)


def _few(score: Mapping[str, Any]) -> bool:
    return score["episodes"] < SKEWED_FROM or score["interval"] is None


def _solves(score: Mapping[str, Any], goal: float) -> bool:
    """Of cut episodes it would be no claim, because random reaches it too, and of a few it may be luck."""
    return score["mean"] >= goal and score.get("official", True) and not _few(score)


def score_in_words(score: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """An evaluation in words: ``166 (900 counts as solved); random -28; it has 3 episodes: too few to compare``.
    ``config``: the run's, plain.
    """
    goal, mean = solved_at(config), score["mean"]
    if goal is None:
        words = [f"{mean:.0f}"]
    else:
        words = [f"{mean:.0f}{', solved' if _solves(score, goal) else ''} ({goal:.0f} counts as solved)"]
    words.append(f"random {score['random']['mean']:.0f}")
    episodes = number_of(score["episodes"], "episode")
    if _few(score):
        words.append(f"it has {episodes}: too few to compare")
    else:
        low, high = score["interval"]
        words.append(f"{name_of_interval(score['episodes'])} [{low:.0f}, {high:.0f}] over {episodes}")
    if not score.get("official", True):
        words.append(f"not the official task: {score.get('unofficial') or 'episodes cut'}")
    return "; ".join(words)


def beyond_search(results: Mapping[str, Any]) -> str | None:
    """Why a score is lower than what the search itself showed; None where it is not, or is no score of the same."""
    generations = results.get("controller", {}).get("generations") or []
    score, settings = results.get("evaluation"), results["config"]["controller"]
    if not score or not generations or "dream" in generations[-1] or generations[-1]["mean"] <= score["mean"]:
        return None
    rollouts = number_of(settings["rollouts"], "episode")
    return (
        f"the search's last population mean, {generations[-1]['mean']:.0f}, is higher: it is of {rollouts} that the "
        "search was choosing by, and the score is of other ones"
    )


def forecasts_in_words(measures: Mapping[str, Any]) -> Iterator[str]:
    """What the measures of M say of its forecasts: from which horizon on they beat holding the last frame, and whether
    they follow the actions. By the 95 % intervals of the differences.
    """
    summary, horizons = measures.get("summary", {}), measures["open_loop"]["horizons"]

    def better(what: str) -> list[int]:
        return [horizon for horizon in horizons if summary.get(what, {}).get(f"horizon_{horizon}")]

    judged = summary.get("beats_persistence", {})
    known = [horizon for horizon in horizons if judged.get(f"horizon_{horizon}") is not None]
    if not known:
        yield "rollouts too short to measure forecasts"
        return
    beaten = better("beats_persistence")
    if not beaten:
        yield "M's forecasts are nowhere better than holding the last frame"
    elif len(beaten) == len(known):
        yield "M's forecasts are better than holding the last frame at every horizon"
    else:
        yield f"M's forecasts are better than holding the last frame over {_listed(beaten)} steps"
    follows = better("uses_actions")
    yield f"they follow the actions over {_listed(follows)} steps" if follows else "they do not follow the actions"


def _listed(horizons: Sequence[int]) -> str:
    return ", ".join(map(str, horizons))


def latent_in_words(kl: float | None) -> str | None:
    """A warning of a z that carries nothing."""
    if kl is None or kl >= EMPTY:
        return None
    return f"z carries next to nothing ({kl:.1f} nats): V draws an average picture"
