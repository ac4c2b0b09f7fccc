"""What a run would build, and from what, without building it."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import composing
import pytest

from worldmodels.config import to_config
from worldmodels.pipeline import pipeline as module
from worldmodels.pipeline.pipeline import Pipeline
from worldmodels.pipeline.source import source_config
from worldmodels.store.artifacts import Artifact


class Keys:
    """A store that makes nothing: the content of an artifact is its key, so that a child's key depends on its parents'
    keys.
    """

    def __init__(self) -> None:
        self.inputs, self.labels, self.parents, self.keys, self.codes = {}, {}, {}, {}, {}

    def build(self, stage, label, inputs, parents, work, facts, code, reuse, length=None):
        origin = {"inputs": dict(inputs), "parents": {role: parent.content for role, parent in parents.items()}}
        key = hashlib.sha256(json.dumps({"stage": stage, **origin}, sort_keys=True).encode()).hexdigest()
        self.inputs[stage], self.labels[stage], self.keys[stage] = inputs, label, key[:10]
        self.parents[stage], self.codes[stage] = set(parents), code
        return Artifact(Path("nowhere") / stage / key, {"content": key, "stage": stage}, cached=False)


@pytest.fixture
def composed():
    """``composed([…])``: a config that is not checked yet."""
    return lambda overrides: composing.composed(*overrides)


@functools.cache  # many tests ask for the same
def what_is_made(*overrides: str) -> Keys:
    config, store = to_config(composing.composed(*overrides)), Keys()

    def source() -> Pipeline:
        return Pipeline(source_config(config, lambda each: composing.composed(*each)), Keys(), None, None, source)

    for _ in Pipeline(config, store, None, None, source).run():
        pass
    return store


@pytest.fixture
def keys(monkeypatch) -> Callable[..., Keys]:
    """``keys("env=lunar_lander", …)``: what a run with these overrides would build, its source's not included. To look
    at: another test may get the same.
    """
    for name, stage in module.DECLARED.items():
        monkeypatch.setitem(module.DECLARED, name, dataclasses.replace(stage, finish=None))
    monkeypatch.setattr(Pipeline, "_check", lambda self: None)  # takes long, and changes no key
    monkeypatch.setattr(module, "fingerprint", lambda modules, libraries: {"files": {}, "versions": {}})  # likewise
    return what_is_made
