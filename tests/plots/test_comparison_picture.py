"""The picture of a comparison shows medians and ranges, and long losses in bins."""

import numpy as np
import pytest

from tinygrad_arith.plots.series import Curve, Series
from tinygrad_arith.plots.training_curve import binned, comparison

STEPS = np.arange(1, 5)
THREE = Series("three", [Curve(STEPS, np.array(y)) for y in ([4.0, 3, 2, 1], [5.0, 3, 2, 0.1], [9.0, 4, 0, 0.2])])
SHARES = Series("three", [Curve(STEPS, np.array(y)) for y in ([0.0, 0.1, 0.6, 1.0], [0.0, 0.3, 0.7, 1.0])])
NEVER_EVALUATED = Series("three", [Curve(np.array([], dtype=np.int64), np.array([]))] * 3)


def test_the_line_is_the_median_and_the_band_the_range():
    losses, exact_match = comparison([THREE], [THREE]).axes
    for axes in (losses, exact_match):
        assert list(axes.lines[0].get_ydata()) == [5.0, 3.0, 2.0, 0.2]
        corners = axes.collections[0].get_paths()[0].vertices
        for step, low, high in ((1, 4.0, 9.0), (2, 3.0, 4.0), (3, 0.0, 2.0), (4, 0.1, 1.0)):
            values = corners[corners[:, 0] == step, 1]
            assert (values.min(), values.max()) == (low, high)


@pytest.mark.parametrize(("y", "scale"), [([2.0, 1.0], "linear"), ([2.0, 0.1], "log"), ([0.0, 0.0], "linear")])
def test_the_loss_is_logarithmic_where_it_spans_more_than_a_decade(y, scale):
    series = [Series("one", [Curve(np.array([1, 2]), np.array(y))])]
    assert comparison(series, [SHARES]).axes[0].get_yscale() == scale


def test_a_loss_of_zero_does_not_hide_the_scale_of_the_others():
    series = [Series("one", [Curve(np.array([1, 2, 3]), np.array([2.0, 0.1, 0.0]))])]
    figure = comparison(series, [SHARES])
    assert figure.axes[0].get_yscale() == "log"
    figure.draw_without_rendering()


def test_what_is_explained_is_in_the_picture():
    one = Series("one", THREE.curves[:1])
    for series, words in (
        ([THREE], "line: median over seeds; band: from the lowest to the highest"),
        ([THREE, one], "line: median over seeds; band: from the lowest to the highest; without a band: a single run"),
        ([one], ""),
        ([one, Series("other", THREE.curves[1:2])], ""),
    ):
        figure = comparison(series, series)
        assert figure.legends[0].get_title().get_text() == words
        assert len(figure.axes[0].collections) == sum(len(group.curves) > 1 for group in series)


def test_runs_that_were_never_evaluated_can_be_drawn():
    figure = comparison([THREE], [NEVER_EVALUATED])
    assert len(figure.axes[1].lines[0].get_xdata()) == 0
    figure.draw_without_rendering()


def test_many_groups_can_be_told_apart():
    series = [Series(f"group {n}", THREE.curves) for n in range(20)]
    figure = comparison(series, [Series(f"group {n}", SHARES.curves) for n in range(20)])
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 20
    assert [text.get_text() for text in figure.legends[0].texts] == [f"group {n} (3 seeds)" for n in range(20)]
    figure.draw_without_rendering()


def test_losses_are_averaged_in_bins():
    losses = np.arange(1.0, 1001.0)
    curve = binned(np.arange(1, 1001), losses, last=1000)
    np.testing.assert_array_equal(curve.x, np.arange(5, 1001, 5))
    np.testing.assert_array_equal(curve.y, losses.reshape(200, 5).mean(axis=1))
    shorter = binned(np.arange(1, 8), losses[:7], last=1000)
    np.testing.assert_array_equal(shorter.x, [5, 10])
    np.testing.assert_array_equal(shorter.y, [3.0, 6.5])
