"""The Python of the README and the documentation runs, page by page, on a finished run."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import documents
import pytest
from helpers import ROOT, Finished

import worldmodels as wm

DOCS = [page for page in documents.PAGES if documents.blocks(page, "python")]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_it_runs(page: Path, finished: Callable[[str], Finished], monkeypatch: pytest.MonkeyPatch) -> None:
    """In its order. What trains composes its config and gives the finished run."""
    folder = finished("lunar_lander").run

    def trained(*overrides: str) -> Any:
        wm.compose(*overrides)
        return wm.load(folder)

    monkeypatch.setattr(wm, "train", trained, raising=False)
    session: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for snippet in documents.blocks(page, "python"):
            exec(snippet.replace("outputs/runs/…/…", str(folder)), session)
        for value in session.values():
            if hasattr(value, "close") and hasattr(value, "reset"):
                stack.callback(value.close)
