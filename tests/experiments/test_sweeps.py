"""The sweeps of all studies: every job of theirs has a valid config and a folder of its own."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from hydra.core.override_parser.overrides_parser import OverridesParser

from worldmodels.config import Config

SWEEPS = sorted((ROOT / "experiments").glob("*/*.yaml"))


def choices(key: str, value: object) -> list[str]:
    """What a sweep makes of a parameter: an override for each of its values."""
    override = OverridesParser.create().parse_override(f"{key}={value}")
    swept = override.is_sweep_override()
    return [f"{key}={each}" for each in override.sweep_string_iterator()] if swept else [f"{key}={value}"]


def test_there_are_sweeps() -> None:
    assert {path.parent.name for path in SWEEPS} >= {"vision_transfer", "memory_transfer", "agent_transfer"}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_job_is_valid_and_has_a_folder(path: Path, compose: Callable[..., Config]) -> None:
    node = yaml.safe_load(path.read_text())["hydra"]
    parameters = [choices(*item) for item in node["sweeper"]["params"].items()]
    for place, options in enumerate(parameters):
        for option in options:  # the others as they come first
            compose(*(each[0] if other != place else option for other, each in enumerate(parameters)))
    named = set(re.findall(r"\$\{(?:hydra:runtime\.choices\.)?([\w.]+)\}", node["sweep"]["subdir"]))
    swept = {options[0].split("=")[0] for options in parameters if len(options) > 1}
    told = {key for key in swept if any(name == key or name.startswith(f"{key}.") for name in named)}
    assert told == swept or "hydra.job.num" in named, f"jobs that differ in {swept - told} would share a folder"
    assert node["sweep"]["dir"] == f"${{folder:${{paths.outputs}}}}/studies/{path.parent.name}"


@pytest.mark.parametrize("study", sorted({path.parent for path in SWEEPS}), ids=lambda study: study.name)
def test_the_sweeps_of_a_study_have_every_seed_of_its_tables(study: Path) -> None:
    written = [yaml.safe_load(path.read_text())["hydra"]["sweeper"]["params"]["seed"] for path in study.glob("*.yaml")]
    swept = {seed for seeds in written for seed in str(seeds).split(",")}
    told = {row["seed"] for path in study.rglob("*.csv") for row in csv.DictReader(path.open()) if "seed" in row}
    assert told <= swept
