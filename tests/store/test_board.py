"""What TensorBoard shows of a run."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import plugin_data_pb2

from worldmodels.config import Config
from worldmodels.store.journal import Journal
from worldmodels.store.loggers import tensorboard
from worldmodels.store.runs import FinishedRun


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def fill(folder: Path) -> None:
    with contextlib.closing(tensorboard(folder)) as loggers:
        for stage, table, axis, names in (
            ("controller", "generations", "generation", ("mean", "validation", "validation_std")),
            ("memory", "steps", "step", ("nll", "val_nll", "seconds")),
            ("vision", "epochs", "epoch", ("kl", "val_kl")),
            ("probe_vision", "r2", "epoch", ("speed_z_linear",)),
            ("evaluate", "episodes", "episode", ("return_mean",)),
        ):
            for position in (1, 2):
                values = {name: position + index / 4 for index, name in enumerate(names)}
                Journal(folder / stage, loggers, stage).row(table, axis, {axis: position, **values})


def test_sections_are_in_order_and_validation_is_in_the_chart_of_training(tmp_path: Path) -> None:
    fill(tmp_path)
    own, validation = scalars(tmp_path), scalars(tmp_path / "validation")
    assert sorted(own) == sorted(validation) == ["1_vision/kl", "2_memory/nll", "3_controller/mean"]
    assert (own["1_vision/kl"], validation["1_vision/kl"]) == ([(1, 1.0), (2, 2.0)], [(1, 1.25), (2, 2.25)])
    assert validation["3_controller/mean"] == [(1, 1.25), (2, 2.25)]


def test_a_picture_is_shown_beside_the_chart_of_its_name(tmp_path: Path) -> None:
    with contextlib.closing(tensorboard(tmp_path)) as loggers:
        journal = Journal(tmp_path / "artifact", loggers, "vision")
        for epoch in (1, 2):
            journal.row("epochs", "epoch", {"epoch": epoch, "reconstruction": 3.0 / epoch})
            journal.picture("reconstruction", epoch, np.zeros((4, 4, 3), np.uint8))
    multiplexer = EventMultiplexer({"run": str(tmp_path)}).Reload()  # what TensorBoard's server reads with
    tags = {plugin: [*multiplexer.PluginRunToTagToContent(plugin)["run"]] for plugin in ("scalars", "images")}
    assert tags == {"scalars": ["1_vision/reconstruction"], "images": ["1_vision_pictures/reconstruction"]}


def test_the_score_settles_over_its_episodes_and_is_beside_what_was_chosen(
    tmp_path: Path, compose: Callable[..., Config]
) -> None:
    results = FinishedRun(write_run(tmp_path / "runs", compose("seed=1", "vae.loss=salient"))).results
    with contextlib.closing(tensorboard(tmp_path / "shown")) as loggers:
        loggers.finish(results)
    shown = scalars(tmp_path / "shown")
    first, second, third = results["evaluation"]["returns"]
    assert [value for _, value in shown["4_evaluate/score"]] == pytest.approx(
        [first, (first + second) / 2, (first + second + third) / 3]
    )
    assert [step for step, _ in shown["4_evaluate/random"]] == [1, 2, 3]
    assert "hp_metric" not in shown
    metadata = EventAccumulator(str(tmp_path / "shown")).Reload().summary_metadata
    started = plugin_data_pb2.HParamsPluginData.FromString(
        metadata["_hparams_/session_start_info"].plugin_data.content
    ).session_start_info.hparams
    told = {name: value.string_value or value.number_value for name, value in started.items()}
    assert (told["vae.loss"], told["seed"], told["transfer"], told["env"]) == ("salient", 1, "scratch", "car_racing")


@pytest.mark.parametrize("stages", [2, 6])
def test_every_run_names_all_columns_of_the_table(tmp_path: Path, compose: Callable[..., Config], stages: int) -> None:
    results = FinishedRun(write_run(tmp_path / "runs", compose(), stages=stages)).results
    with contextlib.closing(tensorboard(tmp_path / "shown")) as loggers:
        loggers.finish(results)
    metadata = EventAccumulator(str(tmp_path / "shown")).Reload().summary_metadata
    experiment = plugin_data_pb2.HParamsPluginData.FromString(metadata["_hparams_/experiment"].plugin_data.content)
    columns = {info.name.tag for info in experiment.experiment.metric_infos}
    assert columns == {"1_vision/reconstruction", "2_memory/nll", "3_controller/mean", "4_evaluate/score"}
