"""The study's tables from the figures of searches."""

import importlib.util
from types import ModuleType

import pytest
from helpers import ROOT

SCRIPT = ROOT / "experiments" / "dream_training" / "analyse.py"


@pytest.fixture(scope="module")
def analysis() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dream_training_analysis", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def searches(env: str) -> list[dict]:
    return [
        {"env": env, "temperature": tau, "seed": seed, "dream": 100 * tau + seed, "reality": 10.0 * seed, "random": 5.0}
        for tau in (1.15, 0.5)
        for seed in range(3)
    ]


def test_a_line_is_a_temperature_beside_the_papers(analysis):
    rows = [*searches("take_cover"), searches("car_racing")[0]]
    alone, cold, warm = analysis.summary(rows)
    assert (alone["env"], alone["searches"], alone["dream_std"]) == ("car_racing", 1, None)
    assert "paper_dream" not in alone
    assert (cold["temperature"], cold["dream"], cold["dream_std"], cold["paper_dream"]) == (0.5, 51, 1, 2060)
    assert (warm["reality"], warm["paper_reality"]) == (10, 1092)


def test_the_figure_has_a_panel_for_each_task(analysis):
    panels = analysis.figure([*searches("take_cover"), *searches("lunar_lander")]).axes
    assert [panel.get_title() for panel in panels] == ["lunar_lander", "take_cover"]
    labels = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert labels == [
        "in dreams",
        "in the task",
        "in dreams, the paper",
        "in the game, the paper",
        "random, in the task",
    ]
