"""The page of one run: its score, what it looks like, how it was learnt, and how good V and M are."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from worldmodels.config import STAGES, plain
from worldmodels.migrations import migrated
from worldmodels.reports import page, single
from worldmodels.reports.page import Html, paragraph
from worldmodels.reports.settings import flat
from worldmodels.store.artifacts import RECORD
from worldmodels.store.goals import published, solved_at
from worldmodels.store.results import headline, score_line
from worldmodels.store.runs import FinishedRun
from worldmodels.store.wording import (
    INTERVALS,
    beyond_search,
    forecasts_in_words,
    latent_in_words,
    r2_grade,
    recall_grade,
    score_in_words,
)
from worldmodels.transfer.config import strategy_label
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import typed

PLAIN = re.compile(r"[\w@%+=:,./'~-]+")  # needs no quotes
LARGEST_FILM = 4_000_000  # bytes
ELSEWHERE = ("paths", "logger", "executor", "env.shipped", "scale", "stage", "seed", "allow", "reuse", "objective")
CURVES = (
    "Training and validation in one diagram. Held-out figures below are of rollouts that no model was trained on. The "
    "returns of C are means over the rollouts of a generation, on which the search chooses: the score is of others."
)
OPEN_LOOP = (
    "M is given reality up to a moment and then foresees alone, under the actions that were really taken. 1 is the "
    "error of guessing the average z. A good M lies below the last frame held, which knows no motion, and below M "
    "under other actions, which does not know what the agent does. Bands are "
    f"{INTERVALS} over rollouts. "
)
PROBES = (
    "R² of linear read-outs of the task's true state, on held-out rollouts: 1 is all of it, none is no better than "
    "the average. For a linear C, what is not there cannot be acted on."
)


def title(run: FinishedRun) -> str:
    """What a run is, in a line."""
    results = run.results
    strategy = strategy_label(results["config"]["transfer"])
    source = f" from {results['source_env']}" if results["source_env"] else ""
    return f"{results['env']}, {strategy}{source}, {results['scale']}, seed {results['seed']}"


def lead(run: FinishedRun) -> Html:
    """The score in large figures, between a random agent, what was published and what counts as solved; then in
    words.
    """
    score, config = run.results.get("evaluation"), run.results["config"]
    if score is None:
        return paragraph(f"1 run on {run.results['env']}. No score: it ended with stage={_last_stage(run)}.")
    marks = {"random": score["random"]["mean"]}
    if paper := published(config):
        marks["published"] = paper.mean
    if (goal := solved_at(config)) is not None:
        marks["solved"] = goal
    parts = [
        f'<p class="score">{score["mean"]:.0f}</p>\n',
        page.scale(score["mean"], marks),
        paragraph(f"{score_in_words(score, config)}."),
        paragraph(f"1 run on {run.results['env']}: {score_line(score)}", "note"),
    ]
    if paper:
        told = f"Published: {paper.mean:g} ± {paper.std:g} over 100 episodes of an older version ({paper.source})."
        parts.append(paragraph(told, "note"))
    if why := beyond_search(run.results):
        parts.append(paragraph(f"{why[0].upper()}{why[1:]}.", "note"))
    return Html("".join(parts))


def _last_stage(run: FinishedRun) -> str:
    stages = [stage for stage in STAGES if stage in run.results["stages"]]
    return stages[-1] if stages else "none"


def sections(run: FinishedRun, draw: Callable[[str, Figure | None, str], str]) -> dict[str, Html]:
    """The sections of the page by their headings. ``draw`` writes a figure and gives it back as HTML."""
    measures = run.results.get("measures", {})
    open_loop = single.open_loop(measures["memory"]) if "memory" in measures else None
    meaning = f"{OPEN_LOOP}Here: {'; '.join(forecasts_in_words(measures['memory']))}." if open_loop else ""
    return {
        "What it looks like": _films(run),
        "What each stage gave": _stages(run),
        "Learning curves": Html(
            page.side_by_side(draw(name, figure, "") for name, figure in single.curves(run).items())
            + (paragraph(CURVES, "note") if len(run.results["stages"]) > 1 else "")
        ),
        "How far M foresees": Html(draw("M-open-loop", open_loop, meaning)),
        "What V and M know of the task": _probes(run),
        "Settings that differ from the defaults": _differences(run),
    }


def _films(run: FinishedRun) -> Html:
    """The film of an episode, and M's dream beside reality."""
    stage = run.results["stages"].get("memory", {}).get("artifact", "")
    dreams = run.folder / run.results["artifacts"] / "memory" / stage / RECORD / "pictures"
    films = [
        (run.folder / "episode.gif", "an episode", "An episode: the task, what the agent sees, V's reconstruction."),
        *(
            (path, "a dream", "Left what V sees; right what M dreams under the same actions, after ten frames of it.")
            for path in sorted(dreams.glob("reality_beside_dream.*.gif"))[-1:]
        ),
    ]
    return page.side_by_side(
        page.figure(path.read_bytes(), "gif", text, caption, "film")
        for path, text, caption in films
        if path.is_file() and path.stat().st_size <= LARGEST_FILM
    )


def _stages(run: FinishedRun) -> Html:
    results = run.results
    rows, reused = [], any(facts["cached"] for facts in results["stages"].values())
    for stage, facts in results["stages"].items():
        told = headline(stage, results)
        if stage == "vision" and (empty := latent_in_words(results["vision"].get("heldout_kl"))):
            told += f". {empty}"
        last = ["yes" if facts["cached"] else ""] if reused else []
        rows.append((stage, told, f"{facts['seconds']:,.0f}", *last))
    columns = ("stage", "what it gave", "seconds", *(["reused"] if reused else []))
    return page.table(columns, rows, ["seconds"]) if rows else Html("")


def _probes(run: FinishedRun) -> Html:
    probes = run.results.get("probes", {})
    if rows := list(_read_outs(probes)):
        return Html(page.bars(rows) + paragraph(PROBES, "note"))
    return paragraph("Too few frames to tell.") if probes else Html("")


def _read_outs(probes: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    """A bar for each read-out that there are frames enough for."""
    for part, label in (("vision", "z"), ("memory", "z and h")):
        for target, figures in probes.get(part, {}).get("z" if part == "vision" else "zh", {}).items():
            if (r2 := figures["linear"]["r2"]) is not None:
                yield f"{target}, from {label}", r2, r2_grade(r2)
    for name, figures in probes.get("vision", {}).get("objects", {}).items():
        if figures["recall"] is not None:
            yield f"reconstructions that show the {name}", figures["recall"], recall_grade(figures["recall"])


def _differences(run: FinishedRun) -> Html:
    """Settings that are not those of the run's task and scale, and what was typed."""
    results, parts = run.results, []
    if (run.folder / ".hydra").is_dir():
        parts.append(page.command(f"python -m worldmodels.train {in_shell(typed(run.folder))}"))
    try:
        from worldmodels.api import compose  # brings Hydra's files, which no other report needs

        usual = flat(plain(compose(f"env={results['env']}", f"scale={results['scale']}")), "")
    except ConfigError:  # a task of one's own
        return Html("".join(parts))
    values = flat(migrated(results["config"]), "")
    rows = [
        (key[1:], _readable(values[key]), _readable(usual[key]))
        for key in sorted(values.keys() & usual.keys())
        if values[key] != usual[key] and not f"{key[1:]}.".startswith(tuple(f"{name}." for name in ELSEWHERE))
    ]
    if rows:
        parts.append(page.table(("setting", "here", "default"), rows))
    else:
        parts.append(paragraph(f"None: all is as scale={results['scale']} has it for {results['env']}."))
    return Html("".join(parts))


def _readable(value: Any) -> str:
    """A setting's value as JSON; of a list's items only what is set."""
    if isinstance(value, list):
        value = [
            {name: given for name, given in item.items() if given is not None} if isinstance(item, Mapping) else item
            for item in value
        ]
    return json.dumps(value, ensure_ascii=False)


def in_shell(words: Iterable[str]) -> str:
    """Words of a command as a shell takes them."""
    return " ".join(word if PLAIN.fullmatch(word) else shlex.quote(word) for word in words)
