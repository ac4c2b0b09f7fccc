"""A committed table, a row appended at a time, so that a campaign that was interrupted goes on."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def options(arguments: list[str], names: set[str], words: set[str]) -> tuple[dict[str, str], list[str]]:
    """``NAME=VALUE`` and plain words of a command line. Ends the process where one is unknown."""
    given = dict(each.split("=", 1) for each in arguments if "=" in each)
    asked = [each for each in arguments if "=" not in each]
    expected = sorted(words) + [f"{name}=…" for name in sorted(names)]
    for each in [*(given.keys() - names), *(word for word in asked if word not in words)]:
        print(f"error: {each} is unknown: expected {', '.join(expected)}", file=sys.stderr)
        sys.exit(2)
    return given, asked


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
