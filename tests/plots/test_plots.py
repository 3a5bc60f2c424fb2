"""Each picture is drawn without a display, shows the numbers it was given, and reaches the disk whole."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tinygrad_arith.plots import length_heatmap, loss_mask, plot_training_curve, save_figure, training_curve
from tinygrad_arith.plots.figure import ORANGE, percent
from tinygrad_arith.tasks import TaskConfig, build_task

PNG_START = b"\x89PNG\r\n\x1a\n"
ROWS = [{"step": s, "loss": 2.0 / s**2} | ({"exact_match": s / 64} if s % 10 == 0 else {}) for s in range(1, 61)]


def texts(figure):
    """All text in the figure's axes that was placed by hand."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_training_curve_shows_every_loss_and_every_evaluation(tmp_path):
    figure = training_curve(ROWS, "title")
    loss, exact_match = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [(row["step"], row["loss"]) for row in ROWS])
    np.testing.assert_allclose(exact_match.lines[0].get_xydata(), [(s, s / 64) for s in range(10, 61, 10)])
    assert loss.get_yscale() == "log"
    assert loss.get_title(loc="left") == "loss, nats per counted token"
    assert texts(figure) == ["93.7%"]
    assert save_figure(figure, tmp_path / "curve.png").read_bytes().startswith(PNG_START)


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS[:2], [{"step": 1, "loss": 0.0}]])
def test_a_run_that_has_just_begun_can_be_drawn(rows, tmp_path):
    figure = training_curve(rows)
    assert texts(figure) == ["not evaluated yet"]
    save_figure(figure, tmp_path / "curve.png")


def test_the_training_curve_of_a_run_goes_into_its_plots(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = plot_training_curve(tmp_path)
    assert path == tmp_path / "plots" / "training_curve.png"
    assert path.read_bytes().startswith(PNG_START)


def test_the_heat_map_writes_share_and_count_into_each_cell_that_has_problems():
    count = np.array([[0, 3], [1000, 7]])
    correct = np.array([[0, 0], [999, 7]])
    figure = length_heatmap(correct, count)
    assert texts(figure) == ["0", "3", "99.9", "1,000", "100", "7"]
    shown = figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), count == 0)
    np.testing.assert_allclose(shown.compressed(), [0.0, 0.999, 1.0])


def test_a_heat_map_of_many_lengths_has_no_text():
    count = np.ones((17, 17), dtype=np.int64)
    assert texts(length_heatmap(count, count)) == []


@pytest.mark.parametrize("loss", ["answer", "all"])
@pytest.mark.parametrize("padding", ["zero", "none"])
def test_the_loss_mask_colours_what_bears_loss(loss, padding):
    task = build_task(TaskConfig(digits=4, validation_size=5, test_size=5, loss=loss, padding=padding))
    batch = task.batch(task.parse("1011+11="))
    figure = loss_mask(batch.tokens[0], batch.targets[0], task.vocabulary)
    sample = task.vocabulary.decode(batch.tokens[0]).rstrip("_")
    boxes = [text for text in texts(figure) if len(text) == 1]
    assert sorted(boxes) == sorted(sample + sample[1:])
    coloured = [p for p in figure.axes[0].patches if p.get_facecolor()[:3] == pytest.approx(rgb(ORANGE))]
    assert len(coloured) == (batch.targets[0] >= 0).sum()
    assert f"coloured: the {len(coloured)} predictions that bear loss" in texts(figure)


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
        "from tinygrad_arith.plots import training_curve\n"
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
