"""The table that a sweep ends with: a line for each of its jobs."""

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from worldmodels.store.runs import RESULTS
from worldmodels.utils.overrides import typed, written
from worldmodels.utils.progress import duration
from worldmodels.utils.sweeps import job_name

CHANGES_RESULTS = False
WIDTH = 100  # columns


def print_sweep(folder: Path, console: Console) -> None:
    """What every job of the sweep in ``folder`` gave, as far as it came; nothing where no job trains."""
    jobs = sorted(
        (path.parents[1] for path in folder.glob("*/.hydra/overrides.yaml")),
        key=lambda path: [int(part) if part.isdigit() else 0 for part in path.name.split("-")[:1]],
    )
    if not any((job / RESULTS).is_file() for job in jobs):
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.width = min(WIDTH, console.width)
    table.add_column("job", no_wrap=True)
    table.add_column("what differs", ratio=2, overflow="fold")
    table.add_column("result", ratio=3)
    table.add_column("time", justify="right", no_wrap=True)
    for job in jobs:
        name = job_name(typed(job), folder)
        number = job.name.partition("-")[0]
        try:
            results = json.loads((job / RESULTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            table.add_row(number, name, "did not finish", "")
            continue
        seconds = sum(facts["seconds"] for facts in results["stages"].values() if not facts["cached"])
        table.add_row(number, name, in_short(results), duration(seconds) if seconds else "reused")
    console.print(f"{len(jobs)} jobs in {folder}", highlight=False, soft_wrap=True)
    console.print(table, highlight=False)
    console.print(
        f"next: python -m worldmodels.report {written('runs', f'{folder}/*')}", highlight=False, soft_wrap=True
    )


def in_short(results: dict[str, Any]) -> str:
    """The last thing that a run gave."""
    if score := results.get("evaluation"):
        return f"score {score['mean']:.1f}, random {score['random']['mean']:.1f}"
    if generations := results.get("controller", {}).get("generations"):
        return f"population mean {generations[-1]['mean']:.1f}"
    for part, held, rows, last, words in (
        ("memory", "heldout_nll", "steps", "val_nll", "M's NLL {:.3f}"),
        ("vision", "heldout_reconstruction", "epochs", "val_reconstruction", "V's squared error {:.1f}"),
    ):
        figures = results.get(part, {})
        value = figures.get(held)
        if value is None and figures.get(rows):
            value = figures[rows][-1].get(last)
        if value is not None:
            return words.format(value)
    return f"{results['collect']['frames']:,} frames" if "collect" in results else "nothing yet"
