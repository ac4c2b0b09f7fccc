"""The examples run from a folder outside the checkout, as their README says, with nothing edited."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, ended
from safetensors.numpy import load_file

from worldmodels.config import config_to_json
from worldmodels.pipeline.stages import collect
from worldmodels.rollouts.storage import RolloutStore

TASK = "lunar_lander"


class Example:
    """A copy of an example; its runs write to ``outputs``."""

    def __init__(self, name, folder, outputs, warm):
        self.folder, self.outputs, self.warm = folder / name, outputs, warm
        shutil.copytree(ROOT / "examples" / name, self.folder)

    def python(self, *arguments, spares=1):
        path = f"{self.folder}{os.pathsep}{ROOT}"
        return ended(self.warm.start(arguments, self.folder, {"PYTHONPATH": path}, spares=spares))

    def train(self, *overrides):
        """Train at the smallest scale. Returns what was printed and ``results.json``."""
        settings = (f"env={TASK}", "scale=smoke", "trainer=cpu", "trainer.threads=1", "vae.epochs=1")
        settings += ("measure.enabled=false", f"paths.outputs={self.outputs}")
        printed = self.python("-m", "worldmodels.train", *overrides, *settings)
        paths = sorted(self.outputs.rglob("results.json"), key=lambda path: path.stat().st_mtime_ns)
        return printed, json.loads(paths[-1].read_text())

    def artifact(self, results, stage):
        return self.outputs / "artifacts" / stage / Path(results["stages"][stage]["artifact"]).name


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def example(tmp_path, outputs, warm):
    return lambda name: Example(name, tmp_path, outputs, warm)


@pytest.mark.slow
def test_a_search_of_ones_own(example):
    mine = example("own_search")
    printed, results = mine.train("--config-dir", "conf", "controller=mine", "stage=controller", "probe.enabled=false")
    assert "mirrored evolution strategy: " in printed
    weights = load_file(mine.artifact(results, "controller") / "weights.safetensors")
    assert np.abs(weights["mean"]).max() > 0
    counted = results["stages"]["controller"]["inputs"]["controller"]["search"]
    assert counted.items() >= {"_target_": "my_search.MirroredES", "sigma": 0.2, "rate": 0.5}.items()


def test_telling_the_same_returns_restores_a_search_of_ones_own(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "own_search")
    from my_search import MirroredES

    first, second = MirroredES(9, 5, 0), MirroredES(9, 5, 0)
    for _ in range(3):
        np.testing.assert_array_equal(first.ask(), second.ask())
        for search in (first, second):
            search.tell((-np.square(search.asked - 1).sum(1)).tolist())
    start = -np.square(MirroredES(9, 40, 0).mean - 1).sum()
    search = MirroredES(9, 40, 0)
    for _ in range(60):
        search.tell((-np.square(search.ask() - 1).sum(1)).tolist())
    assert -np.square(search.mean - 1).sum() > start / 10


@pytest.mark.slow
def test_an_executor_of_ones_own_gives_the_same_results(example):
    mine = example("own_executor")
    found = []
    for engine in (["--config-dir", "conf", "executor=mine"], []):
        _, results = mine.train(*engine, "stage=controller", "probe.enabled=false", "executor.workers=1")
        assert not results["stages"]["controller"]["cached"]
        artifact = mine.artifact(results, "controller")
        rows = [row["fitness"] for row in results["controller"]["generations"]]
        found.append((rows, (artifact / "weights.safetensors").read_bytes()))
        shutil.rmtree(artifact)
    assert found[0] == found[1]


COLLECTING = """
import contextlib, sys
from pathlib import Path
from my_executor import Pool
from worldmodels.config import config_from_json
from worldmodels.pipeline.stages import collect
from worldmodels.rollouts.executor import SerialExecutor

if __name__ == "__main__":
    for executor in (SerialExecutor(), Pool(2)):
        Path(type(executor).__name__).mkdir()
        with contextlib.closing(executor):
            collect.run(config_from_json(sys.argv[1]), executor, Path(type(executor).__name__))
"""


def test_an_executor_of_ones_own_collects_the_same_and_stops_when_there_is_enough(example, compose, warm):
    mine = example("own_executor")
    config = compose(f"env={TASK}", "collect.rollouts=30", "collect.max_steps=12", "collect.frames=60")
    (mine.folder / "collecting.py").write_text(COLLECTING)
    mine.python(mine.folder / "collecting.py", config_to_json(config), spares=2)
    found = [
        {path.name: path.read_bytes() for path in (mine.folder / name).iterdir()} for name in ("SerialExecutor", "Pool")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 5 + 1  # and the index


@pytest.mark.slow
def test_a_policy_of_ones_own(example, compose, monkeypatch):
    mine = example("own_policy")
    options = ("--config-dir", "conf", "+collect=zigzag", "stage=collect")
    _, results = mine.train(*options, "collect.policy.period=7")
    artifact = mine.artifact(results, "collect")
    assert "Zigzag" in artifact.name
    actions = RolloutStore(artifact).read(1, "actions")
    expected = [1.0 if step // 7 % 2 == 0 else -1.0 for step in range(len(actions))]
    assert actions[:, 0].tolist() == expected
    assert len(set(actions[:, 1].tolist())) == len(actions)
    monkeypatch.syspath_prepend(mine.folder)
    inline = compose(f"env={TASK}", "scale=smoke", "collect.policy={_target_: my_policy.Zigzag, period: 7}")
    assert collect.STAGE.inputs(inline)["collect"] == results["stages"]["collect"]["inputs"]["collect"]


@pytest.mark.slow
def test_a_strategy_of_ones_own(example):
    mine = example("own_strategy")
    _, results = mine.train("--config-dir", "conf", "transfer=mine", "stage=vision", "probe.enabled=false")
    counts = results["parameters"]["vision"]
    encoder = counts["groups"]["encoder"]
    assert results["transfer"] == "mine"
    assert encoder["frozen"] == counts["frozen"] == 32 * (4 * 4 * 3 + 1)  # the first convolution
    assert counts["copied"] == encoder["total"]
    assert counts["fresh"] == counts["total"] - encoder["total"]


@pytest.mark.slow
def test_recorded_rollouts(example):
    mine = example("recorded_rollouts")
    mine.python("record.py", "rollouts", "--episodes", 3, "--steps", 40)
    _, results = mine.train("collect.recorded=rollouts", "stage=vision")
    assert (results["collect"]["rollouts"], results["collect"]["frames"]) == (3, 120)
    assert results["collect"]["coverage"] == {}
    artifact = mine.artifact(results, "collect")
    assert "recorded" in artifact.name
    given = np.load(mine.folder / "rollouts" / "00002.npz")
    store = RolloutStore(artifact)
    np.testing.assert_array_equal(store.read(2, "actions"), given["actions"])
    assert store.read(2, "frames").shape == (40, 64, 64, 3)
    assert np.isfinite(results["vision"]["epochs"][-1]["val_reconstruction"])
    assert "probes" in results  # on held-out rollouts of the task
