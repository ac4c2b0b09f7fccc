"""Table and pictures of finished runs: ``python experiments/lander_vision/analyse.py RUN … [--to FOLDER]``.

``results.csv`` has a line a run, ``summary.csv`` one a variant (mean over its seeds, and their range), and
``reconstructions.png`` shows the same held-out frames as each variant's first seed reconstructs them.
"""

import argparse
import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels import media
from worldmodels.parts import make_vision
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.runs import FinishedRun
from worldmodels.vision.pixels import to_pixels, to_unit

HERE = Path(__file__).parent
PICTURED = 12  # frames


def variant(config: dict[str, Any]) -> str:
    """What was compared: the network, its loss, and whether z is read out."""
    vae = config["vae"]
    network = vae["network"]["_target_"].rsplit(".", 1)[1]
    readouts = vae["loss"] == "salient" and vae["salient_glimpse"] > 0
    return f"{network} {vae['loss']}{' with readouts' if readouts else ''}"


def row(results: dict[str, Any]) -> dict[str, Any]:
    """One run in one line."""
    config, vision, probes = results["config"], results["vision"]["epochs"][-1], results["probes"]["vision"]
    values = {
        "env": results["env"],
        "variant": variant(config),
        "seed": results["seed"],
        "frames": results["collect"]["frames"],
        "policy": config["collect"]["policy"],
        "scatter": config["collect"]["scatter"],
        "epochs": config["vae"]["epochs"],
        "batch_size": config["vae"]["batch_size"],
        "val_reconstruction": vision["val_reconstruction"],
        "val_kl": vision["val_kl"],
        "seconds": results["stages"]["vision"]["seconds"],
    }
    for target, figures in probes["z"].items():
        for probe in ("linear", "mlp"):
            values[f"{target}_{probe}"] = figures[probe]["r2"]
            low, high = figures[probe]["interval"]
            values |= {f"{target}_{probe}_low": low, f"{target}_{probe}_high": high}
        values[f"{target}_shuffled"] = figures["shuffled"]["linear"]
    for thing, figures in probes["objects"].items():
        values |= {f"{thing}_recall": figures["recall"], f"{thing}_frames": figures["frames"]}
    return values


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a variant: mean, least and greatest over its seeds of every figure that is not an interval's end."""
    shared = ("env", "variant", "frames", "policy", "scatter", "epochs", "batch_size")
    figures = [key for key in rows[0] if key not in (*shared, "seed") and not key.endswith(("_low", "_high"))]
    lines = []
    for key in dict.fromkeys(tuple(row[name] for name in shared) for row in rows):
        members = [row for row in rows if tuple(row[name] for name in shared) == key]
        line = dict(zip(shared, key, strict=True)) | {"seeds": len(members)}
        for name in figures:
            values = [row[name] for row in members if row.get(name) is not None]
            line |= {name: np.mean(values), f"{name}_min": min(values), f"{name}_max": max(values)} if values else {}
        lines.append(line)
    return lines


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


@torch.inference_mode()
def reconstructions(runs: Iterable[Path]) -> np.ndarray:
    """Held-out frames above every run's reconstruction of them from μ; all runs share the held-out rollouts."""
    rows: list[np.ndarray] = []
    for run in map(FinishedRun, runs):
        heldout = run.judged("heldout")
        assert heldout is not None, f"{run.folder} was not probed"
        store = RolloutStore(heldout)
        if not rows:
            lengths = store.lengths
            chosen = np.linspace(0, len(lengths) - 1, PICTURED).astype(int)
            rows.append(np.stack([store.read(int(i), "frames")[int(lengths[i]) // 2] for i in chosen]))
        network = make_vision(run.config, run.vision.weights).eval()
        frames = to_unit(torch.from_numpy(rows[0]))
        rows.append(to_pixels(network.decode(network.encode(frames).mu)).numpy())
    return media.grid(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that hold results.json")
    parser.add_argument("--to", type=Path, default=HERE, help="where the table and the picture go")
    arguments = parser.parse_args()
    found = [(row(json.loads((run / "results.json").read_text())), run) for run in arguments.runs]
    found.sort(key=lambda pair: (pair[0]["env"], pair[0]["variant"], pair[0]["seed"]))
    rows = [figures for figures, _ in found]
    write(arguments.to / "results.csv", rows)
    write(arguments.to / "summary.csv", summary(rows))
    first: dict[str, Path] = {}
    for figures, run in found:
        first.setdefault(figures["variant"], run)
    (arguments.to / "reconstructions.png").write_bytes(media.png_bytes(reconstructions(first.values())))
    print("\n".join(["rows of reconstructions.png, from above: held-out frames", *first]))


if __name__ == "__main__":
    main()
