"""What would decide an undecided comparison."""

import math

import numpy as np
import pytest
from scipy import stats
from synthetic import write_run

from worldmodels.reports.deciding import equal_budget, more_seeds, seeds_needed
from worldmodels.reports.groups import group_runs
from worldmodels.reports.tidy import find_runs
from worldmodels.reports.verdict import comparisons


@pytest.mark.parametrize(("mean", "spread"), [(1.0, 1.0), (1.0, 2.0), (3.0, 4.0)])
def test_so_many_seeds_find_the_difference_in_about_four_of_five_studies(mean, spread):
    gains = np.array([mean - spread, mean, mean + spread])  # whose standard deviation is the spread
    count = math.ceil(seeds_needed(gains, None))
    power = stats.nct.sf(stats.t.ppf(0.975, count - 1), count - 1, mean / spread * math.sqrt(count))
    assert 0.77 < power < 0.88


def test_a_difference_within_the_margin_is_shown_to_be_similar():
    gains = [-0.1, 0.0, 0.1]
    assert seeds_needed(gains, None) == math.inf
    assert seeds_needed(gains, 1.0) < 5
    assert seeds_needed([5.0, 5.1, 5.2], 1.0) < 5, "it is different"


@pytest.mark.parametrize("tests", [2, 8])
def test_so_many_seeds_find_the_difference_among_others(tests):
    count = math.ceil(seeds_needed([0.0, 1.0, 2.0], None, tests))
    power = stats.nct.sf(stats.t.ppf(1 - 0.025 / tests, count - 1), count - 1, math.sqrt(count))
    assert 0.77 < power < 0.88


@pytest.mark.parametrize(("mean", "margin"), [(0.0, 0.4), (0.1, 0.5), (0.3, 0.7)])
def test_so_many_seeds_show_a_similarity_in_about_four_of_five_studies(mean, margin):
    count = math.ceil(seeds_needed([mean - 1, mean, mean + 1], margin))
    gains = np.random.default_rng(0).normal(mean, 1.0, (4000, count))
    error = stats.t.ppf(0.95, count - 1) * gains.std(axis=1, ddof=1) / math.sqrt(count)
    assert 0.76 < np.mean(np.abs(gains.mean(axis=1)) + error < margin) < 0.86


def group_of(outputs, part):
    runs, _ = find_runs(f"{outputs}/**")
    (group,), _ = group_runs(runs, part)
    return group


def leave(outputs, compose, *overrides, gain=0.0, typed=()):
    folder = write_run(outputs, compose("vae.epochs=2", *overrides), gain, stages=2)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in typed))


def test_the_command_keeps_what_was_typed_and_goes_on_with_the_seeds(tmp_path, compose):
    for seed in range(3):
        for transfer, gain in (("scratch", 0.0), ("freeze2", (-30.0, 0.0, 31.0)[seed])):
            typed = ["vae.epochs=2", f"transfer={transfer}", f"seed={seed}", "transfer.budget=1.0", "hydra.run.dir=x"]
            leave(tmp_path, compose, *typed[:4], gain=gain, typed=[*typed, '"env.kwargs={lap_complete_percent: 0.9}"'])
    group = group_of(tmp_path, "vision")
    command, told = more_seeds(group, comparisons(group))
    assert command is None and told.startswith("more than 100 seeds")
    (fair,) = comparisons(group)
    judgement = fair["judgement"]._replace(margin=40.0)
    command, told = more_seeds(group, [{**fair, "judgement": judgement}])
    assert command is not None
    start, _, seeds = command.partition(" seed=")
    assert start == "python -m worldmodels.train -m vae.epochs=2 'env.kwargs={lap_complete_percent: 0.9}' " + (
        "transfer=scratch,freeze2"
    )
    assert seeds.endswith(" transfer.budget=1 stage=vision") and seeds.startswith("3,4,5")
    assert "about" in told and "min" in told


def test_the_last_one_that_is_undecided_says_how_many_seeds(tmp_path, compose):
    """One that 100 seeds would not decide is left aside."""
    gains = {"freeze2": (9.0, 20.0, 31.0), "freeze_encoder": (-10.0, 20.0, 52.0), "pretrained": (-30.0, 0.0, 31.0)}
    for transfer, values in {"scratch": (0.0, 0.0, 0.0), **gains}.items():
        for seed, gain in enumerate(values):
            leave(tmp_path, compose, f"transfer={transfer}", f"seed={seed}", "transfer.budget=1.0", gain=gain)
    group = group_of(tmp_path, "vision")
    undecided = comparisons(group)
    assert {item["judgement"].verdict for item in undecided} == {"undecided"}
    assert {item["judgement"].tests for item in undecided} == {3}
    for item in undecided:
        item["judgement"] = item["judgement"]._replace(margin=None)
    command, told = more_seeds(group, undecided)
    assert command is not None and told.endswith("; 100 seeds would not decide pretrained")
    _, _, chosen = command.partition(" transfer=")
    options, seeds = chosen.split()[:2]
    assert set(options.split(",")) == {"scratch", "freeze2", "freeze_encoder"}
    (slow,) = (item[item["deciding"]]["per_seed"] for item in undecided if item["label"] == "freeze_encoder")
    assert int(seeds.rpartition(",")[2]) + 1 == math.ceil(seeds_needed(slow, None, 3)) > seeds_needed(slow, None)


def test_unequal_budgets_are_made_equal(tmp_path, compose):
    for seed in range(2):
        leave(tmp_path, compose, f"seed={seed}", "transfer=scratch")
        leave(tmp_path, compose, f"seed={seed}", "transfer=freeze2", "transfer.budget=0.5")
    group = group_of(tmp_path, "vision")
    (unfair,) = comparisons(group)
    command, told = equal_budget(group, [unfair])
    assert command == (
        "python -m worldmodels.train -m env=car_racing scale=quick transfer=scratch,freeze2 seed=0,1,2,3,4 "
        "transfer.budget=1 stage=vision"
    )
    seconds = 5 * (10 + 100 + 10 + 100 + 10 + 100)  # collect and V of both, and of freeze2's source
    assert told.startswith(f"about {seconds / 60:.0f} min")
