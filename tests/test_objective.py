"""What a job gives a sweeper."""

from collections.abc import Callable

import pytest

from worldmodels.config import Config
from worldmodels.objective import direction_of, value_of
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
        ("probes.vision", "results.json has no probes: expected one of env, vision"),
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


@pytest.mark.parametrize("key", ["foo.bar", "vision", "env", "scale.mean"])
def test_what_can_be_no_number_is_refused_before_the_run(compose: Callable[..., Config], key: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"objective={key} is no number of results.json: expected a key in evaluation"
    ):
        compose(f"objective={key}")


@pytest.mark.parametrize(
    ("key", "direction"),
    [
        (None, "maximize"),
        ("evaluation.mean", "maximize"),
        ("controller.validation", "maximize"),
        ("controller.generations.-1.mean", "maximize"),
        ("vision.val_reconstruction", "minimize"),
        ("vision.heldout_kl", "minimize"),
        ("vision.epochs.0.val_loss", "minimize"),
        ("memory.heldout_nll", "minimize"),
    ],
)
def test_a_sweepers_direction_is_the_objectives(key: str | None, direction: str) -> None:
    assert direction_of(key) == direction_of(key, direction) == direction
    other = {"maximize": "minimize", "minimize": "maximize"}[direction]
    with pytest.raises(ConfigError, match=rf"is better when .*: expected hydra.sweeper.direction={direction}, got"):
        direction_of(key, other)


def test_a_direction_that_is_not_known_has_to_be_given() -> None:
    assert direction_of("controller.parameters", "minimize") == "minimize"
    with pytest.raises(ConfigError, match=r"expected hydra\.sweeper\.direction=maximize or"):
        direction_of("controller.parameters")
