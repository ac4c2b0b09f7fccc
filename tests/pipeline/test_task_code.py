"""The code of a task counts for the stages that play it, and for no other task's."""

from pathlib import Path

import pytest

from worldmodels.pipeline.pipeline import DECLARED
from worldmodels.store import fingerprint

PLAY = ("collect", "heldout", "controller", "evaluate")
TASKS = ("lunar_lander", "car_racing", "bipedal_walker")


@pytest.fixture
def code(compose, monkeypatch):
    """Digest of a stage's code for a config; with ``changed``, as if a line had been added to that module."""
    read = fingerprint._read

    def digest(stage, *overrides, changed=None):
        def reader(name, path):
            source = read(name, path)
            return source._replace(digest="changed") if name == changed else source

        monkeypatch.setattr(fingerprint, "_read", reader)
        config, declared = compose(*overrides), DECLARED[stage]
        modules = [declared.build.__module__, *(path.rpartition(".")[0] for path in declared.parts(config))]
        return fingerprint.fingerprint(modules, ())["files"]

    return digest


@pytest.mark.parametrize("stage", PLAY)
def test_a_scene_counts_for_its_own_task(stage, code):
    before = {task: code(stage, f"env={task}") for task in TASKS}
    for module in ("worldmodels.envs.scenes.lunar_lander", "worldmodels.envs.lunar_lander"):
        after = {task: code(stage, f"env={task}", changed=module) for task in TASKS}
        assert [name for name, digest in after["lunar_lander"].items() if digest != before["lunar_lander"][name]] == [
            module
        ]
        assert after["car_racing"] == before["car_racing"] and after["bipedal_walker"] == before["bipedal_walker"]
    for task, files in before.items():
        ours = {name for name in files if name.rpartition(".")[2] in TASKS}
        assert ours == {f"worldmodels.envs.{task}", f"worldmodels.envs.scenes.{task}"}


@pytest.mark.parametrize("stage", ["probe_vision", "probe_memory"])
def test_what_a_task_declares_counts_for_its_probes(stage, code):
    assert "worldmodels.envs.lunar_lander" in code(stage, "env=lunar_lander")
    assert not {"worldmodels.envs.car_racing", "worldmodels.envs.lunar_lander"} & set(code(stage, "env=pendulum"))


@pytest.mark.parametrize("stage", ["vision", "encode", "memory", "measure_memory"])
def test_no_task_counts_where_none_is_played(stage, code):
    assert not [name for name in code(stage, "env=lunar_lander") if name.startswith("worldmodels.envs.scenes")]


@pytest.mark.parametrize("stage", PLAY)
def test_a_users_environment_and_class_count(stage, code):
    mine = ("env.id=toys:Limited-v0", "env.name=toy", "env.task=toys.ToyState")
    before = code(stage, *mine)
    assert "toys" in before and Path(__file__).parents[1].joinpath("toys.py").exists()
    assert code(stage, *mine, changed="toys") != before
    assert "toys" not in code(stage, "env=pendulum")
    assert not [name for name in before if name.startswith("gymnasium")]
