"""Figures: the same data give the same file, and the file says what it shows."""

import re

import numpy as np
import pytest

from worldmodels.reports import figures
from worldmodels.reports.figures import Bar, Look, Panel, gains, learning_curves, looks
from worldmodels.reports.published import car_racing
from worldmodels.transfer.metrics import Curves


def curves(seeds, points=5):
    x = np.arange(1, points + 1)
    return Curves(x, np.stack([x * 2.0 + seed for seed in range(seeds)]), tuple(range(seeds)))


def panel(**lines):
    return Panel("V", "epoch", "squared error", lines)


def test_the_same_figure_is_the_same_file(tmp_path):
    for kind in ("svg", "png"):
        found = [
            figures.save(learning_curves([panel(a=curves(3), b=curves(1))]), tmp_path / f"{place}.{kind}")
            for place in range(2)
        ]
        assert found[0] == found[1] == (tmp_path / f"0.{kind}").read_bytes()


def test_text_is_text_and_nothing_comes_from_elsewhere(tmp_path):
    text = figures.save(learning_curves([panel(scratch=curves(3))]), tmp_path / "a.svg").decode()
    for word in ("scratch", "epoch", "squared error"):
        assert f">{word}<" in text
    assert not re.search(r"(href|src)=\"(?!#)", text)
    assert not re.search(r"url\((?!#)", text)
    assert "<dc:date>" not in text


def test_lines_differ_in_more_than_colour():
    names = [f"strategy {place}" for place in range(8)]
    (axes, *_) = learning_curves([panel(**{name: curves(2) for name in names})]).axes
    drawn = [line for line in axes.lines if line.get_label() in names]
    looks = {(str(line.get_linestyle()), line.get_marker()) for line in drawn}
    assert len(drawn) == len(looks) == 8


def test_a_strategy_has_its_colour_in_every_figure():
    alone, among = looks(["scratch", "freeze_encoder ×0.5"]), looks(["aligned", "freeze_encoder", "scratch", "mine"])
    assert alone["freeze_encoder ×0.5"].colour == among["freeze_encoder"].colour != "#000000"
    assert {alone["scratch"], among["scratch"]} == {Look("#000000", "-", "o")}
    assert looks(["mine", "scratch"])["mine"].colour == among["mine"].colour
    assert len(set(looks(["best", "mean", "worst"]).values())) == 3


def test_a_legend_of_long_labels_stays_on_the_figure():
    shown = panel(ours=curves(2))._replace(published=car_racing(), log=True)
    figure = learning_curves([shown], width=8)
    figure.draw_without_rendering()
    box, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1


def test_the_mean_the_seeds_and_the_interval_are_drawn():
    (axes,) = learning_curves([panel(a=curves(3))]).axes
    (mean,) = [line for line in axes.lines if line.get_label() == "a"]
    assert np.array_equal(mean.get_ydata(), np.arange(1, 6) * 2 + 1)
    assert len(axes.lines) == 4
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices
    half = 4.302653 / np.sqrt(3)  # Student's t of 0, 1, 2, whose standard deviation is 1
    assert (edges[:, 1].min(), edges[:, 1].max()) == pytest.approx((3 - half, 11 + half))
    for seeds, lines in ((1, 1), (2, 3)):  # an interval of two would fill the panel
        (axes,) = learning_curves([panel(a=curves(seeds))]).axes
        assert (len(axes.lines), len(axes.collections)) == (lines, 0)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_single_point_can_be_drawn(tmp_path, seeds):
    figures.save(learning_curves([panel(a=curves(seeds, points=1))]), tmp_path / "a.svg")


def test_the_published_curves_are_those_of_the_papers():
    population, evaluations, wellmer = car_racing()
    assert (population.x[0], population.y[0]) == (1, -54.6)
    at = dict(zip(evaluations.x, evaluations.y, strict=True))
    assert at[25] == pytest.approx(823, abs=1)
    assert at[50] == pytest.approx(867, abs=1)
    assert at[1800] == pytest.approx(900.5, abs=0.5)
    assert dict(zip(wellmer.x, wellmer.y, strict=True))[10] == pytest.approx(730, abs=1)


def test_published_curves_are_grey_and_named():
    shown = panel(ours=curves(2))._replace(published=car_racing(), log=True)
    (axes,) = learning_curves([shown]).axes
    assert axes.get_xscale() == "log"
    grey = [line for line in axes.lines if line.get_color() == "0.6"]
    assert [line.get_label().split(",")[0] for line in grey] == ["Ha & Schmidhuber 2018"] * 2 + ["Wellmer 2020"]


def test_gains_stand_in_order_with_their_intervals():
    bars = [Bar("a", 1.0, [0.5, 1.5], [0.5, 1.5]), Bar("b", -1.0, None, [-1.0], hollow=True)]
    (axes,) = gains("V", "return", bars).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert "transfer helps" in axes.get_xlabel()
