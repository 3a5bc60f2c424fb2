"""`--help` at any width."""

import argparse
import functools
import importlib

import pytest

from tinygrad_arith.cli.help_text import HelpFormatter
from tinygrad_arith.cli.program import COMMANDS, main


@pytest.fixture
def help_of(capsys, monkeypatch):
    """A function from a command (none: the program), a width and flags to the lines of the help."""

    def lines(command, width, flag):
        monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        if flag == "--help":
            with pytest.raises(SystemExit):
                main([*command, flag])
        else:
            assert main([*command, flag]) == 0
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.mark.parametrize("width", [40, 59, 60, 80, 200])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_line_is_wider_than_the_terminal(command, width, help_of):
    lines = help_of(command.split(), width, "--help")
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) > width / 2  # and the width is used


@pytest.mark.parametrize("command", ["train", "compare", "peek"])
def test_the_flags_of_other_kinds_are_in_the_longer_help(command, help_of):
    usual, longer = (" ".join(help_of([command], 40, flag)) for flag in ("--help", "--help-all"))
    assert " --depth INT" in longer
    assert " --depth INT" not in usual
    assert " --digits INT" in usual
    assert max(map(len, help_of([command], 40, "--help-all"))) <= 40


def test_the_other_name_of_a_flag_is_shown(help_of):
    assert any(line.startswith("  --learning-rate, --lr FLOAT") for line in help_of(["train"], 80, "--help"))


def test_words_stay_whole_and_paragraphs_apart(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = "one paragraph about binary-multiplication and\nmore\n\nanother"
    narrow = functools.partial(HelpFormatter, max_help_position=6)  # as `make_parser` has it
    parser = argparse.ArgumentParser("name", description=text, formatter_class=narrow, usage="%(prog)s [flags]")
    parser.add_argument("--flag", choices=("quite-long", "rather-long", "very-long"), help="x" * 3)
    assert parser.format_help().splitlines() == [
        "usage: name [flags]",
        "",
        "one paragraph about",
        "binary-multiplication and more",
        "",
        "another",
        "",
        "options:",
        "  -h, --help",
        "      show this help message and exit",
        "  --flag {quite-long,rather-long,",
        "    very-long}",
        "      xxx",
    ]


def test_the_program_of_a_usage_line_is_broken_between_words(monkeypatch, help_of):
    assert help_of(["evaluate"], 40, "--help")[0] == "usage: tinygrad-arith evaluate [RUN]"
    assert (
        importlib.import_module("tinygrad_arith.cli.evaluate")
        .make_evaluate_parser()
        .format_help()
        .startswith("usage: python -m\n  tinygrad_arith.evaluate [RUN]\n  [flags]\n")
    )
