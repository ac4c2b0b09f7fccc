"""What people write on the command line, as Hydra needs it."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from worldmodels.api import compose
from worldmodels.config import Config
from worldmodels.report import ReportCommand
from worldmodels.utils.overrides import DIRECTION, OPTUNA, flags_first, spelled_out, written


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("scale=smoke -m seed=0,1", "-m scale=smoke seed=0,1"),
        ("seed=0,1 -m", "-m seed=0,1"),
        ("a=1 --config-dir experiments b=2 -m", "--config-dir experiments -m a=1 b=2"),
        ("a=1 --config-dir=experiments b=2", "--config-dir=experiments a=1 b=2"),
        ("a=1 --cfg job b=2 --resolve", "--cfg job --resolve a=1 b=2"),
        ("a=1 -i config b=2 -i c=3", "-i config -i a=1 b=2 c=3"),
        ("~a +b=1 ++c=-2", "~a +b=1 ++c=-2"),
        ("", ""),
    ],
)
def test_flags_come_first_with_their_values_and_overrides_keep_their_order(given, expected):
    assert flags_first(given.split()) == expected.split()


@pytest.mark.parametrize("value", ["1E3", "0123", "007", "1e-3", "true", "inf", "-1", "12"])
@pytest.mark.parametrize(
    ("key", "schema"), [("paths.outputs", Config), ("hydra.run.dir", Config), ("runs", ReportCommand)]
)
def test_a_path_that_looks_like_a_number_stays_as_it_was_written(key, schema, value):
    assert spelled_out([f"{key}={value}"], schema) == [f"{key}='{value}'"]


@pytest.mark.parametrize(
    "path",
    [
        *("outputs/runs/a-seed0", "my runs/a", "a,b", "lr=0.1,seed=1", "it's", 'a "b"', "[a] {b}", "~/a", "$HOME"),
        *(
            "${run}",
            "null",
            "True",
            "1e3",
            "a\\b",
            "back\\",
            'back\\"quote',
            "é",
            "a  b",
            " a",
            "a;b & c",
            "#1",
            "*",
            "x:y",
        ),
    ],
)
def test_a_path_that_is_printed_can_be_pasted(path):
    (word,) = shlex.split(written("runs", path))
    [override] = OverridesParser.create().parse_overrides(spelled_out([word], ReportCommand))
    assert not override.is_sweep_override()
    assert OmegaConf.create({"runs": override.value()}).runs == path


@pytest.mark.parametrize("path", ["outputs/runs/a-seed0/2026-01-01_10-00", "../a", "/tmp/a+b@c"])
def test_a_plain_path_is_printed_as_it_is(path):
    assert written("run", path) == f"run={path}"


def test_numbers_stay_numbers():
    given = ["seed=1", "vae.learning_rate=1E-3", "-m", "transfer.source_run=null", "collect.scatter=true"]
    assert spelled_out(given, Config) == given


@pytest.mark.parametrize(
    ("given", "node", "expected"),
    [
        ("transfer.source_settings={action_repeat: 1}", "transfer", {"action_repeat": 1}),
        ("transfer.source_settings.action_repeat=1", "transfer", {"action_repeat": 1}),
        ("+transfer.source_settings.action_repeat=1", "transfer", {"action_repeat": 1}),
        ("env.kwargs={gravity: -9.0}", "env", {"gravity": -9.0}),
        ("env.kwargs.gravity=-9.0", "env", {"gravity": -9.0}),
    ],
)
def test_a_dict_takes_new_keys_in_any_form(given, node, expected):
    config = getattr(compose("transfer=pretrained", given), node)
    assert expected.items() <= (config.kwargs if node == "env" else config.source_settings).items()


@pytest.mark.parametrize(
    ("given", "direction"),
    [
        ((), "maximize"),
        (("objective=vision.heldout_kl",), "minimize"),
        (("objective=vision.heldout_kl", "hydra.sweeper.direction=minimize"), "minimize"),
        (("objective=controller.parameters", "hydra.sweeper.direction=maximize"), "maximize"),
    ],
)
def test_optuna_gets_the_direction_of_the_objective(given, direction):
    (override,) = [each for each in spelled_out([OPTUNA, *given], Config) if each.startswith(f"{DIRECTION}=")]
    objective = next((each.partition("=")[2] for each in given if each.startswith("objective=")), None)
    config = OmegaConf.create({"objective": objective, "direction": override.partition("=")[2].strip("'")})
    assert config.direction == direction
    assert OPTUNA in spelled_out([OPTUNA], Config) and spelled_out(["seed=1,2"], Config) == ["seed=1,2"]
