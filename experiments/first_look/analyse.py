"""Table and pictures of a few finished runs: ``python experiments/first_look/analyse.py RUN … [--to FOLDER]``."""

import argparse
import csv
import json
from pathlib import Path

from PIL import Image, ImageSequence

STUDY = Path(__file__).parent
FRAMES = 36
WIDTH = 360
COLUMNS = (
    *("env", "seed", "scale", "frames", "val_reconstruction_first", "val_reconstruction_last", "val_kl_last"),
    *("val_nll_last", "persistence_nll", "population_mean_first", "population_mean_last"),
    *("heldout_reconstruction", "heldout_kl", "heldout_nll"),
    *("score", "score_low", "score_high", "episodes", "random_score", "seconds"),
)


def row(results: dict) -> dict[str, object]:
    """One run in one line of the table."""
    epochs, steps = results["vision"]["epochs"], results["memory"]["steps"]
    generations, score = results["controller"]["generations"], results["evaluation"]
    values = (
        results["env"],
        results["seed"],
        results["scale"],
        results["collect"]["frames"],
        epochs[0]["val_reconstruction"],
        epochs[-1]["val_reconstruction"],
        epochs[-1]["val_kl"],
        steps[-1]["val_nll"],
        results["memory"]["persistence_nll"],
        generations[0]["mean"],
        generations[-1]["mean"],
        *(results["vision"].get(name) for name in ("heldout_reconstruction", "heldout_kl")),
        results["memory"].get("heldout_nll"),
        score["mean"],
        *score["interval"],
        score["episodes"],
        score["random"]["mean"],
        sum(stage["seconds"] for stage in results["stages"].values()),
    )
    rounded = (f"{value:.3f}" if isinstance(value, float) else value for value in values)
    return dict(zip(COLUMNS, rounded, strict=True))


def shrink(source: Path, target: Path) -> None:
    """A GIF of `FRAMES` frames spread over the episode, small enough for a README."""
    film = [frame.convert("RGB") for frame in ImageSequence.Iterator(Image.open(source))]
    chosen = [film[i * (len(film) - 1) // (FRAMES - 1)] for i in range(FRAMES)]
    height = round(chosen[0].height * WIDTH / chosen[0].width)
    small = [frame.resize((WIDTH, height)).quantize(48, dither=Image.Dither.NONE) for frame in chosen]
    small[0].save(target, save_all=True, append_images=small[1:], duration=150, loop=0, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that hold results.json")
    parser.add_argument("--to", type=Path, default=STUDY, help="where results.csv and the GIFs go")
    arguments = parser.parse_args()
    rows = []
    for run in sorted(arguments.runs):
        results = json.loads((run / "results.json").read_text())
        rows.append(row(results))
        shrink(run / "episode.gif", arguments.to / f"{results['env']}.gif")
    with (arguments.to / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
