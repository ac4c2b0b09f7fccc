"""Table and pictures of finished runs: ``python experiments/lander_vision/analyse.py RUN … [--to FOLDER]``.

``results.csv`` has a line a run, ``summary.csv`` one a variant (mean over its seeds, and their range), and
``<task>.png`` shows the same held-out frames as each variant's first seed reconstructs them.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.diagnostics.probe_report import VISIBLE
from worldmodels.envs import task_class, task_spec
from worldmodels.factory import make_vision
from worldmodels.reports import pictures
from worldmodels.reports.tidy import write_csv
from worldmodels.rollouts.config import POLICY
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.utils import parts
from worldmodels.utils.settings import counted
from worldmodels.vision.config import LOSS, NETWORK, VisionConfig
from worldmodels.vision.scaling import to_pixels

STUDY = Path(__file__).parent


def variant(vae: VisionConfig) -> str:
    """What was compared: the network, its loss, and whether z is read out."""
    network, loss = parts.name(NETWORK, vae.network), parts.name(LOSS, vae.loss)
    readouts = loss == "salient" and parts.complete(LOSS, vae.loss, "vae.loss")["glimpse"] > 0
    return f"{network} {loss}{' with readouts' if readouts else ''}"


def row(run: FinishedRun) -> dict[str, Any]:
    """One run in one line. ``settings`` is a hash of all that V's training depends on besides data and seed."""
    results, settings = run.results, json.dumps(counted(run.config.vae), sort_keys=True)
    config, vision, probes = results["config"], results["vision"]["epochs"][-1], results["probes"]["vision"]
    values = {
        "env": results["env"],
        "variant": variant(run.config.vae),
        "settings": hashlib.sha256(settings.encode()).hexdigest()[:6],
        "seed": results["seed"],
        "frames": results["collect"]["frames"],
        "policy": parts.name(POLICY, run.config.collect.policy),
        "scatter": config["collect"]["scatter"],
        "max_steps": config["collect"]["max_steps"],
        "epochs": config["vae"]["epochs"],
        "batch_size": config["vae"]["batch_size"],
        "val_reconstruction": vision["val_reconstruction"],
        "val_kl": vision["val_kl"],
        **{name: value for name, value in results["vision"].items() if name.startswith("heldout_")},
        "seconds": results["stages"]["vision"]["seconds"],
        **{f"data_{name}": share for name, share in results["collect"]["coverage"].items()},
    }
    for target, figures in probes["z"].items():
        for probe in ("linear", "mlp"):
            values[f"{target}_{probe}"] = figures[probe]["r2"]
            low, high = figures[probe]["interval"]
            values |= {f"{target}_{probe}_low": low, f"{target}_{probe}_high": high}
        values[f"{target}_shuffled"] = figures["shuffled"]["linear"]
    for thing, figures in probes["objects"].items():
        values |= {f"{thing}_recall": figures["recall"], f"{thing}_frames": figures["frames"]}
        values |= least_drawn(run, thing)
    return values


@torch.inference_mode()
def least_drawn(run: FinishedRun, thing: str) -> dict[str, float | int | None]:
    """Of all held-out frames that show a thing, also those that the probes are fitted on: how many there are, and the
    least share of the thing's colour that a reconstruction has anywhere (recall asks for it at its place).
    """
    heldout, encoded = run.heldout_folder("heldout"), run.heldout_folder("heldout_encode")
    assert heldout is not None and encoded is not None, f"{run.folder} was not probed"
    task, fps = task_class(run.config.env), task_spec(run.config.env).fps
    network, colour = make_vision(run.config, run.vision.weights).eval(), task.objects[thing]
    frames, latents = RolloutStore(heldout), RolloutStore(encoded)
    shares = []
    for i in range(len(frames)):
        frames_of = np.flatnonzero(task.shown(frames.read(i, "states"), fps))
        true = colour(frames.read(i, "frames")[frames_of]).sum(axis=(1, 2))
        batches = torch.from_numpy(latents.read(i, "mu")[frames_of]).split(64)
        drawn = [colour(to_pixels(network.decode(batch)).numpy()).sum(axis=(1, 2)) for batch in batches]
        shares += [
            drawn_share / true_share
            for drawn_share, true_share in zip(np.concatenate(drawn), true, strict=True)
            if true_share >= VISIBLE
        ]
    return {f"{thing}_all_frames": len(shares), f"{thing}_least_drawn": float(min(shares)) if shares else None}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a variant: mean, least and greatest over its seeds of every figure that is not an interval's end."""
    shared = ("env", "variant", "settings", "frames", "policy", "scatter", "max_steps", "epochs", "batch_size")
    keys = dict.fromkeys(key for row in rows for key in row)
    figures = [key for key in keys if key not in (*shared, "seed") and not key.endswith(("_low", "_high"))]
    lines = []
    for key in dict.fromkeys(tuple(row[name] for name in shared) for row in rows):
        members = [row for row in rows if tuple(row[name] for name in shared) == key]
        line = dict(zip(shared, key, strict=True)) | {"seeds": len(members)}
        for name in figures:
            values = [row[name] for row in members if row.get(name) is not None]
            line |= (
                {name: float(np.mean(values)), f"{name}_min": min(values), f"{name}_max": max(values)} if values else {}
            )
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that hold results.json")
    parser.add_argument("--to", type=Path, default=STUDY, help="where the table and the picture go")
    arguments = parser.parse_args()
    results = [(row(run), run) for run in map(FinishedRun, arguments.runs)]
    results.sort(key=lambda pair: (pair[0]["env"], pair[0]["variant"], pair[0]["seed"]))
    rows = [figures for figures, _ in results]
    write_csv(arguments.to / "results.csv", rows)
    write_csv(arguments.to / "summary.csv", summary(rows))
    for env in dict.fromkeys(figures["env"] for figures in rows):
        first: dict[str, FinishedRun] = {}
        for figures, run in results:
            if figures["env"] == env:
                first.setdefault(figures["variant"], run)
        pictures.save(arguments.to / f"{env}.png", pictures.reconstructions(first))


if __name__ == "__main__":
    main()
