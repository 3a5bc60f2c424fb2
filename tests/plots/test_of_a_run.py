"""Pictures of one run: the numbers and tokens that they were given are in them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tinygrad_arith.plots.answer_positions import answer_positions
from tinygrad_arith.plots.attention_maps import attention_maps
from tinygrad_arith.plots.breakdowns import group_scores
from tinygrad_arith.plots.figure import BLUE, GREY, ORANGE, name_run, short_count
from tinygrad_arith.plots.losses import losses
from tinygrad_arith.plots.tokens import MOST_ROWS, chosen_rows, fitting, token_picture
from tinygrad_arith.run_files.predictions import SamplePredictions
from tinygrad_arith.tasks.metrics import Groups
from tinygrad_arith.tasks.scoring import GroupScore, wilson_interval


def test_each_place_of_the_answer_has_a_line():
    shares = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 1.0]])
    figure = answer_positions([50, 100], shares)
    axes, bar = figure.axes
    np.testing.assert_array_equal([line.get_ydata() for line in axes.lines], shares.T)
    assert len({line.get_color() for line in axes.lines}) == 3
    assert [label.get_text() for label in bar.get_yticklabels()] == ["1", "2", "3"]
    figure.draw_without_rendering()


@pytest.mark.parametrize(("places", "step"), [(15, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_as_many_places_are_named_as_fit(places, step):
    bar = answer_positions([50, 100], np.zeros((2, places))).axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == [str(p) for p in range(1, places + 1, step)]


def test_bars_have_their_share_interval_and_count():
    scores = [GroupScore(0, 2000, 2000), GroupScore(3, 10, 7), GroupScore(4, 1, 0)]
    figure = group_scores(Groups("longest carry chain", scores, "by longest carry chain"))
    (axes,) = figure.axes
    assert [patch.get_height() for patch in axes.patches] == [1.0, 0.7, 0.0]
    assert [text.get_text() for text in axes.texts][:6] == ["100", "2k", "70.0", "10", "0", "1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "3", "4"]
    whiskers = [segment[:, 1] for segment in axes.collections[0].get_segments()]
    counts = axes.texts[1:6:2]
    assert all(count.get_color() == GREY and count.get_position()[1] < 0 for count in counts)  # below, not on the bars
    assert figure.get_supxlabel() == "whiskers: 95 % interval; small numbers: problems"
    np.testing.assert_allclose(whiskers, [wilson_interval(score.correct, score.total) for score in scores], atol=1e-12)
    figure.draw_without_rendering()


def test_many_bars_have_no_text_and_fewer_labels():
    scores = [GroupScore(i, 5, 5) for i in range(1, 41)]
    figure = group_scores(Groups("operand length", scores, "by operand length"))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == []
    assert figure.get_supxlabel() == "whiskers: 95 % interval"
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(i) for i in range(1, 41, 3)]


def test_even_attention_is_seen_and_certain_attention_is_not_drawn_alike():
    image = attention_maps([np.full((1, 20, 20), 0.05)], ["1"] * 20).axes[0].images[0]
    even, certain = image.norm(0.05), image.norm(1.0)
    assert even == pytest.approx(np.sqrt(0.05))
    assert certain == 1.0  # the same scale for every head
    bar = image.colorbar.ax
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0%", "1%", "5%", "10%", "25%", "50%", "100%"]


def test_attention_has_a_map_for_each_head_labelled_with_tokens():
    maps = [np.random.default_rng(layer).dirichlet(np.ones(4), size=(3, 4)) for layer in range(2)]
    figure = attention_maps(maps, ["1", "+", " ", "12"])
    panels = figure.axes[:6]
    for index, axes in enumerate(panels):
        layer, head = divmod(index, 3)
        np.testing.assert_array_equal(axes.images[0].get_array(), maps[layer][head])
        assert axes.get_title(loc="left") == f"layer {layer + 1}, head {head + 1}"
        assert [t.get_text() for t in axes.get_xticklabels()] == (["1", "+", "␣", "12"] if layer == 1 else [])
        assert [t.get_text() for t in axes.get_yticklabels()] == (["1", "+", "␣", "12"] if head == 0 else [])
    figure.draw_without_rendering()


@pytest.mark.parametrize(("answer", "lines"), [(3, [2.5, 2.5]), (4, []), (None, [])])
def test_lines_mark_where_the_answer_begins(answer, lines):
    figure = attention_maps([np.full((2, 4, 4), 0.25)], ["1", "+", "=", "2"], answer)
    for axes in figure.axes[:2]:
        assert [
            float(np.unique(line.get_data()[index])[0]) for index, line in zip((1, 0), axes.lines, strict=False)
        ] == lines
    assert figure.get_supxlabel() == ("lines: the answer begins behind them" if lines else "")


def test_the_name_of_a_run_is_written_above_below_what_stands_there_and_wrapped():
    plain = losses([{"step": 1, "loss": 2.0}])
    height = plain.get_figheight()
    assert name_run(plain, "binary-reversed-seed1").get_suptitle() == "binary-reversed-seed1"
    assert plain.get_figheight() > height
    maps = attention_maps([np.full((1, 20, 20), 0.05)], ["1"] * 20)
    words = maps.get_suptitle()
    assert name_run(maps, "mine").get_suptitle() == f"{words}\nmine"
    assert "\n" in name_run(losses([{"step": 1, "loss": 2.0}]), "a-long-name-" * 20).get_suptitle()
    plain.draw_without_rendering()


SAMPLE = SamplePredictions(
    tokens=list("1 +1="),
    predicted=[[" ", "1", "1", "+", ""], [" ", "+", "1", "=", "1"]],
    counted=np.array([False, True, True, True, False]),
)


def test_predicted_tokens_are_coloured_by_right_and_wrong():
    figure = token_picture([SAMPLE], [10, 2000])
    (axes,) = figure.axes
    boxes = {
        (round(patch.get_x() + 0.45), round(patch.get_y() + 0.45)): to_hex(patch.get_facecolor()).upper()
        for patch in axes.patches
    }
    grey, right, wrong = "#FFFFFF", BLUE, ORANGE
    weights = {round(text.get_position()[0]): text.get_weight() for text in axes.texts if text.get_position()[1] == 0}
    assert weights == {1: "normal", 2: "bold", 3: "normal", 4: "bold"}  # the second cue, for print in grey
    assert [boxes[place, 0] for place in (1, 2, 3, 4)] == [grey, wrong, right, wrong]
    assert [boxes[place, 1] for place in (1, 2, 3, 4)] == [grey, right, right, right]
    assert len(boxes) == 8
    written = {(round(text.get_position()[0]), text.get_position()[1]): text.get_text() for text in axes.texts}
    assert [written[place, 0] for place in (1, 2, 3, 4)] == ["␣", "1", "1", "+"]
    assert [written[place, -1.4] for place in range(5)] == ["1", "␣", "+", "1", "="]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sample", "10", "2,000"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["right", "wrong, in bold", "bears no loss"]
    figure.draw_without_rendering()


def test_what_was_never_predicted_has_no_box():
    silent = SamplePredictions(["1", "=", "2"], [["", "2", ""]], np.array([False, True, False]))
    figure = token_picture([silent], [10])
    assert len(figure.axes[0].patches) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["right", "wrong, in bold"]


def test_short_samples_stand_side_by_side():
    assert fitting([28, 28]) == 1
    assert fitting([60]) == 1
    assert fitting([4] * 8) == 6
    assert fitting([15, 15, 15]) == 2
    tokens = [text.get_text() for text in token_picture([SAMPLE] * 8, [10, 20]).axes[0].texts]
    assert tokens.count("=") == 5 * 2  # of five samples that fit: once in the sample, once at the second evaluation


@pytest.mark.parametrize("count", [1, 2, MOST_ROWS, MOST_ROWS + 1, 200])
def test_the_first_and_the_last_evaluation_are_shown(count):
    rows = chosen_rows(count)
    assert (rows[0], rows[-1]) == (0, count - 1)
    assert len(rows) <= MOST_ROWS
    assert rows == sorted(set(rows))


def test_both_losses_are_drawn_on_logarithmic_axes():
    rows = [{"step": s, "loss": 1 / s} | ({"validation_loss": 3.0} if s % 5 == 0 else {}) for s in range(1, 11)]
    rows.append({"step": 11, "loss": 0.0})  # has no logarithm
    figure = losses(rows)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [(s, 1 / s) for s in range(1, 11)])
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [(5, 3.0), (10, 3.0)])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (800, "800"),
        (999.6, "1k"),
        (15_000, "15k"),
        (999_400, "999k"),
        (999_600, "1M"),
        (-999_600, "-1M"),
        (2.5e6, "2.5M"),
        (5e12, "5000G"),
    ],
)
def test_counts_are_short(count, text):
    assert short_count(count) == text


def test_a_long_run_is_thinned_but_keeps_its_ends():
    figure = losses([{"step": s, "loss": 2.0} for s in range(1, 50_001)])
    steps = figure.axes[0].lines[0].get_xdata()
    assert (steps[0], steps[-1]) == (1, 50_000)
    assert len(steps) <= 2000
