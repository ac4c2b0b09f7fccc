"""Loggers from the config show what the record holds, whole also after a resume."""

import contextlib
import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from worldmodels.config import Config, check_parts
from worldmodels.store.journal import Journal
from worldmodels.store.loggers import StageLogger, make_loggers
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import spelled_out

CSV = {"csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "name": "", "version": "csv"}}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_table_shows_the_whole_record_after_a_resume(tmp_path: Path) -> None:
    for run, rows in (("first", [1, 2]), ("second", [3])):
        with contextlib.closing(make_loggers(CSV, tmp_path / run)) as loggers:
            journal = Journal(tmp_path / "artifact", loggers, "vision")
            journal.rewind(epochs=2)
            for epoch in rows:
                journal.row("epochs", "epoch", {"epoch": epoch, "kl": epoch / 4, "note": "fine"})
            journal.picture("seen", rows[0], np.zeros((4, 4, 3), np.uint8))  # which a table does not show
    shown = [(row["step"], float(row["vision_epochs/kl"])) for row in table(tmp_path / "second")]
    assert shown == [("1", 0.25), ("2", 0.5), ("3", 0.75)]


def test_what_a_callback_logs_is_shown_under_its_stage(tmp_path: Path) -> None:
    with contextlib.closing(make_loggers(CSV, tmp_path)) as loggers:
        logger = Journal(tmp_path / "artifact", loggers, "memory").lightning_logger()
        assert isinstance(logger, StageLogger)
        logger.log_metrics({"lr-Adam": 0.5, "epoch": 3}, 7)
        assert Path(logger.save_dir) == tmp_path, "not in the artifact"
    row = table(tmp_path)[0]
    assert (row["step"], row["memory/lr-Adam"], set(row)) == ("7", "0.5", {"step", "memory/lr-Adam"})


def test_no_logger_is_needed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, make_loggers({}, tmp_path), "vision")
    journal.row("epochs", "epoch", {"epoch": 1, "kl": 2.0})
    assert journal.rows("epochs") == [{"epoch": 1, "kl": 2.0}]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_says_how(compose: Callable[..., Config], tmp_path: Path, name: str) -> None:
    config = compose(f"logger={name}")
    check_parts(config)
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(ConfigError, match=rf"^logger\.{name}=.* needs {name}, .*: pip install 'worldmodels\[{name}\]'"):
        make_loggers(config.logger, tmp_path)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("logger={mine: {_target_: lightning.pytorch.loggers.Nothing}}", r"logger\.mine=.* is not there"),
        ("logger={mine: {level: 3}}", r"logger\.mine=.* names no class"),
        ("callbacks={mine: {_target_: nowhere.Callback}}", r"callbacks\.mine=.* cannot be imported"),
    ],
)
def test_a_class_that_is_not_there_is_refused(compose: Callable[..., Config], override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_parts(compose(override))


def test_several_loggers_at_once(compose: Callable[..., Config], tmp_path: Path) -> None:
    config = compose("logger=[tensorboard,csv]")
    with contextlib.closing(make_loggers(config.logger, tmp_path)) as loggers:
        Journal(tmp_path / "artifact", loggers, "vision").row("epochs", "epoch", {"epoch": 1, "kl": 2.0})
    assert table(tmp_path)[0]["vision_epochs/kl"] == "2.0" and list(tmp_path.glob("events.*"))


def test_settings_a_logger_does_not_take_are_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^logger\.csv=.*CSVLogger cannot be made \(.*colour.*\): expected settings"):
        make_loggers({"csv": CSV["csv"] | {"colour": "red"}}, tmp_path)


def test_a_group_is_chosen_and_a_class_is_added_on_the_command_line() -> None:
    """Neither is spelt out as the one class of a part is."""
    given = ["logger=csv", "callbacks.mine={_target_: a.B}", "vae.loss=mse"]
    told = ["logger=csv", "++callbacks.mine={_target_: a.B}", "vae.loss=mse", "vae.loss={_target_: mse}"]
    assert spelled_out(given, Config) == told
