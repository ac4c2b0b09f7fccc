"""What the report takes for the settings of a run: all of it follows from the declarations."""

import pytest
from synthetic import write_run

from worldmodels.config import STAGES
from worldmodels.pipeline.pipeline import DECLARED
from worldmodels.reports.groups import strategy
from worldmodels.reports.settings import NODES, config_row, settings
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.budgets import budget_of


@pytest.fixture
def early(tmp_path, compose):
    """A run of before ``results.json`` had inputs."""

    def run(*overrides: str) -> FinishedRun:
        finished = FinishedRun(write_run(tmp_path, compose(*overrides), name=str(len(list(tmp_path.glob("runs/*"))))))
        for entry in finished.results["stages"].values():
            del entry["inputs"]
        del finished.results["heldout_inputs"]
        return finished

    return run


@pytest.mark.parametrize("stage", [*STAGES, "measure_memory", "probe_vision"])
def test_an_early_run_has_the_settings_that_its_stages_read(early, compose, stage):
    """Every setting in the keys of today's artifacts that the config holds as it is."""
    read = DECLARED[stage].inputs(compose())
    keys = {key.split(".")[0] for key in settings(early(), stage)}
    assert {name for name in read if name in NODES} <= keys
    assert "executor" not in keys and "paths" not in keys


def test_early_runs_differ_by_the_flags_that_change_results_alone(early):
    plain = settings(early(), "vision")
    assert settings(early("trainer.compile=true", "trainer.num_workers=2"), "vision") == plain
    clipped = settings(early("trainer.gradient_clip_val=1.0"), "vision")
    assert {key for key in clipped if clipped[key] != plain.get(key)} == {"trainer.gradient_clip_val"}


def test_a_line_of_runs_has_every_node_that_changes_results(tmp_path, compose):
    run = FinishedRun(write_run(tmp_path, compose("trainer.accumulate_grad_batches=2", "callbacks=early_stopping")))
    row = config_row(run)
    assert row["trainer.accumulate_grad_batches"] == 2 and "trainer.threads" not in row
    assert any(key.startswith("callbacks.") for key in row)
    nodes = {name for stage in DECLARED.values() for name in stage.inputs(compose()) if name in NODES}
    assert nodes | {"transfer"} <= {key.split(".")[0] for key in row}


@pytest.mark.parametrize("transfer", ["scratch", "freeze2", "pretrained_memory"])
def test_a_strategys_budget_is_that_of_its_builds(tmp_path, compose, transfer):
    config = compose(f"transfer={transfer}", "transfer.budget=0.5", "transfer.budgeted=[vision]")
    run = FinishedRun(write_run(tmp_path, config))
    for part in ("vision", "memory"):
        assert strategy(run).budget_of(part) == budget_of(config.transfer, part)
