"""Pictures of several runs: every run's numbers are in them, seeds of one group share a colour."""

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tinygrad_arith.plots.accuracy import accuracy_by_length, accuracy_by_train_size, accuracy_curves, apart
from tinygrad_arith.plots.figure import BLUE, ORANGE, save_figure
from tinygrad_arith.plots.series import Curve, Series
from tinygrad_arith.plots.training_curve import comparison

X = np.array([10.0, 20.0, 30.0])
TWO_GROUPS = [
    Series("reversed", [Curve(X, np.array([0.1, 0.9, 1.0])), Curve(X, np.array([0.0, 0.5, 0.98]))]),
    Series("plain", [Curve(X[:2], np.array([0.0, 0.2]))]),
]


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_each_run_is_a_curve_and_each_group_a_colour():
    figure = accuracy_curves(TWO_GROUPS, "training step")
    (axes,) = figure.axes
    curves = [curve for group in TWO_GROUPS for curve in group.curves]
    for line, curve in zip(axes.lines, curves, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([curve.x, curve.y], axis=1))
    assert [to_hex(line.get_color()).upper() for line in axes.lines] == [BLUE, BLUE, ORANGE]
    assert legend_of(figure) == ["reversed (2 seeds)", "plain"]
    assert (axes.get_xlabel(), axes.get_xscale(), axes.get_xlim()) == ("training step", "linear", (0, 30))
    figure.draw_without_rendering()


def test_a_single_group_is_named_in_the_title():
    figure = accuracy_curves(TWO_GROUPS[:1], "training step")
    assert legend_of(figure) == []
    assert figure.axes[0].get_title(loc="left") == "exact match on validation problems: reversed (2 seeds)"


def test_a_seed_with_several_curves_counts_once():
    curves = [Curve(np.array([float(size)]), np.array([0.5])) for size in (100, 100, 200, 200)]
    assert (
        accuracy_by_train_size([Series("reversed", curves, seeds=2)])
        .axes[0]
        .get_title(loc="left")
        .endswith(": reversed (2 seeds)")
    )
    assert Series("reversed", curves[::2], seeds=1).title == "reversed"


def test_runs_of_very_different_lengths_get_a_logarithmic_axis():
    far = Series("long", [Curve(np.array([10.0, 700.0]), np.array([0.0, 1.0]))])
    assert accuracy_curves([*TWO_GROUPS, far], "x").axes[0].get_xscale() == "log"


def test_the_spread_is_over_the_runs_that_have_a_value():
    series = Series("a", [Curve(X, np.array([0.1, 0.9, 1.0])), Curve(X[:2], np.array([0.0, 0.5]))])
    x, low, median, high = series.spread()
    np.testing.assert_array_equal(x, X)
    np.testing.assert_allclose([low, median, high], [[0.0, 0.5, 1.0], [0.05, 0.7, 1.0], [0.1, 0.9, 1.0]])


def test_train_sizes_have_a_dot_a_run_and_a_line_through_the_medians(tmp_path):
    def runs(*points):
        return [Curve(np.array([float(size)]), np.array([share])) for size, share in points]

    series = [
        Series("plain", runs((1000, 0.0), (1000, 0.1), (1000, 0.4), (5000, 0.8))),
        Series("reversed", runs((1000, 0.1), (1100, 0.2), (5000, 1.0))),
    ]
    figure = accuracy_by_train_size(series)
    (axes,) = figure.axes
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    dots = [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(lines[0].get_xydata(), [(1000, 0.1), (5000, 0.8)])
    assert dots == [(run.x[0], run.y[0]) for group in series for run in group.curves]
    assert legend_of(figure) == ["plain", "reversed"]
    figure.draw_without_rendering()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1k", "5k"]  # 1.1k would touch 1k
    save_figure(figure, tmp_path / "sizes.png")


@pytest.mark.parametrize(
    ("sizes", "written"),
    [
        ([1000, 1100], [1000, 1100]),  # close, but there is no other
        ([1000], [1000]),
        ([1000, 1100, 5000], [1000, 5000]),
        ([1000, 4800, 5000], [1000, 5000]),
        ([1000, 2000, 5000], [1000, 2000, 5000]),
    ],
)
def test_the_smallest_and_the_largest_train_size_are_written(sizes, written):
    assert apart(sizes) == written


@pytest.mark.parametrize(("trained", "words"), [(20, "shaded: trained on"), (30, "all of them trained on")])
def test_the_lengths_trained_on_are_shaded(trained, words):
    figure = accuracy_by_length(TWO_GROUPS, trained)
    (axes,) = figure.axes
    band = axes.collections[0]
    shade = axes.patches[0]
    outline = shade.get_patch_transform().transform_path(shade.get_path())  # a polygon before matplotlib 3.9
    assert outline.vertices[:, 0].max() == trained + 0.5
    assert axes.get_xlabel().startswith(f"digits of the longer operand ({words})")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.05, 0.7, 0.99])
    vertices = {tuple(vertex) for vertex in band.get_paths()[0].vertices}
    assert {(10.0, 0.0), (20.0, 0.9), (30.0, 1.0)} <= vertices  # from the lowest to the highest seed
    assert len(axes.collections) == 1  # no band for a single seed


def test_lengths_without_a_point_are_told():
    def at(*lengths):
        return Curve(np.array(lengths, dtype=np.float64), np.full(len(lengths), 0.5))

    series = [Series("a", [at(4, 5, 7)]), Series("b", [at(4, 5, 6, 7)])]
    label = accuracy_by_length(series, trained=7, fewest=10).axes[0].get_xlabel()
    assert label.endswith("\n(no point at 1 to 3, 6: fewer than 10 problems)")
    assert "\n" not in accuracy_by_length([Series("a", [at(1, 2)])], trained=2, fewest=10).axes[0].get_xlabel()


LONG = ", ".join(f"an option of a run that is number {i}" for i in range(4))
PICTURES = {
    "curves": lambda series: accuracy_curves(series, "training step"),
    "length": lambda series: accuracy_by_length(series, 20),
    "train_size": lambda series: accuracy_by_train_size(
        [dataclasses.replace(s, curves=[Curve(c.x[:1], c.y[:1]) for c in s.curves]) for s in series]
    ),
    "comparison": lambda series: comparison(series, series),
}


@pytest.mark.parametrize("label", ["short", "position_ids coupled, longest 30", LONG, "without_any_space" * 10])
@pytest.mark.parametrize("name", PICTURES)
def test_all_of_a_legend_is_on_the_sheet(name, label):
    series = [Series(f"{label} {i}", TWO_GROUPS[1].curves) for i in range(5)]
    figure = PICTURES[name](series)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert box.y0 >= 0
    assert [text.replace("\n", "").replace(" ", "") for text in legend_of(figure)] == [
        group.label.replace(" ", "") for group in series
    ]
    height = 0.5 * 3.6 * figure.dpi
    assert all(axes.get_window_extent().height > height and axes.get_tightbbox().y0 >= box.y1 for axes in figure.axes)


@pytest.mark.parametrize("name", ["curves", "length", "train_size"])
def test_all_of_a_long_title_is_on_the_sheet(name):
    figure = PICTURES[name]([Series(LONG, TWO_GROUPS[1].curves)])
    figure.draw_without_rendering()
    title = figure.axes[0].get_tightbbox()
    assert title.x1 <= figure.bbox.width
    assert title.y1 <= figure.bbox.height
    assert figure.axes[0].get_title(loc="left").replace("\n", " ").endswith(LONG)
