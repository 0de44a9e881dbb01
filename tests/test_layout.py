"""Figures hold together whatever the sweep: no text leaves a figure, none in its head overlaps."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from analysis import figures, layout, style
from analysis.frames import Study
from tests import columns, sample

FIVE = ["normal_small", "torch_default", "xavier_normal", "he_normal", "normal_unit"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def boxes(figure: Figure) -> dict[str, np.ndarray]:
    """Return the box of every text and of every axis' ticks in inches: left, bottom, right, top."""
    figure.draw_without_rendering()  # that of a closed figure draws nothing
    lines = [line for panel in figure.axes for line in (panel.xaxis, panel.yaxis)]
    # ticks beyond an axis' limits exist and are not drawn: the axis knows which are
    ticks = {text for line in lines for text in line.findobj(Text) if text is not line.label}
    found = {}
    for number, text in enumerate(figure.findobj(Text)):
        if text.get_visible() and text.get_text().strip() and text not in ticks:
            found[f"{text.get_text()} #{number}"] = text.get_window_extent()
    for number, line in enumerate(lines):
        box = line.get_tightbbox()
        if box is not None and box.width and box.height:
            found[f"ticks #{number}"] = box
    return {text: np.array(box.extents) / figure.dpi for text, box in found.items()}


def check(figure: Figure) -> None:
    """Refuse texts that are cut off, and texts of the head that stand on each other."""
    width, height = figure.get_size_inches()
    found = boxes(figure)
    for text, (left, bottom, right, top) in found.items():
        assert left >= -0.01, text
        assert bottom >= -0.01, text
        assert right <= width + 0.01, text
        assert top <= height + 0.01, text
    panels = max(axis.get_position().y1 for axis in figure.axes[:1]) * height
    head = [(text, box) for text, box in found.items() if box[1] > panels]
    assert head
    for (one, a), (other, b) in itertools.combinations(head, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, other)


@pytest.mark.parametrize(
    "inits",
    [FIVE[3:4], *(pytest.param(many, marks=pytest.mark.long) for many in (FIVE[1:3], FIVE))],
    ids=["one", "two", "five"],
)
def test_no_text_is_cut_off_or_stands_on_another(tmp_path, inits):
    many = [
        sample.condition(
            depth=depth, activation=activation, init=init, optim={"name": "sgd", "lr": lr}, steps=3,
            seeds=2,
        )
        for depth in (1, 2, 8) for activation in ("relu", "sigmoid", "tanh", "gelu", "identity")
        for init in inits for lr in (0.03, 0.3)
    ]  # fmt: skip
    study = Study(sample.make(tmp_path, many))
    columns.with_quantiles(study)
    columns.with_fates(study)
    drawers = (
        *figures.START,
        *figures.TRAINING,
        *figures.START_APPENDIX,
        *figures.TRAINING_APPENDIX,
    )
    for drawer in (figures.overview, *drawers, figures.coverage):
        try:
            check(drawer(study))
        except figures.NotApplicable:  # whether a unit dies, or all networks train, is up to chance
            absent = (figures.predictors, figures.unit_fates, figures.packing)
            assert drawer in absent


def test_long_names_widen_a_figure_and_a_long_legend_takes_more_lines():
    names = ["leaky_relu (negative_slope 0.123456, another_parameter 17)", "relu"]
    with style.house_style():
        figure, axes = layout.panel_grid(names, names, (0.8, 0.7))
        handles = [plt.Line2D([], [], label=f"entry number {index}") for index in range(30)]
        before = axes[0, 0].get_position().height * figure.get_figheight()
        layout.legend_above(figure, handles, "what is drawn upwards")
        after = axes[0, 0].get_position().height * figure.get_figheight()
        check(figure)
    assert after == pytest.approx(before)


def test_layers_have_whole_ticks_with_the_first_and_the_last():
    _, axis = plt.subplots()
    for layers in (2, 3, 7, 31, 64):
        layout.layer_ticks(axis, layers)
        ticks = axis.get_xticks()
        assert (ticks[0], ticks[-1]) == (1, layers)
        assert len(ticks) <= 8
        assert all(tick == int(tick) for tick in ticks)


def test_one_activation_stands_at_its_depth_and_what_is_at_chance_is_not_framed(tmp_path):
    many = [
        sample.condition(
            depth=depth, activation="relu", init=init, optim={"name": "sgd", "lr": lr}, steps=60
        )
        for depth in (2, 3) for init in ("he_normal", "zeros") for lr in (0.03, 0.3)
    ]  # fmt: skip
    study = Study(sample.make(tmp_path, many))
    zeros, learnt = figures.trainability.drawing(study).figure.axes
    for axis in (zeros, learnt):
        places = [place for line in axis.lines[:3] for place in line.get_xdata()]
        assert set(places) == {0, 1}
    hollow = [line for line in learnt.lines if line.get_markerfacecolor() == "white"]
    assert sum(len(line.get_xdata()) for line in hollow) == 2
    frames = [
        sum(isinstance(patch, Rectangle) and not patch.get_fill() for patch in axis.patches)
        for axis in figures.rate_map.drawing(study).figure.axes[:2]
    ]
    assert frames == [0, 4]
