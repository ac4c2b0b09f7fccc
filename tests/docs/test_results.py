"""What the documentation says of results.json and of tables is what runs and studies have."""

import csv
import re
from collections.abc import Callable, Iterator
from typing import Any

import documents
import pytest
from helpers import ROOT, Finished

KEYS = documents.keys(ROOT / "docs" / "results.md")
SEVERAL = re.compile(r"STAGE|PART|MODULE|TARGET|NAME")
SELDOM = {  # of runs that no test shares
    *(
        "rounds[]",
        "round",
        "exported",
        "source_stages.STAGE",
        "stages.STAGE.other_code",
        "heldout_other_code.NAME",
        "collect.mixed",
    ),
    *("vision.epochs[].inverse", "vision.epochs[].val_inverse"),
    *("controller.generations[].validation", "controller.generations[].validation_std"),
    *("controller.generations[].dream", "controller.generations[].dream_std"),
    *("measures.memory.calibration.coverage_50", "measures.memory.calibration.coverage_90"),
    *("measures.memory.calibration.histogram[]", "measures.memory.calibration.error"),
}
NAMES = {"in_picture", "on_ground", "upright", "foot_on_ground", "distance", "fireballs", "off_middle"}
NAMES |= {"speed_mean", "speed_95", "on_road", "tiles"}  # of coverage, in a table of their own
WHOLE = ("config", "heldout_inputs.NAME", "stages.STAGE.inputs", "source_stages.STAGE", "rounds[]", "exported")


@pytest.fixture(scope="module")
def found(finished: Callable[[str], Finished]) -> set[str]:
    """Keys of a finished run, whose M has heads."""
    return set(leaves(finished("lunar_lander").results))


def leaves(value: Any, key: str = "") -> Iterator[str]:
    """Paths to what is no mapping; a figure is one value, and a list of mappings is one entry."""
    if isinstance(value, dict) and value.keys() != {"value", "interval"} and key not in WHOLE:
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from leaves(inner, f"{key}[]")
    else:
        yield key


def matching(pattern: str) -> re.Pattern[str]:
    inside = r"(\..*)?" if pattern in WHOLE else ""
    return re.compile(SEVERAL.sub("[^.]+", re.escape(pattern)) + inside)


def test_every_key_of_a_run_is_documented(found: set[str]) -> None:
    patterns = [matching(key) for key in KEYS]
    assert [key for key in sorted(found) if not any(pattern.fullmatch(key) for pattern in patterns)] == []


def test_every_documented_key_is_of_a_run(found: set[str]) -> None:
    stale = {key for key in KEYS - SELDOM - NAMES if not any(matching(key).fullmatch(name) for name in found)}
    assert stale == set()


def test_every_column_of_a_study_is_documented() -> None:
    documented = documents.keys(ROOT / "docs" / "columns.md")
    several = re.compile(r"TARGET|OBJECT|NAME")
    endings = "(_first|_last|_fastest|_std|_low|_high|_min|_max)*"
    patterns = [re.compile(several.sub(r"\\w+", name) + endings) for name in documented]
    unknown = set()
    for path in sorted((ROOT / "experiments").rglob("*.csv")):
        with path.open(newline="") as file:
            columns = next(csv.reader(file))
        unknown |= {name for name in columns if "." not in name and not any(p.fullmatch(name) for p in patterns)}
    assert unknown == set()
