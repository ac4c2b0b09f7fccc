"""Every script of the studies starts."""

import runpy
import sys
from pathlib import Path

import pytest
from helpers import ROOT

SCRIPTS = sorted(path.relative_to(ROOT) for path in ROOT.glob("experiments/*/*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_imports_what_is_there_and_says_what_it_does(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert ended.value.code == 0
    assert "usage: " in capsys.readouterr().out
