"""What a notebook shows, and what is said for names of other libraries."""

import io
import signal
import sys

import pytest

import tinygrad_arith as ta
from tinygrad_arith.face.names_elsewhere import OF_A_RUN, OF_THE_PACKAGE
from tinygrad_arith.face.progress import CellReporter
from tinygrad_arith.plots.training_curve import training_curve
from tinygrad_arith.tasks.metrics import EXACT_MATCH, Metrics


def test_a_figure_shows_itself():
    assert training_curve([{"step": 1, "loss": 2.0}])._repr_png_().startswith(b"\x89PNG")


def test_objects_say_what_they_are():
    task = ta.tasks.build_task(ta.tasks.task_options(digits=2, test_size=4, validation_size=4))
    assert repr(task).startswith("BinaryAddition(a+b of up to 2 bits")
    model = ta.models.GPT(ta.models.GPTConfig(vocabulary=7, context=9, d_model=8, heads=2)).initialize()
    assert repr(ta.optim.AdamW(model.flat)) == f"AdamW({model.parameter_count():,} parameters, 0 steps done)"
    metrics = Metrics(goal=EXACT_MATCH, count=8, values={"exact_match": 0.5, "by_position": [1.0], "loss": 1.25})
    assert repr(metrics) == "Metrics(exact_match=0.5, loss=1.25, count=8)"


def test_ctrl_c_is_told_in_the_cell(monkeypatch, capsys):
    reporter = CellReporter(EXACT_MATCH)
    reporter.started(0, 3)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    reporter.stopping(signal.SIGINT)
    assert sys.stderr.getvalue() == ""  # within a signal handler nothing is printed
    reporter.stepped({"step": 1, "loss": 1.0, "examples_per_second": 3.0})
    assert sys.stderr.getvalue().startswith("Ctrl-C: stopping after this step")


def test_dir_lists_what_is_meant_to_be_used():
    assert {name for name in dir(ta) if not name.startswith("__")} == {name for name in ta.__all__ if name[0] != "_"}


@pytest.mark.parametrize("name", OF_THE_PACKAGE)
def test_names_of_other_packages_lead_to_ours(name):
    if name not in vars(ta):  # a command's module, if something has loaded it
        with pytest.raises(AttributeError, match=r"does it$"):
            getattr(ta, name)


def test_names_of_other_runs_lead_to_ours():
    run = object.__new__(ta.Run)
    for name in OF_A_RUN:
        with pytest.raises(AttributeError, match=f"^a Run has no {name}; .* does it$"):
            getattr(run, name)
    with pytest.raises(AttributeError, match=r"^there is no Adam in optim; AdamW"):
        ta.optim.Adam  # noqa: B018


def test_what_is_no_configuration_is_told():
    with pytest.raises(TypeError, match=r"^a GPT is made of a GPTConfig: .* not of 10$"):
        ta.models.GPT(10)
    with pytest.raises(TypeError, match=r"build_task\(task_options\('modular-addition'\)\)$"):
        ta.tasks.build_task("modular-addition")
