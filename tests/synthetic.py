"""Finished runs that were never run: folders as training leaves them, with figures made up in closed form."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from worldmodels.config import STAGES, Config
from worldmodels.pipeline.pipeline import DECLARED
from worldmodels.store.artifacts import RECORD, Artifact
from worldmodels.store.results import assemble
from worldmodels.store.runs import RESULTS, path_from
from worldmodels.transfer.budgets import budget_of, epochs_of
from worldmodels.utils import media
from worldmodels.utils.statistics import describe

SECONDS = {"collect": 10.0, "vision": 100.0, "encode": 5.0, "memory": 50.0, "controller": 200.0, "evaluate": 20.0}
FRAMES = {"target": 1000, "source": 700}


def t_limits(values: Sequence[float] | np.ndarray) -> list[float]:
    """The 95 % interval of the mean of a few values, of another hand."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    if error == 0:
        return [mean, mean]
    return [float(limit) for limit in stats.t.interval(0.95, len(values) - 1, mean, error)]


def counts(total: int, copied: int = 0, frozen: int = 0) -> dict[str, int]:
    kinds = {"total": total, "copied": copied, "fresh": total - copied}
    return {**kinds, "frozen": frozen, "trainable": total - frozen}


def summaries(config: Config, gain: float) -> dict[str, dict[str, Any]]:
    """Every stage's summary: all curves are ``gain`` better than those of 0, at every point; seeds differ by 1."""
    seed, transfer = config.seed, config.transfer
    loaded = {part: part in transfer.load for part in ("vision", "memory")}
    steps = epochs_of(config, "memory")
    epochs = [
        {"epoch": x, "reconstruction": y, "kl": 17.0 + x, "val_reconstruction": y + 2, "val_kl": 18.0 + x, "seconds": 9}
        for x, y in ((x, 100 / x + seed - gain) for x in range(1, config.vae.epochs + 1))
    ]
    nlls = [
        {"step": x, "nll": y, "val_nll": y + 0.1}
        for x, y in ((x * config.memory.validate_every, 1.5 + 0.1 * seed + 1 / x - gain) for x in range(1, steps + 1))
    ]
    generations = [
        {"generation": x, "best": y + 9, "mean": y, "worst": y - 9, "std": 5.0, "seconds": 9.0, "fitness": [y]}
        for x, y in ((x, 20.0 * x + seed + gain) for x in range(1, config.controller.generations + 1))
    ]
    scores = {
        name: describe([mean - 1, mean, mean + 1]) for name, mean in (("mean", 300 + seed + gain), ("random", -30))
    }
    groups = {"encoder": counts(690_144, 690_144 * loaded["vision"], 34_400 * bool(transfer.freeze))}
    lstm = {"lstm": counts(299_008, 299_008 * loaded["memory"])}
    return {
        "collect": {
            "rollouts": 10,
            "frames": FRAMES["target"],
            "return_mean": -30.0,
            "return_std": 1.0,
            "coverage": {},
        },
        "vision": {"epochs": epochs, "parameters": {**groups["encoder"], "groups": groups}},
        "encode": {},
        "memory": {"steps": nlls, "persistence_nll": 2.0, "parameters": {**lstm["lstm"], "groups": lstm}},
        "controller": {"parameters": 867, "generations": generations},
        "evaluate": {
            **scores["mean"],
            "official": True,
            "seeds": [1, 2, 3],
            "best": scores["mean"],
            "random": scores["random"],
        },
    }


def judged(gain: float, seed: int) -> dict[str, dict[str, Any]]:
    """What probes and measures say: V and M are ``gain`` better than those of 0; seeds differ by 1, M's by 0.1."""

    def r2(value: float) -> dict[str, Any]:
        return {"r2": value, "interval": [value - 0.1, value + 0.1]}

    def figure(value: float | None) -> dict[str, Any]:
        return {"value": value, "interval": None if value is None else [value - 0.1, value + 0.1]}

    target = {"linear": r2(0.5 + gain / 100), "mlp": r2(0.6), "shuffled": {"linear": 0.0, "mlp": None}}
    recall = {"recall": 0.9, "interval": [0.8, 1.0], "frames": 50}
    models = ("memory", "persistence", "reservoir", "mismatched_actions")
    errors = {name: [figure(0.2), figure(None)] for name in models}
    probes = {"z": {"speed": target}, "frames": 50, "rollouts": 5}
    return {
        "measure_vision": {"reconstruction": figure(50.0 + seed - gain), "kl": figure(18.0 + seed), "frames": 50},
        "probe_vision": {**probes, "objects": {"car": recall}},
        "probe_memory": {**probes, "zh": {"speed": target}},
        "measure_memory": {
            "open_loop": {**errors, "horizons": [1, 100], "forecasts": [9, 0]},
            "nll": {name: figure(1.2) for name in models} | {"memory": figure(1.2 + 0.1 * seed - gain)},
            "calibration": None,
        },
    }


def write_run(
    outputs: Path, config: Config, gain: float = 0.0, stages: int = len(STAGES), name: str = "", probed: bool = True
) -> Path:
    """Leave a run's folder and its artifacts under ``outputs``, as far as the first ``stages`` stages. Its transferred
    V or M differs from scratch's; whatever is not transferred is the same artifact. Returns the folder.
    """
    transfer, scratch = config.transfer, not config.transfer.load
    label = f"{transfer.name}-{transfer.budget}-{gain}"
    folder = outputs / "runs" / (name or f"{config.env.name}-{label}-seed{config.seed}-{stages}")
    folder.mkdir(parents=True)
    store = outputs / "artifacts"

    def made(stage: str, label: str, summary: Mapping[str, Any]) -> Artifact:
        path = store / stage / f"{config.env.name}-{label}-{config.scale}-seed{config.seed}"
        (path / RECORD / "pictures").mkdir(parents=True, exist_ok=True)
        inputs = {**DECLARED[stage].inputs(config)}
        manifest = {"summary": dict(summary), "seconds": SECONDS.get(stage, 1.0), "inputs": inputs}
        (path / "manifest.json").write_text(json.dumps(manifest))
        return Artifact(path, manifest, cached=False)

    def strategy(stage: str) -> str:
        if stage == "collect":
            return DECLARED[stage].label(config)
        whole = "scratch" if transfer.budget == 1 or not scratch else label
        if stage in ("vision", "encode"):
            return label if "vision" in transfer.load else "scratch" if budget_of(transfer, "vision") == 1 else whole
        return whole if scratch else label

    found = summaries(config, gain)
    artifacts = {stage: made(stage, strategy(stage), found[stage]) for stage in STAGES[:stages]}
    if "vision" in artifacts:
        for epoch in (1, config.vae.epochs):
            picture = np.full((130, 64, 3), 10 * epoch, np.uint8)
            path = artifacts["vision"].path / RECORD / "pictures" / f"reconstruction.{epoch:06d}.png"
            path.write_bytes(media.png_bytes(picture))
    source = {}
    if not scratch:
        source["collect"] = made("collect", "of-the-source", {"frames": FRAMES["source"]})
        source["vision"] = made("vision", "of-the-source", {})
    figures = {"heldout": {}, "heldout_encode": {}, **judged(gain, config.seed)}
    held = {part: made(part, strategy("memory"), found) for part, found in figures.items()}
    held = held if probed and "memory" in artifacts else {}
    env = None if scratch else transfer.source_env
    results = assemble(config, artifacts, source, path_from(folder, store), env, held)
    (folder / RESULTS).write_text(json.dumps(results))
    return folder
