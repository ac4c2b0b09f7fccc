"""What a job gives a sweeper."""

from collections.abc import Callable

import pytest

from worldmodels.config import Config
from worldmodels.objective import value_of
from worldmodels.utils.errors import ConfigError

RESULTS = {
    "env": "car_racing",
    "vision": {"epochs": [{"epoch": 1, "val_kl": 9.0}, {"epoch": 2, "val_kl": 7.0}]},
    "memory": {"steps": [], "persistence_nll": 2.0},
    "controller": {"generations": [{"mean": 1.0}], "parameters": 867},
    "evaluation": {"mean": 12.5, "interval": None, "official": True},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, 12.5),
        ("evaluation.mean", 12.5),
        ("vision.val_kl", 7.0),
        ("vision.epochs.0.val_kl", 9.0),
        ("vision.epochs.-1.val_kl", 7.0),
        ("memory.persistence_nll", 2.0),
        ("controller.parameters", 867.0),
        ("controller.mean", 1.0),
    ],
)
def test_a_key_of_the_results(key: str | None, value: float) -> None:
    assert value_of(RESULTS, key) == value


def test_without_a_key_and_without_a_score_there_is_none() -> None:
    assert value_of({"env": "car_racing"}, None) is None


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("vision.val_nothing", "results.json has no val_nothing at vision: expected one of epoch, val_kl"),
        ("vision.epochs.7.val_kl", "no 7 at vision.epochs: expected one of 2 rows"),
        ("probes.vision", "has no probes at probes: expected one of env, vision"),
        ("env", "objective=env is car_racing: expected the key of a number"),
        ("evaluation.official", "expected the key of a number"),
        ("evaluation.interval", "expected the key of a number"),
        ("memory.val_nll", "has no val_nll at memory"),
    ],
)
def test_what_is_no_number_is_a_line(key: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        value_of(RESULTS, key)
    assert told in str(refused.value)


def test_an_objective_that_the_run_does_not_reach_is_refused_before_it(compose: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"measure\.enabled=false: expected measure\.enabled=true"):
        compose("objective=vision.heldout_kl", "measure.enabled=false")
    for stage, key in (("vision", "memory.val_nll"), ("controller", "evaluation.mean")):
        with pytest.raises(ConfigError, match=rf"objective={key} is of the stage .*expected a figure"):
            compose(f"stage={stage}", f"objective={key}")
    assert compose("stage=vision", "objective=vision.val_reconstruction").objective == "vision.val_reconstruction"
