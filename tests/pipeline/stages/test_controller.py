"""The controller stage: what counts of its settings, and what it refuses."""

import pytest

from worldmodels.pipeline.stages import controller
from worldmodels.utils.errors import ConfigError


def test_what_a_first_phase_changes_counts(compose):
    def inputs(*phases):
        changed = f"controller.phases=[{', '.join(phases)}]"
        return controller._inputs(compose("env=lunar_lander", "scale=smoke", changed))

    assert inputs("{generation: 1, rollouts: 5}") != inputs() != inputs("{generation: 1, search: {sigma: 0.1}}")
    assert inputs("{generation: 1, inputs: [z, h]}") == inputs() == inputs("{generation: 9, rollouts: 5}")


@pytest.mark.parametrize("setting", ["rollouts: 5", "max_steps: 7", "patience: 7", "where: dream"])
def test_everything_that_a_phase_replaces_counts(compose, setting):
    made = [
        controller._inputs(compose("env=lunar_lander", "scale=smoke", f"controller.phases=[{phases}]"))
        for phases in ("", f"{{generation: 1, {setting}}}")
    ]
    assert made[0] != made[1]


def test_what_a_search_takes_of_a_source_counts_where_there_is_one(compose):
    def inputs(transfer, *start):
        return controller._inputs(compose("env=lunar_lander", "scale=smoke", f"transfer={transfer}", *start))

    covariance = "controller.warm_start=covariance"
    assert inputs("scratch", covariance) == inputs("scratch")
    assert inputs("warm_controller", covariance) != inputs("warm_controller")
    assert inputs("warm_controller", "controller.warm_start=mean") == inputs("warm_controller")
    salience = "controller=salience", "controller.search=cma_es"  # goes on with the covariance by itself
    assert inputs("warm_controller", *salience, covariance) == inputs("warm_controller", *salience)
    mean = inputs("warm_controller", *salience, "controller.warm_start=mean")
    assert mean["controller"] == {**inputs("warm_controller", *salience)["controller"], "warm_start": "mean"}


def test_a_search_that_cannot_go_on_from_a_covariance_is_refused(compose):
    start = "env=lunar_lander", "transfer=warm_controller", "controller.warm_start=covariance"
    with pytest.raises(ConfigError, match=r"controller.search=sep_cma cannot go on.*controller.warm_start=mean"):
        controller.check(compose(*start, "controller.search=sep_cma"), 2)
    controller.check(compose(*start), 2)


LARGE = ("env=bipedal_walker", "memory.network.hidden_size=2048", "controller.inputs=[z,h,c]")


def test_a_search_that_does_not_fit_is_refused_before_anything_is_trained(compose):
    with pytest.raises(ConfigError, match=r"16,516 parameters takes 2\.2 GB .* set controller\.search\.diagonal=true"):
        controller.check(compose(*LARGE, "controller.search.diagonal=false"), 4)
    controller.check(compose(*LARGE), 4)  # a diagonal one by itself


def test_a_search_too_large_for_a_covariance_to_start_with_is_refused(compose):
    start = "transfer=warm_controller", "controller.warm_start=covariance"
    with pytest.raises(ConfigError, match=r"16,516 parameters takes 2\.2 GB .* set controller\.warm_start=mean"):
        controller.check(compose(*LARGE, *start), 4)
    controller.check(compose(*LARGE, "transfer=warm_controller"), 4)
