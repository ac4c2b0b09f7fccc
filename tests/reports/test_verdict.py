"""Which runs are compared with which, and what the comparison says."""

import dataclasses
import json
import os

import pytest
from synthetic import t_limits, write_run

from worldmodels.reports.groups import differences, group_runs, labels
from worldmodels.reports.judgement import matrix, verdicts
from worldmodels.reports.sections import heldout_table, measure_table, probe_table, run_table
from worldmodels.reports.tidy import find_runs
from worldmodels.reports.verdict import comparison_rows, comparisons, decision, margin_of, ranked
from worldmodels.training.hardware import resolve_precision


def grouped(outputs, part):
    return group_runs(find_runs(f"{outputs}/**")[0], part)


def compared(outputs, part, env="car_racing"):
    (group,) = [group for group in grouped(outputs, part)[0] if group.env == env]
    return {comparison["label"]: comparison for comparison in comparisons(group)}


def test_the_gains_are_those_the_runs_were_made_with(tree):
    for part, scale in (("vision", 1), ("controller", 1), ("evaluate", 1)):
        found = compared(tree, part)
        gain = found["pretrained"][found["pretrained"]["deciding"]]
        assert gain["value"] == pytest.approx(5 * scale)
        assert gain["interval"] == pytest.approx([5, 5])
        assert decision(found["pretrained"]) == "better"
        assert decision(found["freeze2"]) == "worse"
    found = compared(tree, "memory")
    assert found["freeze_lstm"]["asymptote"]["value"] == pytest.approx(-0.5)
    assert found["freeze_lstm"]["asymptote"]["negative"] is True


def test_seeds_that_disagree_decide_nothing(tree):
    found = compared(tree, "memory")["freeze_mdn"]
    half = 4.302653 * 0.25 / 3**0.5  # Student's t of -0.25, 0, 0.25
    assert found["asymptote"]["interval"] == pytest.approx([-half, half])
    assert decision(found) == "undecided"


def test_v_and_m_are_judged_on_the_held_out_rollouts(tmp_path, compose):
    """Where validation says otherwise, it does not count; its curve stays what margins are shares of."""
    for seed in range(3):
        for name, value in (("scratch", 50.0), ("freeze2", 47.0 + seed / 10)):
            config = compose(f"seed={seed}", f"transfer={name}", "transfer.budget=1.0", "vae.epochs=3")
            path = write_run(tmp_path, config, -9.0 * (name == "freeze2")) / "results.json"
            results = json.loads(path.read_text())
            results["vision"]["heldout_reconstruction"] = value
            path.write_text(json.dumps(results))
    found = compared(tmp_path, "vision")["freeze2"]
    assert (found["deciding"], found["fallback"]) == ("heldout", "")
    assert found["heldout"]["per_seed"] == pytest.approx([3.0, 2.9, 2.8])
    assert found["heldout"]["interval"] == pytest.approx(t_limits([3.0, 2.9, 2.8]))
    assert found["asymptote"]["value"] == pytest.approx(-9)
    assert decision(found) == "better"
    assert found["judgement"].margin == pytest.approx(0.1 * (100 - 100 / 3))
    rows = {row["metric"]: row for row in comparison_rows([found])}
    assert rows["heldout"]["verdict"] == "better" and rows["asymptote"]["verdict"] is None


def test_runs_without_the_same_held_out_figures_are_judged_by_validation_and_it_is_told(tmp_path, compose):
    for seed in range(3):
        for name, more in (("scratch", ()), ("pretrained_vision", ()), ("freeze2", ("heldout.frames=99",))):
            config = compose(f"seed={seed}", f"transfer={name}", "transfer.budget=1.0", *more)
            write_run(tmp_path, config, 2.0 * (name != "scratch"), probed=(name, seed) != ("pretrained_vision", 1))
    found = compared(tmp_path, "vision")
    assert {label: (each["deciding"], each["fallback"]) for label, each in found.items()} == {
        "freeze2": ("asymptote", "measured on different held-out rollouts"),
        "pretrained_vision": ("asymptote", "not measured on held-out rollouts with seed 1"),
    }
    assert "heldout" not in found["freeze2"]
    (group,) = grouped(tmp_path, "vision")[0]
    judged = [(group, list(found.values()))]
    page = verdicts(judged, {group.settings: ""})
    assert "by validation: not measured on held-out rollouts with seed 1" in page
    assert "held-out</th>" not in matrix(judged, {group.settings: ""})
    runs, _ = find_runs(f"{tmp_path}/**")
    lines = {line for line in run_table(runs, tmp_path).split("<tr>") if "<td>pretrained_vision</td>" in line}
    assert ["(val)" in line for line in sorted(lines)].count(True) == 1


def test_held_out_figures_of_the_end_are_not_compared_after_other_numbers_of_steps(tree):
    found = compared(tree, "memory")
    assert found["freeze_lstm"]["heldout"]["value"] == pytest.approx(-0.5)
    assert found["freeze_lstm ×0.5"]["deciding"] == "asymptote"
    assert "other numbers of steps" in found["freeze_lstm ×0.5"]["fallback"]
    groups, _ = grouped(tree, "memory")
    page = matrix([(group, comparisons(group)) for group in groups], dict.fromkeys((g.settings for g in groups), ""))
    assert "<th>held-out</th>" in page


def test_the_report_has_held_out_figures_over_seeds(tree):
    runs, _ = find_runs(f"{tree}/**")
    text = heldout_table([run for run in runs if run.results["transfer"] == "scratch"])
    low, high = t_limits([50, 51, 52])
    assert f"<td>V: squared error a frame</td><td>3</td><td>51 [{low:.3g}, {high:.3g}]</td>" in text.replace(
        ' class="number"', ""
    )


def test_an_earlier_runs_nll_is_read_from_its_measures(tmp_path, compose):
    path = write_run(tmp_path, compose("seed=2"), stages=4) / "results.json"
    results = json.loads(path.read_text())
    del results["memory"]["heldout_nll"], results["measures"]["vision"]
    del results["vision"]["heldout_reconstruction"], results["vision"]["heldout_kl"]
    path.write_text(json.dumps(results))
    ((run,), _) = find_runs(f"{tmp_path}/**")
    assert run.results["memory"]["heldout_nll"] == pytest.approx(1.4)
    assert "heldout_reconstruction" not in run.results["vision"]


def test_other_budgets_and_other_latents_are_told_and_not_ranked(tree):
    found = compared(tree, "memory")
    assert found["freeze_lstm ×0.5"]["unfair"] == ""  # half the steps against as many of scratch's
    assert found["pretrained"]["unfair"] == "M learns the latents of another V"
    order = ["freeze_mdn", "freeze_mdn ×0.5", "freeze_lstm", "freeze_lstm ×0.5"]
    assert [each["label"] for each in ranked(list(found.values()))] == order
    assert [each["label"] for each in ranked(list(compared(tree, "vision").values()))] == ["pretrained", "freeze2"]


def test_scratch_at_half_the_budget_makes_half_a_budget_fair(tmp_path, compose):
    """V only is loaded: M then has all its steps, and scratch at half the budget half of them."""
    for transfer, budgets in (("scratch", (0.5, 1.0)), ("freeze2", (0.5, 1.0)), ("pretrained", (0.5,))):
        for budget in budgets:
            config = compose(f"transfer={transfer}", f"transfer.budget={budget}")
            write_run(tmp_path, config, 2.0 * (transfer != "scratch") + 7 * (budget == 1))
    found = {}
    for part in ("vision", "controller"):
        (group,) = grouped(tmp_path, part)[0]
        for each in comparisons(group):
            found[part, each["label"], each["reference"]] = each["unfair"], each["asymptote"]["value"]
    assert found["vision", "freeze2 ×0.5", "scratch ×0.5"] == ("", pytest.approx(2))
    assert found["vision", "freeze2 ×0.5", "scratch"] == ("budget 0.5 against 1", pytest.approx(-5))
    assert found["controller", "freeze2 ×0.5", "scratch ×0.5"][0] == "budget 0.5/1 against 0.5"
    assert found["controller", "freeze2 ×0.5", "scratch"][0] == "budget 0.5/1 against 1"
    assert found["controller", "pretrained ×0.5", "scratch ×0.5"][0] == ""
    assert ("vision", "freeze2", "scratch ×0.5") not in found


def test_scratch_with_half_of_vs_data_alone_is_fair_to_a_transferred_v(tmp_path, compose):
    for transfer in ("scratch", "freeze2"):
        config = compose(f"transfer={transfer}", "transfer.budget=0.5", "transfer.budgeted=[vision]")
        write_run(tmp_path, config, 2.0)
    (group,) = grouped(tmp_path, "controller")[0]
    (found,) = comparisons(group)
    assert (found["label"], found["reference"], found["unfair"]) == ("freeze2 ×0.5", "scratch ×0.5", "")


def test_half_the_steps_are_compared_with_the_same_steps(tree):
    found = compared(tree, "memory")["freeze_lstm ×0.5"]
    assert found["x"] == [50, 200]
    assert found["area"]["value"] == pytest.approx(-0.5)


def test_a_part_that_is_as_in_scratch_is_not_shown_beside_it(tree):
    names = {each.name for group in grouped(tree, "vision")[0] for each in group.members}
    assert names == {"scratch", "pretrained", "freeze2"}


def test_the_random_agent_is_the_floor_of_the_ratio(tree):
    found = compared(tree, "controller")["pretrained"]
    areas = [20 * 3.5 + seed + 30 for seed in range(3)]
    assert found["transfer_ratio"]["value"] == pytest.approx(15 / sum(areas))


def test_runs_that_play_alike_are_identical_and_no_comparison(tmp_path, compose):
    """As two agents do whose C reads z alone, on the same V, and whose M's differ."""
    for seed in range(3):
        for transfer in ("scratch", "freeze_lstm"):
            write_run(tmp_path, compose(f"seed={seed}", f"transfer={transfer}", "transfer.budget=1.0"))
    (group,) = grouped(tmp_path, "evaluate")[0]
    (found,) = comparisons(group)
    assert decision(found) == "identical"
    assert (found["judgement"].p, found["judgement"].p_similar) == (None, None)
    page, table = (make([(group, [found])], {group.settings: ""}) for make in (verdicts, matrix))
    assert "nothing to choose: freeze_lstm identical." in page
    assert "freeze_lstm</span> from bipedal_walker: identical, gain 0 [0, 0] return, 3 seeds</li>" in page
    assert "= 0 [0, 0]" in table


def test_a_margin_has_its_own_interval(tree):
    """Scratch scores 300, 301 and 302, a random agent -30: a tenth of the lead, and of its interval."""
    limits = [0.1 * limit for limit in t_limits([330, 331, 332])]
    (group,) = [group for group in grouped(tree, "evaluate")[0] if group.env == "car_racing"]
    found = comparisons(group)
    margin = margin_of(next(each for each in found if each["label"] == "freeze2"))
    assert margin["value"] == pytest.approx(33.1) and margin["interval"] == pytest.approx(limits)
    text = verdicts([(group, found)], {group.settings: ""})
    assert f"margin 33.1 [{limits[0]:.3g}, {limits[1]:.3g}])" in text
    assert "its error is no part of the test" in text
    assert "Holm within one task and settings; differences and equivalences each at 5 %." in text
    vision = margin_of(compared(tree, "vision")["freeze2"])
    assert vision["interval"] == pytest.approx([20 / 3, 20 / 3])  # 100 / x, at 1 and 3


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_decide_nothing(tmp_path, compose, seeds):
    for seed in range(seeds):
        for transfer in ("scratch", "freeze2"):
            config = compose(f"seed={seed}", f"transfer={transfer}", "transfer.budget=1.0")
            write_run(tmp_path, config, 9.0 * (transfer == "freeze2"), stages=2)
    found = compared(tmp_path, "vision")["freeze2"]
    assert found["asymptote"]["value"] == pytest.approx(9)
    assert decision(found) == "undecided"


def test_other_settings_are_other_groups(tmp_path, compose):
    for place, more in enumerate(([], ["vae.epochs=7"], ["seed=1"], ["memory.steps=200"])):
        write_run(tmp_path, compose("env=lunar_lander", *more), stages=4, name=str(place))
    groups, notes = grouped(tmp_path, "vision")
    assert [group.size for group in groups] == [2, 1]
    assert sorted(differences(groups).values()) == ["vae.epochs=5", "vae.epochs=7"]
    memory, _ = grouped(tmp_path, "memory")
    assert [group.size for group in memory] == [2, 1, 1]
    assert notes == []


def test_what_is_null_does_not_stand_among_what_sets_settings_apart(tmp_path, compose):
    for place, more in enumerate(([], ["controller.hidden=4"], ["controller.hidden=8"])):
        write_run(tmp_path, compose("env=lunar_lander", *more), stages=5, name=str(place))
    groups, _ = grouped(tmp_path, "controller")
    assert sorted(differences(groups).values()) == ["", "controller.hidden=4", "controller.hidden=8"]


def test_what_changes_no_result_sets_nothing_apart(tmp_path, compose):
    for place, more in enumerate(([], ["executor.slots=3"], ["memory.dream_steps=9"], ["trainer.threads=1"])):
        write_run(tmp_path, compose(f"seed={place}", *more), stages=4)
    assert [group.size for group in grouped(tmp_path, "memory")[0]] == [4]


def test_a_precision_is_the_one_that_auto_stood_for(tmp_path, compose):
    resolved = resolve_precision(compose().trainer)
    for seed, precision in ((0, "auto"), (1, resolved)):
        write_run(tmp_path, compose(f"seed={seed}", f"trainer.precision={precision}"), stages=2)
    (other,) = {"32-true", "bf16-mixed"} - {resolved}
    path = write_run(tmp_path, compose("seed=2"), stages=2) / "results.json"
    path.write_text(path.read_text().replace(f'"precision": "{resolved}"', f'"precision": "{other}"'))
    groups, _ = grouped(tmp_path, "vision")
    assert [group.size for group in groups] == [2, 1]
    assert sorted(differences(groups).values()) == ['precision="32-true"', 'precision="bf16-mixed"']


def test_runs_that_share_their_data_stand_apart_from_runs_that_do_not(tmp_path, compose):
    for place, more in enumerate(([], ["collect.seed=0"], ["seed=1"], ["seed=1", "collect.seed=0"])):
        write_run(tmp_path, compose(*more), stages=2, name=str(place))
    groups, _ = grouped(tmp_path, "vision")
    members = sorted(sorted(run.folder.name for runs in g.members.values() for run in runs.values()) for g in groups)
    assert members == [["0", "2"], ["1", "3"]]
    assert sorted(differences(groups).values()) == ['collect.seed="the run\'s own"', "collect.seed=0"]


def test_runs_of_before_inputs_were_told_are_grouped_by_their_config(tmp_path, compose):
    """Their collect.seed is a number: the run's own, or the one that runs share."""
    for place, (more, seed) in enumerate(
        (
            ([], 0),
            (["seed=1"], 1),
            (["seed=2"], 0),
            (["seed=3", "vae.epochs=7"], 3),
            (["seed=4", "executor.slots=3"], 4),
        )
    ):
        path = write_run(tmp_path, compose(*more), stages=4, name=str(place)) / "results.json"
        results = json.loads(path.read_text())
        for entry in results["stages"].values():
            del entry["inputs"]
        del results["heldout_inputs"]
        results["config"]["collect"]["seed"] = seed
        path.write_text(json.dumps(results))
    groups, _ = grouped(tmp_path, "vision")
    members = sorted(sorted(run.folder.name for runs in g.members.values() for run in runs.values()) for g in groups)
    assert members == [["0", "1", "4"], ["2"], ["3"]]


@pytest.mark.parametrize(
    ("key", "tables"),
    [
        ("heldout.frames=99", (2, 2)),
        ("probe.scored=0.4", (2, 1)),
        ("measure.samples=4", (1, 2)),
        ("memory.decay=0.9", (1, 2)),
    ],
)
def test_figures_on_other_held_out_rollouts_are_never_averaged(tmp_path, compose, key, tables):
    """How many lines V's probes of a target and M's NLL have in the tables of three seeds."""
    for seed, more in ((0, ()), (1, ()), (2, (key,))):
        write_run(tmp_path, compose(f"seed={seed}", *more), stages=4)
    runs, _ = find_runs(f"{tmp_path}/**")
    assert [group.size for group in group_runs(runs, "vision")[0]] == [3]
    for text, lines in ((probe_table(runs).split("<td>memory</td>")[0], tables[0]), (measure_table(runs), tables[1])):
        what = "<td>speed</td>" if "probes" in text or "speed" in text else "<td>NLL</td>"
        assert text.count(what) == lines, key


def test_only_seeds_of_both_count(tmp_path, compose):
    for seed, transfer in ((0, "scratch"), (1, "scratch"), (1, "freeze2"), (2, "freeze2")):
        write_run(tmp_path, compose(f"seed={seed}", f"transfer={transfer}", "transfer.budget=1.0"), stages=2)
    assert compared(tmp_path, "vision")["freeze2"]["seeds"] == [1]
    write_run(tmp_path, compose("env=lunar_lander", "seed=3", "transfer=freeze2"), stages=2)
    write_run(tmp_path, compose("env=lunar_lander", "seed=4"), stages=2)
    assert compared(tmp_path, "vision", "lunar_lander") == {}


def test_a_run_that_was_made_again_counts_once_the_newest(tmp_path, compose):
    for place, gain in enumerate((0.0, 4.0)):
        folder = write_run(tmp_path, compose("transfer=freeze2"), gain, stages=2, name=str(place))
        os.utime(folder / "results.json", (place, place))
    (group,), (note,) = grouped(tmp_path, "vision")
    (members,) = group.members.values()
    assert members[0].folder.name == "1"
    assert "made again" in note
    write_run(tmp_path, compose("transfer=freeze2"), 4.0, stages=3, name="reused")
    assert len(grouped(tmp_path, "vision")[1]) == 1


def test_a_search_that_diverged_is_left_out(tmp_path, compose):
    for seed in (0, 1):
        folder = write_run(tmp_path, compose(f"seed={seed}"), stages=2)
    results = json.loads((folder / "results.json").read_text())
    results["vision"]["epochs"][0]["val_reconstruction"] = float("nan")
    (folder / "results.json").write_text(json.dumps(results))
    (group,), _ = grouped(tmp_path, "vision")
    (strategy,) = group.members
    assert group.curves(strategy, "val_reconstruction").seeds == (0,)
    assert group.diverged("val_reconstruction") == [str(folder)]


def test_a_part_that_did_not_train_has_no_curve(tmp_path, compose):
    folder = write_run(tmp_path, compose(), stages=2)
    results = json.loads((folder / "results.json").read_text())
    results["vision"]["epochs"] = []
    (folder / "results.json").write_text(json.dumps(results))
    (group,), _ = grouped(tmp_path, "vision")
    (strategy,) = group.members
    assert group.curves(strategy, "val_reconstruction") is None


def test_a_shorter_training_of_m_on_the_same_v_is_no_reference_of_its_own(tmp_path, compose):
    half = ("transfer.budget=0.5", "transfer.budgeted=[memory]")
    for more in (("transfer=scratch",), ("transfer=scratch", *half), ("transfer=freeze_lstm", "transfer.budget=0.5")):
        write_run(tmp_path, compose(*more), stages=4)
    (group,), _ = grouped(tmp_path, "memory")
    assert len(group.members) == 3
    assert [each["reference"] for each in comparisons(group)] == ["scratch"]
    other = tmp_path / "other"  # without the longer one, or with another V, it is
    for gain, more in enumerate((half, half[:1])):
        write_run(other, compose("transfer=scratch", *more), float(gain), stages=4)
    write_run(other, compose("transfer=freeze_lstm", "transfer.budget=0.5"), stages=4)
    (group,), _ = grouped(other, "memory")
    assert len({each["reference"] for each in comparisons(group)}) == 2


def test_what_trained_the_same_is_one_strategy(tmp_path, compose):
    half = ("transfer.budget=0.5",)
    for seed, more in ((0, half), (1, half), (1, (*half, "transfer.budgeted=[vision]"))):
        write_run(tmp_path, compose(f"seed={seed}", *more), stages=2, name=f"{seed}-{len(more)}")
    for seed in (1, 2):
        config = compose(f"seed={seed}", *half, "transfer.budgeted=[vision]")
        write_run(tmp_path, config, stages=2, name=f"only-{seed}")
    (group,), notes = grouped(tmp_path, "vision")
    assert {name: sorted(group.members[each]) for each, name in labels(group.members).items()} == {
        "scratch ×0.5": [0, 1, 2]
    }
    assert notes == []


def test_labels_tell_apart_what_differs(tmp_path, compose):
    for place, more in enumerate(
        ([], ["transfer.source_env=lunar_lander"], ["transfer.budget=1.0"], ["transfer.freeze=[vision.encoder]"])
    ):
        write_run(tmp_path, compose("transfer=freeze2", *more), float(place), stages=2, name=str(place))
    (group,), _ = grouped(tmp_path, "vision")
    found = sorted(labels(group.members).values())
    assert len(set(found)) == 4
    assert any("from lunar_lander" in name and "×0.5" in name for name in found)
    assert any('freeze=["vision.encoder"]' in name for name in found)
    alone = next(each for each in group.members if each.budget == 1)
    assert labels([alone]) == {alone: "freeze2"}


def test_rows_of_a_comparison_are_plain(tree):
    rows = comparison_rows(list(compared(tree, "controller").values()))
    assert {row["metric"] for row in rows} == {
        *("jump_start", "asymptote", "area", "time_to_threshold", "transfer_ratio")
    }
    assert all(not isinstance(value, list | dict) for row in rows for value in row.values())
    assert {row["seeds"] for row in rows} == {"0 1 2"}


def test_cut_episodes_are_no_score(tmp_path, compose):
    for seed in range(3):
        for transfer in ("scratch", "freeze2"):
            config = compose(f"seed={seed}", f"transfer={transfer}", "transfer.budget=1.0")
            cut = dataclasses.replace(config, evaluate=dataclasses.replace(config.evaluate, max_steps=9))
            folder = write_run(tmp_path, cut, 1.0 * (transfer == "freeze2"))
            text = (folder / "results.json").read_text()
            (folder / "results.json").write_text(text.replace('"official": true', '"official": false'))
    assert compared(tmp_path, "evaluate")["freeze2"]["unfair"] == "episodes cut: no score"
