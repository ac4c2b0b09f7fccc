"""Published learning curves of World Models on CarRacing, to stand beside our own."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

REFERENCE = Path(__file__).parent / "reference"


class Published(NamedTuple):
    """A published curve. x: (K,) generations; y: (K,) returns."""

    label: str
    x: np.ndarray
    y: np.ndarray


def car_racing() -> list[Published]:
    """Ha & Schmidhuber 2018 (arXiv:1803.10122), where a generation is 64 individuals × 16 rollouts, and Wellmer 2020,
    whose controller also sees M's cell state.
    """
    return [
        _read("Ha & Schmidhuber 2018, population mean", "carracing_ha2018_generations", "population_mean"),
        _read("Ha & Schmidhuber 2018, evaluations", "carracing_ha2018_evaluations", "evaluation_mean"),
        _read("Wellmer 2020, evaluations", "carracing_wellmer2020_evaluations", "mean"),
    ]


def _read(label: str, name: str, column: str) -> Published:
    with (REFERENCE / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    x, y = (np.array([float(row[key]) for row in rows]) for key in ("generation", column))
    return Published(label, x[x > 0], y[x > 0])
