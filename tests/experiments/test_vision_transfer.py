"""The studies of V's transfer at their smallest scale: their sweeps, and their analyses against what the runs say."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Commands, Finished
from synthetic import t_limits

SMALL = ("vae.epochs=2", "heldout.rollouts=12", "collect.max_steps=20")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def sweep(commands: Commands, study: str, name: str, *overrides: str) -> None:
    commands.train("-m", "--config-dir=experiments", f"+{study}={name}", *SMALL, *overrides)


@pytest.mark.slow
def test_vision_transfer_becomes_tables_and_figures(studies: Commands, tmp_path: Path) -> None:
    commands = studies

    def results(name: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}-seed*/results.json"))]

    def curves(runs: list[dict[str, Any]], measure: str = "val_reconstruction") -> np.ndarray:
        return np.array([[epoch[measure] for epoch in run["vision"]["epochs"]] for run in runs])

    def held(runs: list[dict[str, Any]], measure: str) -> np.ndarray:
        return np.array([run["measures"]["vision"][measure]["value"] for run in runs])

    sweep(commands, "vision_transfer", "sweep", "env=car_racing", "transfer=scratch,freeze_encoder", "seed=0,1")
    sweep(commands, "vision_transfer", "controls", "transfer=random_encoder", "seed=0")
    sweep(commands, "vision_transfer", "more_seeds", "transfer=scratch", "transfer.budget=1.0", "seed=1")
    folder = commands.outputs / "studies" / "vision_transfer" / "smoke"
    scratch, half = results("car_racing-scratch-1.0"), results("car_racing-scratch-0.5")
    frozen, half_frozen = results("car_racing-freeze_encoder-1.0"), results("car_racing-freeze_encoder-0.5")
    random = results("car_racing-random_encoder-1.0")
    assert [len(runs) for runs in (scratch, half, frozen, half_frozen, random)] == [2, 2, 2, 2, 1]
    assert scratch[1]["stages"]["vision"]["cached"]
    commands.analyse("vision_transfer", f"{folder}/*", "--to", str(tmp_path))

    gains = {
        (row["question"], row["label"], row["reference"], row["measure"], row["metric"]): row
        for row in rows(tmp_path / "gains.csv")
    }
    for question, label, reference, own, other in (
        ("equal data", "freeze_encoder", "scratch", frozen, scratch),
        ("equal data", "freeze_encoder ×0.5", "scratch ×0.5", half_frozen, half),
        ("as in the study", "freeze_encoder ×0.5", "scratch", half_frozen, scratch),
        ("as in the study", "scratch ×0.5", "scratch", half, scratch),
    ):
        for measure in ("reconstruction", "kl"):
            better = curves(other, f"val_{measure}") - curves(own, f"val_{measure}")
            for metric, values in (
                ("jump_start", better[:, 0]),
                ("asymptote", better[:, 1]),
                ("area", better.mean(axis=1)),
                ("heldout", held(other, measure) - held(own, measure)),
            ):
                row = gains[question, label, reference, measure, metric]
                low, high = t_limits(values)
                expected = [low, values.mean(), high]
                assert [float(row[key]) for key in ("low", "value", "high")] == pytest.approx(expected, rel=1e-3)
                assert (row["seeds"], row["negative"], row["verdict"]) == ("0 1", str(high < 0), "undecided")
    control = gains["control", "freeze_encoder", "random_encoder", "reconstruction", "asymptote"]
    assert float(control["value"]) == pytest.approx(curves(random)[0, 1] - curves(frozen)[0, 1], rel=1e-3)
    assert (control["seeds"], control["low"]) == ("0", "")

    summary = {row["label"]: row for row in rows(tmp_path / "summary.csv")}
    row = summary["freeze_encoder ×0.5"]
    assert float(row["reconstruction_last"]) == pytest.approx(curves(half_frozen)[:, 1].mean(), rel=1e-4)
    assert float(row["heldout_reconstruction"]) == pytest.approx(held(half_frozen, "reconstruction").mean(), rel=1e-4)
    assert (row["frozen"], row["copied"]) == ("690144", "4348547")
    seconds = curves(half_frozen, "seconds")
    fastest = [float(row[f"epoch_seconds_fastest{bound}"]) for bound in ("_low", "", "_high")]
    low, high = t_limits(seconds.min(axis=1))
    assert fastest == pytest.approx([low, seconds.min(axis=1).mean(), high], rel=1e-3)
    assert float(row["loss_last"]) == pytest.approx(curves(half_frozen, "val_total")[:, 1].mean(), rel=1e-4)
    frames = np.mean([run["collect"]["frames"] for run in half_frozen])
    assert float(row["frames"]) == pytest.approx(frames / 2)
    assert float(row["frames_with_source"]) > float(row["frames"])
    assert summary["scratch"]["frames_with_source"] == summary["scratch"]["frames"]
    found = {(row["label"], row["target"], row["probe"]): row for row in rows(tmp_path / "probes.csv")}
    truth = [run["probes"]["vision"]["z"]["centre_angle"]["linear"]["r2"] for run in scratch]
    assert float(found["scratch", "centre_angle", "linear"]["value"]) == pytest.approx(np.mean(truth), rel=1e-3)

    committed = tmp_path / "again"  # the tables tell as much as the runs
    commands.analyse("vision_transfer", "--from-csv", str(tmp_path), "--to", str(committed))
    again = {tuple(row[key] for key in list(row)[:7]): row["value"] for row in rows(committed / "gains.csv")}
    assert len(again) == len(gains) and sum(key[-1] == "heldout" for key in again) == len(gains) / 4
    for row in gains.values():
        assert float(again[tuple(row[key] for key in list(row)[:7])]) == pytest.approx(float(row["value"]), abs=2e-2)

    for name in ("curves_car_racing", "controls_car_racing", "gains_car_racing", "seconds"):
        assert "epoch" in (tmp_path / f"{name}.svg").read_text()
    assert (tmp_path / "pictures_car_racing.png").stat().st_size <= 300_000


@pytest.mark.slow
def test_lander_reconstruction_tells_of_the_ship_by_strategy(
    finished: Callable[[str], Finished], commands: Commands, tmp_path: Path
) -> None:
    shutil.copytree(finished("lander_reconstruction").outputs, commands.outputs)
    sweep(commands, "lander_reconstruction", "foveal", "transfer=scratch", "seed=0", "heldout.max_steps=40")
    studies = commands.outputs / "studies" / "lander_reconstruction" / "smoke"
    commands.analyse("lander_reconstruction", f"{studies}/*", "--to", str(tmp_path))
    found = {(row["vae"], row["label"], row["target"], row["probe"]): row for row in rows(tmp_path / "probes.csv")}
    for vae, name in (("cvae", "scratch"), ("cvae", "freeze2"), ("foveal", "scratch")):
        run = json.loads((studies / f"{vae}-{name}-1.0-seed0" / "results.json").read_text())["probes"]["vision"]
        assert float(found[vae, name, "x", "mlp"]["value"]) == pytest.approx(run["z"]["x"]["mlp"]["r2"], rel=1e-3)
        assert bool(found[vae, name, "x", "mlp"]["constant"]) and float(found[vae, name, "x", "mlp"]["constant"]) <= 0
        recall = found[vae, name, "ship", "recall"]
        assert float(recall["value"]) == pytest.approx(run["objects"]["ship"]["recall"])
        assert (recall["seeds"], recall["value_low"]) == ("1", "")
    assert len(rows(tmp_path / "runs.csv")) == 3
    for vae in ("cvae", "foveal"):
        assert (tmp_path / f"lunar_lander_{vae}.png").stat().st_size <= 300_000
