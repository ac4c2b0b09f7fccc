"""Where an agent loses what it lacks: ``python experiments/ladder/analyse.py RUN … [--to FOLDER]``.

``results.csv`` has a line a run, ``summary.csv`` one a task and rung (mean over its seeds with a 95 % interval),
``steps.csv`` one a task and step down, from the rung that differs in one thing, and ``<task>.svg`` shows the rungs.
"""

import argparse
from pathlib import Path
from typing import Any

from worldmodels.config import conf_dir
from worldmodels.reports.figures import Bar, gains, save
from worldmodels.reports.studies import bounded, read
from worldmodels.reports.tidy import write_csv
from worldmodels.store.runs import FinishedRun

STUDY = Path(__file__).parent
RUNGS = {  # from the top; what a run's config says of it: inputs, read-out, what stays as initialised
    ("state",): "C on the true state",
    ("z", "h", "readout"): "C on a read-out of the state from [z, h]",
    ("z", "readout"): "C on a read-out of the state from z",
    ("z", "h"): "C on [z, h]",
    ("z",): "C on z",
    ("z", "h", "memory"): "C on [z, h], M untrained",
    ("z", "vision"): "C on z, V untrained",
}
STEPS = (  # from, to, and what the step takes away: two rungs that differ in nothing else
    (("state",), ("z", "h", "readout"), "what V and M do not tell linearly"),
    (("z", "h", "readout"), ("z", "h"), "knowing which directions of [z, h] matter"),
    (("z", "readout"), ("z",), "knowing which directions of z matter"),
    (("z", "h"), ("z", "h", "memory"), "M's training"),
    (("z",), ("z", "vision"), "V's training"),
    (("z", "h", "readout"), ("z", "readout"), "M, of a read-out"),
    (("z", "h"), ("z",), "M"),
)
RANDOM = "random agent"


def rung(run: FinishedRun) -> str:
    """The rung of a run. Exits where it stands on none."""
    config = run.results["config"]
    search = config["controller"]
    readout = {False: None, True: "readout", "state": "readout"}.get(search["readout"], search["readout"])
    key = (*search["inputs"], *([readout] if readout else []), *config["transfer"]["freeze_random"])
    if key not in RUNGS:
        raise SystemExit(f"error: {run.folder} is no rung of the ladder: expected one of {sorted(rungs())}")
    return RUNGS[key]


def rungs() -> list[str]:
    """The options of the group ``rung``."""
    return [path.stem for path in (conf_dir() / "rung").glob("*.yaml")]


def row(run: FinishedRun) -> dict[str, Any]:
    """One run in one line."""
    results, search = run.results, run.results["controller"]
    generations, score = search["generations"], results["evaluation"]
    settings = results["config"]["controller"]
    validated = [each["validation"] for each in generations if "validation" in each]
    low, high = score["interval"] or (None, None)
    return {
        "env": results["env"],
        "scale": results["scale"],
        "rung": rung(run),
        "seed": results["seed"],
        "parameters": search["parameters"],
        "individuals": settings["population"],
        "rollouts": settings["rollouts"],
        "generations": len(generations),
        "first_mean": generations[0]["mean"],
        "last_mean": generations[-1]["mean"],
        "best_validation": max(validated, default=None),
        "score": score["mean"],
        "score_std": score["std"],
        "score_low": low,
        "score_high": high,
        "episodes": score["episodes"],
        "random": score["random"]["mean"],
        "remark": score.get("unofficial") or "",
    }


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a task and rung, in the ladder's order, a random agent last. Of one seed, the interval is over its
    episodes.
    """
    lines = []
    for env in sorted({each["env"] for each in rows}):
        of_task = [each for each in rows if each["env"] == env]
        for name in RUNGS.values():
            members = [each for each in of_task if each["rung"] == name]
            if not members:
                continue
            figures = bounded("score", [each["score"] for each in members])
            if len(members) == 1:
                figures = {key: members[0][key] for key in ("score", "score_low", "score_high")}
            scores = " ".join(f"{each['score']:.6g}" for each in members)
            facts = {"env": env, "rung": name, "seeds": len(members), "parameters": members[0]["parameters"]}
            lines.append({**facts, **figures, "scores": scores, "remark": members[0]["remark"]})
        randoms = list({each["seed"]: each["random"] for each in of_task}.values())  # rungs of a seed share theirs
        lines.append({"env": env, "rung": RANDOM, "seeds": len(randoms), **bounded("score", randoms)})
    return lines


def steps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a task and step whose two rungs have been run: what is lost on the way, seed by seed, as far as both have
    the seed.
    """
    lines = []
    for env in sorted({each["env"] for each in rows}):
        for above, below, taken in STEPS:
            upper, lower = (
                {each["seed"]: each["score"] for each in rows if (each["env"], each["rung"]) == (env, RUNGS[key])}
                for key in (above, below)
            )
            if lost := [upper[seed] - lower[seed] for seed in sorted(upper.keys() & lower.keys())]:
                names = {"from": RUNGS[above], "to": RUNGS[below], "takes_away": taken}
                lines.append({"env": env, **names, "seeds": len(lost), **bounded("lost", lost)})
    return lines


def figure(path: Path, lines: list[dict[str, Any]]) -> None:
    """One task's rungs, one a row."""
    bars = []
    for line in lines:
        interval = None if line["score_low"] is None else (line["score_low"], line["score_high"])
        seeds = [float(value) for value in line.get("scores", "").split()]
        bars.append(Bar(line["rung"], line["score"], interval, seeds, hollow=bool(line.get("remark"))))
    drawn = gains(lines[0]["env"], "", bars)
    drawn.axes[0].set_xlabel("return (hollow: knows the true state, or episodes are cut)")
    save(drawn, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders that hold results.json, or patterns of them")
    parser.add_argument("--to", type=Path, default=STUDY, help="where tables and figures go")
    options = parser.parse_args()
    runs = [run for run in read(options.runs, "controller") if "evaluation" in run.results]
    order = list(RUNGS.values())
    rows = sorted(map(row, runs), key=lambda each: (each["env"], order.index(each["rung"]), each["seed"]))
    write_csv(options.to / "results.csv", rows)
    lines = summary(rows)
    write_csv(options.to / "summary.csv", lines)
    lost = steps(rows)
    if lost:
        write_csv(options.to / "steps.csv", lost)
    for env in sorted({each["env"] for each in rows}):
        figure(options.to / f"{env}.svg", [line for line in lines if line["env"] == env])
    for line in lines:
        interval = "" if line["score_low"] is None else f" [{line['score_low']:.0f}, {line['score_high']:.0f}]"
        remark = f" ({line['remark']})" if line.get("remark") else ""
        print(f"{line['env']:16} {line['rung']:42} {line['score']:8.1f}{interval}{remark}")
    for line in lost:
        interval = "" if line["lost_low"] is None else f" [{line['lost_low']:.0f}, {line['lost_high']:.0f}]"
        pair = f"{line['from']} → {line['to']}"
        print(f"{line['env']:16} {pair}: {line['lost']:.1f}{interval} lost with {line['takes_away']}")


if __name__ == "__main__":
    main()
