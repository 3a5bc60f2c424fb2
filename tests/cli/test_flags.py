import argparse
import dataclasses
from pathlib import Path

import pytest

from tinygrad_arith.cli.flags import (
    add_config_flags,
    make_parser,
    some_path,
)
from tinygrad_arith.options.errors import MachineError, MisuseError, UserError, as_misuse
from tinygrad_arith.options.habits import SAME_THING
from tinygrad_arith.options.option import flag_of
from tinygrad_arith.training.config import SECTIONS, Config, with_options


@pytest.fixture
def parser():
    made = make_parser("train", "trains")
    add_config_flags(made, Config())
    return made


def misuse(parser, capsys, *words):
    """The one line on stderr that these words earn; the exit code must be 2."""
    with pytest.raises(SystemExit) as raised:
        parser.parse_args(words)
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_no_flags_keep_the_base(parser):
    base = dataclasses.replace(Config(), training=dataclasses.replace(Config().training, steps=9))
    assert with_options(base, parser.parse_args([]).given) == base


def test_two_dashes_alone_say_that_no_flag_follows(parser):
    parser.add_argument("run", nargs="?")
    assert parser.parse_args(["--"]).run is None
    assert parser.parse_args(["--", "--steps=--"]).run == "--steps=--"


def test_given_flags_replace_the_base(parser):
    args = parser.parse_args(["--digits", "5", "--tied-head", "--learning-rate=1e-3", "--order", "plain"])
    config = with_options(Config(), args.given)
    assert (config.task.digits, config.task.order) == (5, "plain")
    assert config.model.tied_head is True
    assert config.optimizer.learning_rate == 1e-3
    assert config.training == Config().training
    assert args.given.keys() == {"task", "model", "optimizer"}


def test_a_flag_that_repeats_the_default_counts_as_given(parser):
    assert parser.parse_args(["--digits", "8"]).given == {"task": {"digits": 8}}


def test_lr_is_the_learning_rate(parser):
    assert parser.parse_args(["--lr", "3e-4"]).given == {"optimizer": {"learning_rate": 3e-4}}


def test_every_option_is_in_the_help_with_its_default(parser):
    text = " ".join(parser.format_help().split())
    for section in SECTIONS:
        options = getattr(Config(), section)
        for field in dataclasses.fields(options):
            value = getattr(options, field.name)
            shown = {True: "on", False: "off"}[value] if field.type is bool else value
            assert flag_of(field) in text
            assert f"(default: {'none' if shown == '' else shown})" in text or field.name == "kind"
    assert "(default: )" not in text


def test_sections_can_be_chosen(capsys):
    parser = make_parser("peek", "looks")
    add_config_flags(parser, Config(), sections=("task",))
    assert with_options(Config(), parser.parse_args(["--digits", "4"]).given).task.digits == 4
    assert "--layers" in misuse(parser, capsys, "--layers", "3")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--digitz", "3"], "unknown flag --digitz; did you mean --digits?"),
        (["--learning-rat=3"], "unknown flag --learning-rat; did you mean --learning-rate?"),
        (["--no-tied-hed"], "unknown flag --no-tied-hed; did you mean --no-tied-head?"),
        (["--weight", "3"], "unknown flag --weight"),
        (["--digits", "0"], "--digits: must be 1 to 1000, not 0"),
        (["--digits", "many"], "--digits: must be a whole number, not 'many'"),
        (["--dropout", "1.5"], "--dropout: must be 0.0 to 0.99, not 1.5"),
        (["--learning-rate", "inf"], "--learning-rate: must be a finite number, not inf"),
        (["--order", "sideways"], "--order: must be one of reversed, plain, reversed-answer, not sideways (--help"),
        (["--order", "reverse"], "reversed-answer, not reverse; did you mean reversed? (--help lists every flag)"),
        (["--model", "gpt"], "unknown flag --model; did you mean --architecture?"),
        (["--lr=fast"], "--learning-rate: must be a number, not 'fast' (--help"),
        (["--batch-size", "9"], "unknown flag --batch-size; did you mean --batch?"),
        (["--epochs", "9"], "unknown flag --epochs; did you mean --steps? An epoch is as many steps as"),
        (["--optim", "sgd"], "unknown flag --optim; did you mean --optimizer?"),
        (["--momentum", "0.9"], "--momentum: means nothing for --optimizer adamw; it is an option of sgd (--help"),
        (["--no-nesterov"], "--no-nesterov: means nothing for --optimizer adamw; it is an option of sgd (--help"),
        (["--momentun", "0.9"], "unknown flag --momentun"),
        (["--device", "gpu"], "--device: must be one of auto, cpu, cuda, not gpu; did you mean cuda?"),
        (["--hidden-size", "9"], "unknown flag --hidden-size; did you mean --d-model?"),
        (["--lr="], "--learning-rate: must be a number, but is empty"),
        (["--lr", "1" + "0" * 400], "--learning-rate: must be a finite number"),
        (["--lr", "1e300"], "--learning-rate: must be at most 1e+30, not 1e300"),
        (["--eps", "1e300"], "--eps: must be at most 1e+30, not 1e300"),
        (["--weight-gain", "1e300"], "--weight-gain: must be at most 1e+30, not 1e300"),
        (["--d-model", "1" + "0" * 30], "--d-model: must be at most 2**63"),
        (["--layers", "1000000000"], "--layers: must be 1 to 10000, not 1000000000"),
        (["--digits"], "--digits: expected one argument"),
        (["extra"], "unexpected argument 'extra'"),
        (["--steps=--"], "--steps: needs a value, and -- is none"),
        (["--order=--"], "--order: needs a value, and -- is none"),
        (["--", "extra"], "unexpected argument 'extra'"),
        (["--steps=--", "--steps", "3"], "--steps: needs a value, and -- is none"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(parser, capsys, words, sentence):
    assert sentence in misuse(parser, capsys, *words)


def test_habits_of_other_programs_lead_to_flags_that_there_are(parser):
    parser.add_argument("--out")
    known = {flag.removeprefix("--").replace("-", "_") for flag in parser.known_flags()}
    assert set(SAME_THING.values()) <= known
    assert not set(SAME_THING) & known


@pytest.mark.parametrize("flag", ["--bogus", "--csv", "--print-completion", "--help-me-please"])
def test_a_far_flag_is_no_hint(parser, capsys, flag):
    parser.add_argument("--out")
    assert "did you mean" not in misuse(parser, capsys, flag, "x")


def test_what_stands_behind_two_dashes_is_no_flag(parser, capsys):
    assert "unexpected argument '--steps': behind -- there are no flags" in misuse(parser, capsys, "--", "--steps", "3")


def test_a_word_that_belongs_behind_a_flag_is_told_with_it(parser, capsys, tmp_path):
    for flag in ("--preset", "--config", "--resume"):
        parser.add_argument(flag)
    for word, meant in {
        "binary-plain": "--preset binary-plain",
        "modular-addition": "--task modular-addition",
        "mine.toml": "--config mine.toml",
        str(tmp_path): f"--resume {tmp_path}",
        "resume": "--resume",
    }.items():
        assert f"unexpected argument {word!r}; did you mean {meant}? (" in misuse(parser, capsys, word)


def test_a_very_long_word_is_not_told_in_full(parser, capsys):
    for words in (["x" * 100_000], ["--" + "x" * 100_000], ["--steps", "x" * 100_000]):
        assert len(misuse(parser, capsys, *words)) < 300


def test_a_habit_is_no_answer_where_a_command_lacks_the_flag(capsys):
    parser = make_parser("peek", "looks")
    add_config_flags(parser, Config(), sections=("task",))
    assert "--architecture" not in misuse(parser, capsys, "--model", "gpt")


def test_the_flag_that_lists_all_others_is_named(parser, capsys):
    assert misuse(parser, capsys, "--nonsense").endswith("(--help lists every flag)\n")
    parser.add_argument("--help-all", action="store_true")
    assert misuse(parser, capsys, "--nonsense").endswith("(--help-all lists every flag)\n")


def test_the_usage_line_says_where_several_may_be_named(parser):
    parser.add_argument("runs", nargs="*", metavar="RUN")
    assert parser.format_help().startswith("usage: python -m tinygrad_arith.train [RUN...] [flags]\n")


def test_what_flags_say_wrongly_is_misuse_but_not_what_the_machine_lacks():
    with pytest.raises(MisuseError, match="--heads 3: no"), as_misuse():
        raise UserError("--heads 3: no")
    with pytest.raises(MachineError, match="no GPU"), as_misuse():
        raise MachineError("no GPU")
    assert (UserError.exit_code, MachineError.exit_code, MisuseError.exit_code) == (1, 1, 2)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_path_is_refused(text):
    assert some_path("a b") == Path("a b")
    with pytest.raises(argparse.ArgumentTypeError, match="must be a path, but is empty"):
        some_path(text)
