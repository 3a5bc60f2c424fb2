"""The bar of the train command at several widths of a terminal: step and time left are never cut."""

import io
import re

import pytest
from rich.console import Console

from tinygrad_arith.cli import progress
from tinygrad_arith.tasks.metrics import EXACT_MATCH, Goal

ROW = {"loss": 0.98765, "examples_per_second": 12345.6, "exact_match": 0.9999}


@pytest.fixture
def bar_at(monkeypatch):
    """A function from a width and a number of steps to the bar's lines, most of its steps done."""

    def render(width, steps=600, goal=EXACT_MATCH, row=ROW):
        screen = io.StringIO()
        monkeypatch.setattr(
            progress,
            "console",
            lambda: Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None),
        )
        reporter = progress.BarReporter(goal)
        reporter.started(0, steps)
        try:
            for step in range(steps // 2, steps // 2 + 100):
                reporter.stepped({"step": step} | row)
            Console(width=width, file=screen, color_system=None).print(reporter.bar.get_renderable())
        finally:
            reporter.ended()
        return screen.getvalue().splitlines()

    return render


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("steps", [600, 400_000])
def test_step_and_time_left_are_there_in_full(bar_at, width, steps):
    (line,) = bar_at(width, steps)
    assert len(line) <= width
    assert re.match(rf"step +{steps // 2 + 99}/{steps} ", line)
    assert re.search(r" (\d+:)?\d\d:\d\d left$", line.rstrip())
    assert "…" not in line


def test_what_matters_more_is_there_first(bar_at):
    shown = {width: bar_at(width)[0] for width in (40, 60, 80, 200)}
    words = ("exact match 99.99%", "━", "loss 0.9877", "12,346 examples/s")
    found = {width: [word in line for word in words] for width, line in shown.items()}
    assert found == {
        40: [False, True, False, False],
        60: [True, True, False, False],
        80: [True, True, True, False],
        200: [True, True, True, True],
    }
    assert all(len(line) == width for width, line in shown.items())  # the bar takes what is left


def test_a_long_name_of_the_goal_leaves_the_rest(bar_at):
    goal = Goal("bits_per_character_of_a_very_long_text", rising=False, share=False)
    (line,) = bar_at(60, goal=goal, row=ROW | {goal.name: 1.5})
    assert "bits" not in line
    assert "loss" in line
    assert re.search(r"step +399/600 .*\d\d:\d\d left$", line.rstrip())


def test_lines_stand_whole_over_the_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", lambda: Console(width=50, file=screen, force_terminal=True))
    reporter = progress.BarReporter(EXACT_MATCH)
    reporter.started(0, 600)
    try:
        reporter.stepped({"step": 1} | ROW)
        screen.truncate(0)
        reporter.show_above("  step 1: 13+3=16\n  step 1: [1]+2=3")
    finally:
        reporter.ended()
    above, bar = screen.getvalue().lstrip("\0").split("13+3=16", 1)
    assert "\x1b[2K" in above  # the bar is erased before
    assert re.search(r"\n  step 1: \[1\]\+2=3 *\n.*step", bar, re.DOTALL)


def test_the_first_step_does_not_say_how_long_the_others_take(monkeypatch, capsys):
    clock = iter([0.0, 60.0, 65.0, 70.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    reporter = progress.LineReporter()
    reporter.started(100, 121)
    for step in (101, 111, 121):
        reporter.stepped({"step": step} | ROW)
    assert [line.split("/s  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "- left",
        "5.0 s left",
        "0.0 s left",
    ]
