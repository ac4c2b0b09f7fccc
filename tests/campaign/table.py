"""A committed table, a row appended at a time, so that a campaign that was interrupted goes on."""

import csv
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]


def options(
    arguments: list[str], kinds: Mapping[str, Callable[[str], Any]], words: set[str]
) -> tuple[dict[str, Any], list[str]]:
    """``NAME=VALUE`` and plain words of a command line. ``kinds`` makes of each value what it is. Ends the process with
    a line where one is unknown.
    """
    given: dict[str, Any] = dict(each.split("=", 1) for each in arguments if "=" in each)
    asked = [each for each in arguments if "=" not in each]
    expected = sorted(words) + [f"{name}=…" for name in sorted(kinds)]
    for each in [*(given.keys() - kinds.keys()), *(word for word in asked if word not in words)]:
        refuse(f"{each} is unknown: expected {', '.join(expected)}")
    for name, value in given.items():
        try:
            given[name] = kinds[name](value)
        except ValueError:
            refuse(f"{name}={value} is no number: expected one, for example {name}=10")
    return given, asked


def count(value: str) -> int:
    """A whole number, also as 1e7."""
    return int(float(value))


def refuse(why: str) -> NoReturn:
    """End the process with a line, as the commands of the package do."""
    print(f"error: {why}", file=sys.stderr)
    sys.exit(2)


def revision() -> str:
    """The commit that is tried, with + where the package differs from it."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    same = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "worldmodels", "conf"], cwd=ROOT).returncode == 0
    return head.stdout.strip() + ("" if same else "+")


class Table:
    """Rows of a CSV file with the columns of its first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def add(self, row: dict[str, Any]) -> None:
        rows = self.rows()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else list(row), lineterminator="\n")
            if not rows:
                writer.writeheader()
            writer.writerow(row)
