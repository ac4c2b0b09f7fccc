"""The study for one task, against the numbers that the source study published."""

import csv
from pathlib import Path

from helpers import Commands

COPIED_M = 422_368 - (32 + 3) * 4 * 256  # all but the input layer, which is fresh
PUBLISHED = {  # total, copied, frozen, trainable
    ("scratch", "vision", "encoder"): (690_144, 0, 0, 690_144),
    ("freeze2", "vision", "encoder"): (690_144, 690_144, 34_400, 655_744),
    ("freeze_encoder", "vision", "encoder"): (690_144, 690_144, 690_144, 0),
    ("scratch", "memory", "lstm"): (299_008, 0, 0, 299_008),
    ("scratch", "memory", "mdn"): (123_360, 0, 0, 123_360),
    ("freeze_lstm", "memory", ""): (422_368, COPIED_M, 299_008, 123_360),
    ("freeze_mdn", "memory", ""): (422_368, COPIED_M, 123_360, 299_008),
}
CONVOLUTIONS = {"encoder.layers.0": 1_568, "encoder.layers.1": 32_832, "encoder.layers.2": 131_200}
CONVOLUTIONS |= {"encoder.layers.3": 524_544}


def test_the_tables_are_those_of_the_source_study(commands: Commands, tmp_path: Path) -> None:
    commands.analyse("parameter_tables", "--to", str(tmp_path), "--tasks", "car_racing", cwd=tmp_path)
    groups = list(csv.DictReader((tmp_path / "groups.csv").open()))
    found = {
        (row["transfer"], row["part"], row["group"]): tuple(
            int(row[kind]) for kind in ("total", "copied", "frozen", "trainable")
        )
        for row in groups
    }
    assert {key: found[key] for key in PUBLISHED} == PUBLISHED
    layers = [row for row in csv.DictReader((tmp_path / "layers.csv").open()) if row["transfer"] == "freeze2"]
    frozen = {row["layer"]: (int(row["total"]), int(row["frozen"])) for row in layers if row["layer"] in CONVOLUTIONS}
    assert {name: total for name, (total, _) in frozen.items()} == CONVOLUTIONS
    assert [name for name, (total, kept) in frozen.items() if kept == total] == ["encoder.layers.0", "encoder.layers.1"]
