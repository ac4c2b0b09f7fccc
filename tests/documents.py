"""The pages that people read, and what stands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True)
class Command:
    """A command of a page. ``folder``: where it is typed; ``path``: of modules of one's own, or None."""

    page: Path
    words: tuple[str, ...]
    folder: Path = ROOT
    path: Path | None = None


def blocks(page: Path, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[Command]:
    """Those of code blocks, in their folders, and those within the text."""
    for block in blocks(page, "sh", "bash"):
        folder, path = ROOT, None
        for line in block.replace("\\\n", " ").splitlines():
            for words in _split(shlex.split(line, comments=True)):
                if words[:1] == ["cd"]:
                    folder = ROOT / words[1]
                elif words == ["export", "PYTHONPATH=$PWD"]:
                    path = folder
                elif words:
                    yield Command(page, tuple(words), folder, path)
    for text in re.findall(r"`(python -m worldmodels\.[^`…]*)`", page.read_text()):
        yield Command(page, tuple(shlex.split(text)))


def _split(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line, without the environment's folder before a program."""
    rest = [word.removeprefix(".venv/bin/") for word in words]
    while "&&" in rest:
        place = rest.index("&&")
        yield rest[:place]
        rest = rest[place + 1 :]
    yield rest


def keys(page: Path) -> set[str]:
    """What stands in the first column of a page's tables, by its name in code."""
    cells = re.findall(r"^\| (`[^|]*) \|", page.read_text(), re.MULTILINE)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}
