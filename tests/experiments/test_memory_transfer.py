"""The study at its smallest scale: its sweeps, and their analysis against what the runs say."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, Commands, script
from synthetic import t_limits

from worldmodels.reports import studies
from worldmodels.reports.groups import group_runs
from worldmodels.transfer.metrics import Curves

SCRIPT = ROOT / "experiments" / "memory_transfer" / "analyse.py"
SMALL = ("vae.epochs=2", "collect.max_steps=20", "memory.steps=16", "measure.samples=2", "probe.enabled=false")
UNMEASURED = "measure.enabled=false"
METRICS = ("jump_start", "asymptote", "area")
Runs = list[dict[str, Any]]  # by seed


@pytest.mark.slow
def test_sweeps_become_tables_and_figures(studies: Commands, tmp_path: Path, analysis: Any) -> None:
    commands = studies

    def sweep(name: str, *overrides: str) -> None:
        commands.train("-m", "--config-dir=experiments", f"+memory_transfer={name}", *SMALL, *overrides)

    def results(name: str) -> Runs:
        return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}-seed*/results.json"))]

    sweep("sweep", UNMEASURED, "transfer=scratch,freeze_lstm", "transfer.budget=1.0", "seed=0,1")
    sweep("sweep", UNMEASURED, "transfer=scratch,freeze_lstm,random_lstm", "seed=0")
    sweep("input_layers", "transfer.input_layer=keep_latent", "seed=0")
    sweep("alignment", UNMEASURED, "seed=0")
    folder = commands.outputs / "studies" / "memory_transfer" / "smoke"
    scratch, frozen, random = (results(f"{name}-1.0") for name in ("scratch", "freeze_lstm", "random_lstm"))
    half_scratch, half_frozen = (results(f"{name}-0.5") for name in ("scratch", "freeze_lstm"))
    half_random = results("random_lstm-0.5")
    kept, frozen_kept = (results(f"{name}-keep_latent-1.0") for name in ("pretrained_memory", "freeze_lstm"))
    assert (len(scratch), len(frozen)) == (2, 2)
    assert all(stage["cached"] for run in (scratch[0], frozen[0]) for stage in run["stages"].values())
    for whole, half in ((scratch, half_scratch), (frozen, half_frozen), (random, half_random)):
        assert nlls(whole)[0][:2] == nlls(half)[0]  # a shorter training begins as a longer one
    aligned: dict[tuple[str, str], Runs] = {}
    for path in folder.glob("alignment-*/results.json"):
        run = json.loads(path.read_text())
        aligned[run["transfer"], "frozen" if run["config"]["transfer"]["freeze"] else "fine-tuned"] = [run]
    visions = [
        {vision(runs[0]) for (_, kind), runs in aligned.items() if kind == of} for of in ("frozen", "fine-tuned")
    ]
    visions.append({vision(runs[0]) for runs in (scratch, frozen, random, half_scratch, half_random, kept)})
    assert [len(each) for each in visions] == [1, 1, 1]  # what is compared has one V
    assert len(set.union(*visions)) == 3

    commands.analyse("memory_transfer", f"{folder}/*", "--to", str(tmp_path))
    tables = {name: rows(tmp_path / f"{name}.csv") for name in ("gains", "summary", "measures", "runs")}
    assert len(tables["runs"]) == 14
    gains = {(row["question"], row["label"], row["reference"], row["metric"]): row for row in tables["gains"]}
    assert len(gains) == len(tables["gains"])

    def check(key: tuple[str, str, str], runs: Runs, reference: Runs) -> np.ndarray:
        """Compares with the table, and returns, the gains on the steps both have: a row a metric, a column a seed."""
        own, other = (np.array(nlls(each[: min(len(runs), len(reference))])) for each in (runs, reference))
        better = other[:, : own.shape[1]] - own
        assert (better != 0).all()  # else what follows says little
        area = (better[:, 1:] + better[:, :-1]).mean(axis=1) / 2
        found = np.array([better[:, 0], better[:, -1], area])
        for metric, values in zip(METRICS, found, strict=True):
            row = gains[*key, metric]
            assert float(row["value"]) == pytest.approx(values.mean(), rel=1e-4)
            if len(values) > 1:
                limits = t_limits(values)
                assert [float(row["low"]), float(row["high"])] == pytest.approx(limits, rel=1e-3)
                assert (row["seeds"], row["negative"], row["verdict"]) == ("0 1", str(limits[1] < 0), "undecided")
            else:
                assert (row["seeds"], row["low"], row["negative"]) == ("0", "", "")
        return found

    check(("strategies", "freeze_lstm", "scratch"), frozen, scratch)
    check(("strategies", "freeze_lstm ×0.5", "scratch"), half_frozen, scratch)
    check(("strategies", "random_lstm ×0.5", "scratch"), half_random, scratch)
    check(("strategies", "freeze_lstm", "random_lstm"), frozen, random)
    check(("input_layers", "freeze_lstm keep_latent", "scratch"), frozen_kept, scratch)
    check(("input_layers", "freeze_lstm keep_latent", "freeze_lstm"), frozen_kept, frozen)
    usual = check(("alignment", "pretrained_memory keep_latent", "scratch"), kept, scratch)
    for kind in ("frozen", "fine-tuned"):
        key = ("alignment", f"aligned {kind} V", f"pretrained_vision {kind} V")
        worth = check(key, aligned["aligned", kind], aligned["pretrained_vision", kind])
        for metric, value in zip(METRICS, (worth - usual)[:, 0], strict=True):
            row = gains["alignment", f"gain with {kind} source V", "gain with own V", metric]
            assert float(row["value"]) == pytest.approx(value, rel=1e-3)

    held = {run["transfer"]: run["memory"]["heldout_nll"] for run in (frozen_kept[0], kept[0])}
    assert ("input_layers", "freeze_lstm keep_latent", "freeze_lstm", "heldout") not in gains, "one was not measured"
    held_out = rows(tmp_path / "heldout.csv")
    assert {each["measure"] for each in held_out} == {"heldout_nll"}
    for run, value in held.items():
        assert value == pytest.approx(
            float(next(each["value"] for each in held_out if each["strategy"] == run)), rel=1e-4
        )
    summary = {row["label"]: row for row in tables["summary"]}
    assert len(summary) == 12
    row, curves = summary["freeze_lstm"], np.array(nlls(frozen))
    expected = {"first": curves[:, 0], "last": curves[:, -1], "late": curves[:, 1] - curves[:, -1]}
    for key, values in expected.items():
        given = [float(row[column]) for column in (f"{key}_low", key, f"{key}_high")]
        low, high = t_limits(values)
        assert given == pytest.approx([low, values.mean(), high], rel=1e-3)
    assert (row["steps"], row["frozen"], row["trainable"]) == ("16", "299008", "123360")
    copied = [int(summary[label]["copied"]) for label in ("freeze_lstm keep_latent", "freeze_lstm", "scratch")]
    assert copied == [422_368 - 3 * 1024, 422_368 - 35 * 1024, 0]

    measured = {(row["label"], row["measure"], row["horizon"]): float(row["value"]) for row in tables["measures"]}
    measures = kept[0]["measures"]["memory"]
    horizons = dict(zip(map(str, measures["open_loop"]["horizons"]), measures["open_loop"]["memory"], strict=True))
    expected = {("open_loop", horizon): horizons[horizon]["value"] for horizon in ("1", "10", "50")}
    expected["nll", ""] = measures["nll"]["memory"]["value"]
    expected["active_dimensions", ""] = measures["active_dimensions"]
    own = {key[1:]: value for key, value in measured.items() if key[0] == "pretrained_memory keep_latent"}
    assert own == pytest.approx(expected, rel=1e-4)
    assert float(summary["pretrained_memory keep_latent"]["heldout"]) == pytest.approx(expected["nll", ""], rel=1e-4)
    for name in ("curves", "input_layers", "alignment", "gains"):
        text = (tmp_path / f"{name}.svg").read_text()
        assert "nats per dimension" in text and len(text) < 300_000
    check_that_v_matters(analysis, f"{folder}/*")


def test_every_seed_has_its_own_threshold(analysis: Any) -> None:
    falling = np.array([5.0, 4, 3, 2, 1])
    reference = Curves(np.arange(5), np.stack([falling + 10, 0.1 * falling]), (0, 1))
    transferred = Curves(np.arange(5), reference.values - [[1.0], [0.1]], (0, 1))  # what it will be a step later
    assert analysis.time_saved(transferred, reference)["per_seed"] == pytest.approx([1, 1])


@pytest.fixture(scope="module")
def analysis() -> Any:
    return script(SCRIPT)


def check_that_v_matters(analysis: Any, pattern: str) -> None:
    """M's of different V's are neither compared nor drawn together."""
    runs = studies.read([pattern], "memory")
    for run in runs:
        if run.folder.name in ("freeze_lstm-1.0-seed1", "random_lstm-0.5-seed0"):
            run.results["stages"]["vision"]["artifact"] = "another"
    (group,) = group_runs(runs, "memory")[0]
    gains = list(analysis.gains(group))
    seeds = {row["seeds"] for row in gains if (row["label"], row["reference"]) == ("freeze_lstm", "scratch")}
    assert seeds == {"0"}
    assert not [row for row in gains if "random_lstm ×0.5" in (row["label"], row["reference"])]
    half, whole, _ = next(panels for file, panels in analysis.panels(group) if file == "curves")
    assert {called: own.seeds for called, own in half.curves.items()} == {"scratch": (0, 1), "freeze_lstm": (0,)}
    assert {called: own.seeds for called, own in whole.curves.items()} == {
        "scratch": (0, 1),
        "freeze_lstm": (0,),
        "random_lstm": (0,),
    }


def nlls(runs: Runs) -> list[list[float]]:
    """Validation NLL by step, a row a run."""
    return [[step["val_nll"] for step in run["memory"]["steps"]] for run in runs]


def vision(run: dict[str, Any]) -> str:
    return run["stages"]["vision"]["artifact"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
