"""What is told of a source before any weight is read."""

import dataclasses
import json

import pytest
from synthetic import write_run

from worldmodels.config import to_config
from worldmodels.pipeline.source import (
    check_source,
    describe_source,
    other_time_scale,
    source_config,
    without_effect,
)
from worldmodels.utils.errors import ConfigError

OTHER = ("env=lunar_lander", "vae=cvae", "vae.network.latent_size=16")


@pytest.fixture
def taken(tmp_path, compose):
    """A config that takes weights from a finished run whose z has 16 dimensions."""
    run = write_run(tmp_path, compose(*OTHER), name="source")
    return lambda *overrides: compose(*overrides, f"transfer.source_run={run}")


def test_columns_of_z_are_kept_only_of_a_z_of_the_same_size(taken):
    """A frozen LSTM under a fresh head: nothing else in M tells the two apart."""
    lstm = ("transfer=freeze_lstm", "transfer.load=[memory.lstm]")
    with pytest.raises(ConfigError) as caught:
        check_source(taken(*lstm, "transfer.input_layer=keep_latent"))
    assert "source has 16 and this run 32: set vae.network.latent_size=16, or use" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert check_source(taken(*lstm, "transfer.input_layer=keep_latent", "vae.network.latent_size=16")) is None
    assert check_source(taken(*lstm)) is None  # its input layer is fresh
    assert check_source(taken(*lstm, "transfer.input_layer=keep_latent", "stage=vision")) is None  # M is not reached


def test_a_search_starts_from_a_c_of_the_same_hidden_layer_only(taken):
    with pytest.raises(ConfigError) as caught:
        check_source(taken("transfer=warm_controller", "vae.network.latent_size=16", "controller.hidden=4"))
    assert "source has controller.hidden=null where this run has 4: set controller.hidden=null, or" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert check_source(taken("transfer=warm_controller", "vae.network.latent_size=16")) is None
    assert check_source(taken("transfer=pretrained", "controller.hidden=4")) is None  # C starts from nothing


def test_without_a_source_there_is_nothing_to_check(compose):
    assert check_source(compose()) is None
    assert check_source(compose("transfer=freeze_lstm", "stage=vision")) is None


def test_a_run_that_is_none_is_refused(compose):
    with pytest.raises(ConfigError, match="nowhere is no run"):
        check_source(compose("transfer=pretrained", "transfer.source_run=nowhere"))


EXPERIMENT = """# @package _global_
defaults:
  - override /env: lunar_lander
  - override /transfer: pretrained
seed: 3
env: {action_repeat: 4, max_steps: 900, renderer: exact, crop_bottom: 0.1, kwargs: {gravity: -5}}
collect: {recorded: somewhere}
memory: {mean_inputs: 0.25}
"""
COMMAND_LINE = [
    *("env=lunar_lander", "transfer=pretrained", "seed=3", "env.action_repeat=4", "env.max_steps=900"),
    *("env.renderer=exact", "env.crop_bottom=0.1", "+env.kwargs.gravity=-5", "collect.recorded=somewhere"),
    "memory.mean_inputs=0.25",
]


@pytest.fixture(params=["command line", "experiment file"])
def asked(request, tmp_path, composed):
    """``asked("transfer=…")``: a target and its source, with the same settings given in either way."""
    overrides = COMMAND_LINE
    if request.param == "experiment file":
        (tmp_path / "experiment").mkdir()
        (tmp_path / "experiment" / "slow.yaml").write_text(EXPERIMENT)
        overrides = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=slow"]

    def both(*more):
        target = to_config(composed([*overrides, *more]))
        return target, source_config(target, composed)

    return both


def test_a_source_is_the_run_itself_on_another_task_however_it_was_asked_for(asked, compose):
    target, source = asked()
    assert (target.env.name, target.env.action_repeat, target.env.kwargs["gravity"]) == ("lunar_lander", 4, -5)
    plain = compose("env=car_racing")
    shared = {"action_repeat": 4, "max_steps": 900, "renderer": "exact"}
    assert source.env == dataclasses.replace(plain.env, **shared), "its own picture and arguments"
    assert source.vae == target.vae, "the target's V, not the one that the source's task has of itself"
    assert source.transfer == plain.transfer
    assert (source.seed, source.memory, source.stage) == (3, target.memory, "memory")
    assert target.collect.recorded == "somewhere" and source.collect.recorded is None


def test_the_time_scale_of_a_source_can_be_another_and_is_told(asked):
    target, source = asked("+transfer.source_settings.action_repeat=1", "stage=controller")
    assert (source.env.action_repeat, source.env.max_steps) == (1, 900)
    told = describe_source(target, source)
    assert "\n" not in told
    assert "env.renderer=exact, env.max_steps=900 of this run; transfer.source_settings: action_repeat=1" in told
    warned = other_time_scale(target, source)
    assert warned is not None and "env.action_repeat=1, and this run has 4" in warned
    assert other_time_scale(*asked()) is None
    assert "env.action_repeat=4" in describe_source(*asked())
    assert other_time_scale(*asked("+transfer.source_settings.action_repeat=1", "transfer.load=[vision]")) is None


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("+transfer.source_settings.action_repaet=1", "action_repaet is unknown: expected one of id, kwargs"),
        ("+transfer.source_settings.name=mine", "name is unknown: expected one of"),
        ("+transfer.source_settings.action_repeat=0", r"^transfer\.source_settings\.action_repeat=0 is too small"),
        ("+transfer.source_settings.max_steps=abc", r"^transfer\.source_settings\.max_steps=abc is no int"),
    ],
)
def test_what_no_task_has_is_refused(composed, setting, told):
    target = to_config(composed(["transfer=pretrained", setting]))
    with pytest.raises(ConfigError, match=told) as caught:
        check_source(target, composed)
    assert "\n" not in str(caught.value)


def test_an_objective_of_the_run_is_none_of_the_sources(composed):
    target = to_config(composed(["transfer=freeze2", "objective=evaluation.mean"]))
    assert (source_config(target, composed).objective, source_config(target, composed).stage) == (None, "vision")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((), []),
        (("transfer=pretrained", "transfer.source_env=lunar_lander"), []),
        (("transfer.source_env=lunar_lander",), ["transfer.source_env=lunar_lander has no effect: transfer=scratch"]),
        (("controller.warm_start=mean",), ["controller.warm_start=mean has no effect: transfer=scratch"]),
        (("controller.warm_start=mean", "transfer=warm_controller"), []),
        (("controller.warm_start=mean", "iterations=2"), []),
        (("transfer=random_lstm", "transfer.source_run=x"), ["transfer.source_run=x has no effect"]),
        (("+transfer.source_settings.id=x",), ["transfer.source_settings={'id': 'x'} has no effect"]),
        (
            ("transfer=pretrained", "transfer.source_run=x", "+transfer.source_settings.id=x"),
            ["has no effect: transfer.source_run is taken as it is"],
        ),
        (
            ("env.max_steps=900", "controller.max_steps=400"),
            ["collect.max_steps=400, heldout.max_steps=200, controller.max_steps=400: set these, or null"],
        ),
        (("env.max_steps=900", "collect.max_steps=null"), []),
        (("env.max_steps=900",), []),
        (("env.max_steps=900", "controller.max_steps=null", "stage=memory"), ["env.max_steps=900 has no effect"]),
        (("env.max_steps=900", "scale=paper"), []),
    ],
)
def test_a_setting_without_effect_is_told_in_a_line(compose, overrides, told):
    lines = list(without_effect(compose(*overrides)))
    assert len(lines) == len(told)
    for line, words in zip(lines, told, strict=True):
        assert words in line and "\n" not in line


def test_a_tasks_own_length_is_nobodys_request(compose):
    config = compose("env.max_steps=900", "stage=collect")
    env = dataclasses.replace(config.env, shipped={"max_steps": 900})
    assert list(without_effect(config)) and not list(without_effect(dataclasses.replace(config, env=env)))


def test_a_source_of_other_peoples_code_needs_permission(taken, tmp_path):
    results = json.loads((tmp_path / "runs" / "source" / "results.json").read_text())
    results["config"]["collect"]["policy"] = "mypackage.Policy"
    (tmp_path / "runs" / "source" / "results.json").write_text(json.dumps(results))
    with pytest.raises(ConfigError, match=r"names mypackage.Policy, .* add allow=\[mypackage\]"):
        check_source(taken("transfer=pretrained"))
    assert check_source(taken("transfer=pretrained", "allow=[mypackage]")) is None
