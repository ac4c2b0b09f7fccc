"""The keys of artifacts outlive changes of the code: those of 64 configs, made before settings were declared, and since
made anew of the stages in `RENEWED`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, ClassVar, get_type_hints

import pytest

from worldmodels.controller.config import ControllerConfig
from worldmodels.envs.config import EnvConfig
from worldmodels.memory.config import MemoryConfig
from worldmodels.rollouts.config import CollectConfig, HeldoutConfig
from worldmodels.store.fingerprint import changes, digest
from worldmodels.training.config import TrainerConfig
from worldmodels.utils.settings import Setting, Settings, counted, implied_defaults
from worldmodels.vision.config import VisionConfig

KEYS = json.loads((Path(__file__).parent / "keys.json").read_text())
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
# What is wanted to differ, with the words of the CHANGELOG under Changes results, where its reason stands.
EVERYWHERE = {"measure_memory": "**Every interval**"}  # another method
ADDED = {"measure_vision": "`vision.heldout_reconstruction`"}  # stages that there were not
RENEWED = dict.fromkeys(("controller", "evaluate"), "**C's inputs are at one scale**")
QUICK = ("controller.generations=15", "controller.validate_every=5", "evaluate.episodes=3")  # as `quick` was then


@pytest.mark.parametrize("overrides", KEYS, ids=lambda overrides: overrides or "default")
def test_an_artifact_of_before_is_found(overrides, keys):
    """Keys are of float32, so that they are the same on every processor."""
    given = overrides.split()
    then = [] if any(each.startswith(("scale=", "experiment=")) for each in given) else QUICK
    made = keys(*then, *given, "trainer.precision=32-true").keys
    made = {stage: key for stage, key in made.items() if stage not in ADDED}
    assert set(made) == set(KEYS[overrides])
    assert {stage for stage, key in made.items() if key != KEYS[overrides][stage]} == set(EVERYWHERE) & set(made)


READERS = {  # stages that read a setting whose default no key names
    "trainer.accumulate_grad_batches": {"vision", "memory"},
    "trainer.gradient_clip_val": {"vision"},
    "vae.frames": {"vision", "encode", "heldout_encode"},
    "vae.inverse": {"vision", "encode", "heldout_encode"},
    "collect.mix": {"collect"},
    "collect.recorded": {"collect"},
    "controller.after": {"controller"},
    "controller.hidden": {"controller"},
    "controller.readout": {"controller"},
    "controller.seed": {"controller"},
    "controller.search": {"controller"},
    "controller.validate_every": {"controller"},
    "controller.warm_start": {"controller"},
    "env.discrete": {"controller", "evaluate"},
    "env.picture": {"collect", "heldout", "controller", "evaluate"},
    "env.view": {"collect", "heldout", "controller", "evaluate"},
}


@pytest.mark.parametrize("setting", READERS)
def test_a_default_that_no_key_names_counts_as_code_of_the_stages_that_read_it(setting, keys):
    codes = keys("env=lunar_lander", "controller.validate_every=null").codes
    assert {stage for stage, code in codes.items() if setting in code["defaults"]} == READERS[setting]
    json.dumps(codes)


def test_every_default_that_no_key_names_is_known(keys):
    """As the declarations have them, of the nodes that a stage reads whatever is chosen."""
    known = {
        name
        for code in keys("env=lunar_lander", "controller.validate_every=null").codes.values()
        for name in code["defaults"]
    }
    nodes = (VisionConfig, MemoryConfig, CollectConfig, HeldoutConfig, EnvConfig, ControllerConfig, TrainerConfig)
    unnamed = {
        f"{node.node}.{field.name}"
        for node in nodes
        for field in dataclasses.fields(node)
        for note in get_type_hints(node, include_extras=True)[field.name].__metadata__
        if note.counts == "unless default"
    }
    assert unnamed <= known


def test_another_default_makes_another_code_and_no_other_key():
    def declaring(value):
        @dataclasses.dataclass
        class Node(Settings):
            node: ClassVar[str] = "node"
            clip: Annotated[int, Setting("Clip.", counts="unless default")] = value

        return Node

    def made(config):
        with implied_defaults() as defaults:
            return counted(config), {"files": {}, "versions": {}, "defaults": defaults}

    (key, code), (other_key, other_code) = made(declaring(1)()), made(declaring(2)())
    assert key == other_key == {}
    assert digest(code) != digest(other_code)
    assert changes(code, other_code) == ["node.clip by default 1 → 2"]
    assert made(declaring(1)(clip=2)) == ({"clip": 2}, {"files": {}, "versions": {}, "defaults": {}})


@pytest.mark.parametrize(
    ("overrides", "drawn"),
    [
        ("env=lunar_lander", "fast"),
        ("env=lunar_lander env.renderer=exact", "gymnasium"),
        ("env=lunar_lander env.picture=render", "gymnasium"),
        ("env=pendulum", "gymnasium"),  # has no scene
        ("env=pendulum env.renderer=gymnasium", "gymnasium"),
    ],
)
def test_a_key_says_who_draws(overrides, drawn, compose):
    assert counted(compose(*overrides.split()).env, "collect")["renderer"] == drawn


def test_what_changed_is_in_the_changelog():
    whole = CHANGELOG.read_text()
    changes_results = whole.split("### Changes results")[1].split("\n### ")[0]
    assert all(words in changes_results for words in (*EVERYWHERE.values(), *RENEWED.values()))
    assert all(words in whole for words in ADDED.values())
