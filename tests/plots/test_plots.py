"""Each picture is drawn without a display, shows the numbers it was given, and reaches the disk whole."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.plots.breakdowns import heatmap_name, length_heatmap
from tinygrad_arith.plots.figure import BLUE, LINES, percent, save_figure
from tinygrad_arith.plots.series import line_look
from tinygrad_arith.plots.tokens import loss_mask
from tinygrad_arith.plots.training_curve import plot_training_curve, training_curve
from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.tasks.metrics import Grid

PNG_START = b"\x89PNG\r\n\x1a\n"
ROWS = [{"step": s, "loss": 2.0 / s**2} | ({"exact_match": s / 64} if s % 10 == 0 else {}) for s in range(1, 61)]


def texts(figure):
    """All text in the figure's axes that was placed by hand."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_training_curve_shows_every_loss_and_every_evaluation(tmp_path):
    figure = training_curve(ROWS)
    loss, exact_match = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [(row["step"], row["loss"]) for row in ROWS])
    np.testing.assert_allclose(exact_match.lines[0].get_xydata(), [(s, s / 64) for s in range(10, 61, 10)])
    assert loss.get_yscale() == "log"
    assert loss.get_title(loc="left") == "loss, nats per counted token"
    assert texts(figure) == ["93.7%"]
    assert save_figure(figure, tmp_path / "curve.png").read_bytes().startswith(PNG_START)


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS[:2], [{"step": 1, "loss": 0.0}]])
def test_a_run_that_has_just_begun_can_be_drawn(rows):
    figure = training_curve(rows)
    assert texts(figure) == ["not evaluated yet"]
    figure.draw_without_rendering()


def test_the_training_curve_of_a_run_goes_into_its_plots(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    path = plot_training_curve(tmp_path)
    assert path == tmp_path / "plots" / "training_curve.png"
    assert path.read_bytes().startswith(PNG_START)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"step": 2}, "line 2 lacks loss"),
        ({"step": 2, "loss": None}, "line 2: loss is None, not a number"),
        ({"step": "2", "loss": 1.0}, "line 2: step is '2', not a number"),
        ({"step": 2, "loss": 1.0, "exact_match": "all"}, "line 2: exact_match is 'all', not a number"),
    ],
)
def test_metrics_without_a_number_are_one_sentence(tmp_path, row, sentence):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in (ROWS[0], row)), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        plot_training_curve(tmp_path)
    assert str(caught.value) == f"{path}: not a run's metrics: {sentence}"


def test_bold_and_pale_losses_are_told_apart():
    loss = training_curve([{"step": s, "loss": 1.0} for s in range(1, 201)]).axes[0]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["each step", "mean of 4 steps"]
    assert training_curve(ROWS[:9]).axes[0].get_legend() is None


def test_the_heat_map_writes_share_and_count_into_each_cell_that_has_problems():
    count = np.array([[0, 3], [1000, 7]])
    correct = np.array([[0, 0], [999, 7]])
    figure = length_heatmap(Grid(correct, count))
    assert texts(figure) == ["0", "3", "99.9", "1,000", "100", "7"]
    assert figure.get_supxlabel() == "small numbers: problems"
    assert figure.axes[0].get_title(loc="left") == "exact match by operand lengths\n(1,010 test problems)"
    shown = figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), count == 0)
    np.testing.assert_allclose(shown.compressed(), [0.0, 0.999, 1.0])


def test_a_heat_map_of_many_lengths_has_no_text():
    count = np.ones((17, 17), dtype=np.int64)
    figure = length_heatmap(Grid(count, count), "validation")
    assert texts(figure) == []
    assert figure.get_supxlabel() == ""
    assert figure.axes[0].get_title(loc="left").endswith("(289 validation problems)")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("test",), "length_heatmap_test"),
        (("validation", 4), "length_heatmap_validation_4_digits"),
        (("test", None, 50), "length_heatmap_test_50_problems"),
        (("test", 4, 50), "length_heatmap_test_4_digits_50_problems"),
    ],
)
def test_the_file_of_a_heat_map_says_what_was_asked(asked, name):
    assert heatmap_name(*asked) == name


def lightness(color):
    """That of CIELAB, 0 to 100: what is left in grey."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(color)]
    luminance = np.dot(linear, (0.2126, 0.7152, 0.0722))
    return 116 * np.cbrt(luminance) - 16


def test_lines_differ_in_grey_too():
    shades = np.array([lightness(color) for color in LINES])
    gaps = np.abs(shades[:, None] - shades) + 100 * np.eye(len(shades))
    assert gaps.min() > 5
    assert gaps[:4, :4].min() > 14  # few lines, far apart
    assert shades.max() < 75  # on white
    looks = [line_look(index) for index in range(28)]
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 28
    assert len({(look["marker"], look["linestyle"]) for look in looks}) == 28


def first_and_step(index, points):
    start, step = line_look(index, points).get("markevery", (0, 1))
    return slice(start, None, step)


@pytest.mark.parametrize("points", [0, 1, 30, 31, 200, 1001])
def test_lines_of_many_points_are_marked_at_places_of_their_own(points):
    places = [set(range(points)[first_and_step(i, points)]) for i in range(2)]
    if points <= 30:
        assert len(places[0]) == points
    else:
        assert not places[0] & places[1]
        assert all(8 <= len(place) <= 11 for place in places)


@pytest.mark.parametrize("loss", ["answer", "all"])
@pytest.mark.parametrize("padding", ["zero", "none"])
def test_the_loss_mask_fills_what_bears_loss(loss, padding):
    task = build_task(task_options(digits=4, validation_size=5, test_size=5, loss=loss, padding=padding))
    batch = task.batch(task.parse("1011+11="))
    figure = loss_mask(batch.tokens[0], batch.targets[0], task.vocabulary)
    sample = task.vocabulary.decode(batch.tokens[0]).rstrip("_")
    boxes = [text for text in texts(figure) if len(text) == 1]
    assert sorted(boxes) == sorted(sample + sample[1:])
    coloured = [p for p in figure.axes[0].patches if p.get_facecolor()[:3] == pytest.approx(rgb(BLUE))]
    assert len(coloured) == (batch.targets[0] >= 0).sum()
    assert f"filled: the {len(coloured)} predictions that bear loss" in texts(figure)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.width


def rgb(color):
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100"), (0.99999, "99.9"), (0.29, "29.0"), (0.0, "0"), (0.0004, "0"), (2 / 3, "66.6")]
)
def test_percent_rounds_down(share, text):
    assert percent(share) == text


def test_a_picture_that_cannot_be_written_leaves_nothing_behind_and_the_old_one_alone(tmp_path):
    figure = training_curve(ROWS)
    path = save_figure(figure, tmp_path / "new" / "curve.svg")
    assert path.read_bytes().lstrip().startswith(b"<?xml")
    with pytest.raises(ValueError, match="not supported"):
        save_figure(figure, tmp_path / "new" / "curve.xyz")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["curve.svg"]


def test_drawing_needs_no_display_and_leaves_pyplot_alone():
    """In a fresh process, whose matplotlib is told to use a backend that does not exist here."""
    program = (
        "import sys\n"
        "from tinygrad_arith.plots.training_curve import training_curve\n"
        "assert 'matplotlib' not in sys.modules\n"
        "training_curve([{'step': 1, 'loss': 1.0}]).canvas.draw()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=environment_without_display())


def environment_without_display():
    import os

    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    paths = [path for path in sys.path if path]
    return environment | {"MPLBACKEND": "tkagg", "PYTHONPATH": os.pathsep.join(paths)}
