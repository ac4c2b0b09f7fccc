"""The one command that names the others."""

import importlib.util
import os
import subprocess
import sys

import pytest

from worldmodels import __main__ as command


def test_every_command_is_there_and_is_listed(capsys, monkeypatch):
    for arguments in ([], ["--help"]):
        monkeypatch.setattr(sys, "argv", ["worldmodels", *arguments])
        command.main()
        printed = capsys.readouterr().out
        for name in command.COMMANDS:
            assert f"  {name} " in printed and importlib.util.find_spec(f"worldmodels.{name}")


def test_a_command_runs_with_its_arguments():
    """In a process of its own: commands take the streams over."""
    line = [sys.executable, "-m", "worldmodels", "report", "--help"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "runs=" in shown.stdout


def test_a_terminal_that_cannot_show_all_is_shown_the_rest():
    told = {**os.environ, "PYTHONIOENCODING": "ascii"}
    line = [sys.executable, "-m", "worldmodels"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True, env=told)
    assert shown.stdout.startswith("usage: worldmodels COMMAND ?, or ")


def test_what_is_no_command_is_told(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["worldmodels", "trian"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: trian is no command: expected one of train, evaluate")
