"""The encode stage."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from worldmodels.config import plain
from worldmodels.envs import task_spec
from worldmodels.factory import make_vision
from worldmodels.pipeline.stage import Work
from worldmodels.pipeline.stages import collect, encode
from worldmodels.rollouts.executor import SerialExecutor
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.artifacts import WEIGHTS
from worldmodels.store.building import Store
from worldmodels.store.journal import Journal
from worldmodels.transfer.weights import save_weights


@pytest.fixture
def made(compose, tmp_path):
    """A config, and folders with a small data set, V's weights, and the data set encoded by V."""
    config = compose(
        *("env=lunar_lander", "scale=smoke", "collect.max_steps=9", "collect.rollouts=3"),
        *("trainer=cpu", "trainer.precision=32-true"),
    )
    for name in ("dataset", "encoded"):
        (tmp_path / name).mkdir()
    collect.run(config, SerialExecutor(), tmp_path / "dataset")
    save_weights(make_vision(config), tmp_path / "v.safetensors")
    encode.run(config, tmp_path / "dataset", tmp_path / "v.safetensors", tmp_path / "encoded")
    return config, tmp_path


def again(made):
    config, folder = made
    return encode.run(config, folder / "dataset", folder / "v.safetensors", folder / "encoded")


@torch.no_grad()
def test_latents_are_vs_own_and_the_rest_is_carried_over(made):
    config, folder = made
    dataset, encoded = RolloutStore(folder / "dataset"), RolloutStore(folder / "encoded")
    assert encoded.entries == dataset.entries
    network = make_vision(config, folder / "v.safetensors")
    for rollout in range(3):
        frames = torch.from_numpy(dataset.read(rollout, "frames"))
        for t in (0, 8):  # one at a time
            expected = network.encode(frames[t : t + 1].permute(0, 3, 1, 2) / 255)
            for name, value in (("mu", expected.mu), ("log_var", expected.log_var)):
                read = encoded.read(rollout, name)
                assert (read.shape, read.dtype) == ((9, 32), np.float32)
                np.testing.assert_allclose(read[t], value[0].numpy(), atol=1e-5)
        for name in ("actions", "rewards", "terminated", "truncated"):
            np.testing.assert_array_equal(encoded.read(rollout, name), dataset.read(rollout, name))
    assert np.ptp(encoded.read(0, "mu"), axis=0).max() > 1e-4  # frames differ, and so do their codes


def test_batches_do_not_show(made, monkeypatch):
    whole = RolloutStore(made[1] / "encoded").read(0, "mu")
    (made[1] / "encoded" / "000000.h5").unlink()
    monkeypatch.setattr(encode, "BATCH", 4)
    again(made)
    np.testing.assert_allclose(RolloutStore(made[1] / "encoded").read(0, "mu"), whole, atol=1e-5)


def test_the_precision_is_the_configs(made):
    config, folder = made
    exact = RolloutStore(folder / "encoded").read(0, "mu")
    (folder / "encoded" / "000000.h5").unlink()
    config.trainer.precision = "bf16-mixed"
    again(made)
    rounded = RolloutStore(folder / "encoded").read(0, "mu")
    difference = np.linalg.norm(rounded - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert difference.max() < 0.015
    assert difference.min() > 1e-4


def test_an_interrupted_stage_goes_on(made):
    folder = made[1] / "encoded"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "000001.h5").unlink()
    (folder / "index.json").unlink()
    kept = {name: (folder / name).stat().st_mtime_ns for name in ("000000.h5", "000002.h5")}
    assert again(made) == {"rollouts": 3, "frames": 27}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept


def test_a_damaged_file_is_made_anew(made):
    path = made[1] / "encoded" / "000001.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again(made)
    assert path.read_bytes() == whole


CODE = {"files": {"worldmodels.vision.inference": "1"}, "versions": {"torch": "2"}}


@pytest.mark.parametrize(
    ("files", "versions", "data", "reused"),
    [
        ({}, {}, "same", True),
        ({"worldmodels.vision.inference": "0"}, {}, "same", False),
        ({}, {"torch": "1"}, "same", False),
        ({}, {}, "made anew", False),
    ],
)
def test_only_what_this_code_encoded_is_taken_from_an_earlier_run(made, files, versions, data, reused):
    config, folder = made
    store, run = Store(folder / "artifacts"), folder / "run"
    code = {"files": CODE["files"] | files, "versions": CODE["versions"] | versions}
    inputs = {"format": 1, **json.loads(json.dumps(encode.STAGE.inputs(config)))}

    def weights(to):
        shutil.copy(folder / "v.safetensors", to / WEIGHTS)
        return {}

    def rollouts(to):
        shutil.copytree(folder / "encoded", to, dirs_exist_ok=True)
        return {}

    def collected(of):
        def build(to):
            (to / "index.json").write_text(of)
            return {}

        return store.build("collect", of.replace(" ", "-"), {"of": of}, {}, build, {})

    vision = store.build("vision", "v", {}, {}, weights, {})
    parents = {"vision": vision, "dataset": collected("same")}
    encoded = store.build("encode", "e", inputs, parents, rollouts, {}, code)
    run.mkdir()
    stages = {"encode": {"artifact": encoded.name}, "collect": {"artifact": collected(data).name}}
    results = json.dumps({"config": plain(config), "artifacts": str(store.root), "stages": stages})
    (run / "results.json").write_text(results)
    config = dataclasses.replace(config, collect=dataclasses.replace(config.collect, mix=str(run)))
    (folder / "again").mkdir()
    journal, spec = Journal(folder / "again", None, "encode"), task_spec(config.env)
    work = Work(config, spec, parents, SerialExecutor(), folder / "again", journal, CODE)
    found = encode._encoded_before(work)
    assert (found.path if found else None) == (encoded.path if reused else None)
