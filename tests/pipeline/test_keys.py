"""The keys of artifacts outlive changes of the code: those of 64 configs, made before settings were declared, and since
made anew of the stages in `RENEWED`.
"""

import json
from pathlib import Path

import pytest

KEYS = json.loads((Path(__file__).parent / "keys.json").read_text())
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
# What is wanted to differ, with the words of the CHANGELOG under Changes results, where its reason stands.
EVERYWHERE = {"measure_memory": "**Every interval**"}  # another method
ADDED = {"measure_vision": "`vision.heldout_reconstruction`"}  # stages that there were not
RENEWED = dict.fromkeys(("controller", "evaluate"), "**C's inputs are at one scale**")


@pytest.mark.parametrize("overrides", KEYS, ids=lambda overrides: overrides or "default")
def test_an_artifact_of_before_is_found(overrides, keys):
    """Keys are of float32, so that they are the same on every processor."""
    made = keys(*overrides.split(), "trainer.precision=32-true").keys
    made = {stage: key for stage, key in made.items() if stage not in ADDED}
    assert set(made) == set(KEYS[overrides])
    assert {stage for stage, key in made.items() if key != KEYS[overrides][stage]} == set(EVERYWHERE) & set(made)


def test_what_changed_is_in_the_changelog():
    whole = CHANGELOG.read_text()
    told = whole.split("### Changes results")[1].split("\n### ")[0]
    assert all(words in told for words in (*EVERYWHERE.values(), *RENEWED.values()))
    assert all(words in whole for words in ADDED.values())
