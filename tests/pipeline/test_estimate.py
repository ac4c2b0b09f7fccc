"""The expected time of a run."""

import pytest

from worldmodels.config import STAGES
from worldmodels.pipeline.estimate import Rates, describe_time, stage_seconds

GROWS = [
    ("collect", "collect.frames={}", (8000, 16000)),
    ("collect", "collect.rollouts={}", (2, 10)),
    ("vision", "vae.epochs={}", (1, 10)),
    ("vision", "collect.frames={}", (8000, 16000)),
    ("encode", "collect.frames={}", (8000, 16000)),
    ("memory", "memory.steps={}", (50, 400)),
    ("memory", "memory.batch_size={}", (8, 32)),
    ("memory", "memory.sequence_length={}", (64, 128)),
    ("memory", "measure.samples={}", (0, 8)),
    ("memory", "measure.enabled={}", (False, True)),
    ("vision", "probe.enabled={}", (False, True)),
    ("vision", "measure.enabled={}", (False, True)),
    ("controller", "controller.generations={}", (1, 8)),
    ("controller", "controller.population={}", (4, 8)),
    ("controller", "controller.rollouts={}", (1, 2)),
    ("controller", "controller.max_steps={}", (50, 200)),
    ("evaluate", "evaluate.episodes={}", (1, 100)),
    ("evaluate", "evaluate.max_steps={}", (50, 500)),
]


@pytest.mark.parametrize(("stage", "override", "values"), GROWS)
def test_time_grows_with_a_budget(stage, override, values, compose):
    less, more = (stage_seconds(compose("trainer=cpu", override.format(value)), 2)[stage] for value in values)
    assert more > less > 0


@pytest.mark.parametrize("part", ["vision", "memory"])
def test_half_a_budget_takes_less_time(part, compose):
    less, more = (
        stage_seconds(compose("trainer=cpu", "transfer=pretrained", f"transfer.budget={budget}"), 2)[part]
        for budget in (0.5, 1.0)
    )
    assert less < more


def test_workers_shorten_what_they_work_on(compose):
    config = compose("trainer=cpu")
    one, two = (stage_seconds(config, workers) for workers in (1, 2))
    assert {stage for stage in STAGES if two[stage] < one[stage]} == {"collect", "controller", "evaluate"}


def test_scales_are_ordered_and_paper_takes_days(compose):
    totals = [
        sum(stage_seconds(compose("trainer=cpu", f"scale={scale}"), 2).values())
        for scale in ("smoke", "sweep", "quick", "laptop", "hour", "day", "paper")
    ]
    assert totals == sorted(totals)
    assert totals[0] < 60
    assert 1800 < totals[-3] < 2 * 3600 and 20 * 3600 < totals[-2] < 24 * 3600 < totals[-1]


@pytest.mark.parametrize("last", STAGES)
def test_only_the_stages_of_the_run_count(last, compose):
    assert list(stage_seconds(compose(f"stage={last}"), 2)) == list(STAGES[: STAGES.index(last) + 1])


@pytest.mark.parametrize("renderer", ["auto", "gymnasium", "exact"])
def test_a_task_that_was_not_measured_has_an_expected_time_too(renderer, compose):
    config = compose("trainer=cpu", "env=cart_pole", f"env.renderer={renderer}")
    assert all(0 < seconds < 3600 for seconds in stage_seconds(config, 2).values())
    assert list(stage_seconds(config, 2)) == list(STAGES)


def test_measured_rates_of_a_task_of_ones_own_are_used(compose):
    rates = Rates()
    slow, fast = (
        Rates(
            drawn={**rates.drawn, "cart_pole": {"gymnasium": speed}}, physics={**rates.physics, "cart_pole": 10 * speed}
        )
        for speed in (100, 1000)
    )
    config = compose("trainer=cpu", "env=cart_pole")
    assert stage_seconds(config, 2, slow)["collect"] > 2 * stage_seconds(config, 2, fast)["collect"]


def test_the_time_is_told_in_lines_that_fit_a_terminal():
    lines = describe_time("car_racing", {"collect": 40.0, "vision": 200.0, "memory": 36_000.0}, 2)
    assert lines == (
        "expected time of car_racing: 10 h on 2 cores if nothing is cached",
        "  collect 40 s, vision 3 min, memory 10 h",
    )
    assert "4 s on 1 core if" in describe_time("car_racing", {"collect": 4.0}, 1)[0]
