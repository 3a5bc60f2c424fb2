"""`train --config FILE.toml`."""

import time
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.cli.train import main
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.config_file import LARGEST_FILE, load_config_file
from tinygrad_arith.training.presets import FOLDER, Measured, load_preset, preset_names
from tinygrad_arith.training.runs import read_record

TEXT = """title = "small sums"

[task]
digits = 3
validation_size = 8
test_size = 8

[model]
d_model = 16
layers = 1
heads = 2

[optimizer]
learning_rate = 1e-3

[training]
steps = 6
batch = 8
workers = 1
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a file into the working directory; returns its path."""
    monkeypatch.chdir(tmp_path)

    def file(text, name="mine.toml"):
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return Path(name)

    return file


def test_a_file_is_trained_and_gone_on_with(write, capsys, no_picture):
    write(TEXT)
    assert main(["--config", "mine.toml", "--steps", "4", "--schedule", "constant"]) == 0
    record = read_record(Path("runs/mine-seed1"))
    assert (record.name, record.config.training.steps, record.config.task.digits) == ("mine", 4, 3)
    assert record.config.optimizer.learning_rate == 1e-3
    Path("mine.toml").unlink()  # the run holds all that it needs
    assert main(["--resume", "runs/mine-seed1", "--steps", "6"]) == 0
    assert read_record(Path("runs/mine-seed1")).config.training.steps == 6
    assert "6 in " in capsys.readouterr().out


def test_flags_override_it_also_the_kind(write, capsys):
    write(TEXT)
    assert main(["--config", "mine.toml", "--lr", "0.5", "--optimizer", "sgd", "--momentum", "0.5", "--dry-run"]) == 0
    assert main(["--config=mine.toml", "--task", "expressions", "--depth", "1", "--dry-run"]) == 0
    assert "expressions" in capsys.readouterr().out


@pytest.mark.parametrize("name", preset_names())
def test_a_copy_of_a_preset_is_that_preset(name, write):
    text = (FOLDER / f"{name}.toml").read_bytes()
    copy, preset = load_config_file(write(text, "copy.toml")), load_preset(name)
    assert copy.config == preset.config
    assert (copy.name, copy.title, copy.measured) == ("copy", preset.title, preset.measured)


def test_nothing_given_is_the_default(write):
    assert load_config_file(write("")).config == Config()


def test_a_byte_order_mark_is_accepted(write):
    assert load_config_file(write(b"\xef\xbb\xbf" + TEXT.encode())).config.task.digits == 3


def test_a_short_training_has_a_short_warm_up(write):
    assert load_config_file(write("[training]\nsteps = 24")).config.optimizer.warmup == 2
    given = load_config_file(write("[training]\nsteps = 24\n[optimizer]\nwarmup = 30"))
    assert given.config.optimizer.warmup == 30
    with pytest.raises(UserError, match="--warmup 30: longer than"):
        given.config.resolved()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mine.toml", "mine"),
        ("a b.v2.toml", "a b.v2"),
        ("binary-plain.toml", "binary-plain.toml"),  # which is no run of the preset
        ("...toml", "config"),
        ("tab\tname.toml", "tab-name"),
    ],
)
def test_runs_are_called_as_the_file_is(file, name, write):
    assert load_config_file(write("", file)).name == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[task]\ndigitz = 3", "mine.toml: unknown key task.digitz; did you mean digits?"),
        ("[trainin]\nsteps = 3", "mine.toml: unknown key trainin; did you mean training?"),
        ("titel = 'x'", "mine.toml: unknown key titel; did you mean title?"),
        ("steps = 3", "mine.toml: unknown key steps; it belongs into [training]"),
        ("[training]\nlearning_rate = 1e-3", "unknown key training.learning_rate; it belongs into [optimizer]"),
        ("[optimizer]\nlr = 1e-3", "unknown key optimizer.lr; it is learning_rate in [optimizer]"),
        ("lr = 1e-3", "unknown key lr; it is learning_rate in [optimizer]"),
        ("[task]\ndigits = 'three'", "mine.toml: task.digits = 'three': must be a whole number"),
        ("[task]\nkind = 'binary-additoin'", "did you mean binary-addition?"),
        ("[task]\nkind = 'own.py:Sorting'", "names no Python file, since that would be run; give it as a flag: --task"),
        ("[optimizer]\nlearning_rate = nan", "optimizer.learning_rate = nan: must be a finite number"),
        ("task = 3", "mine.toml: task must be a table of options, not 3"),
        (
            "[optimizer]\nlearning_rate = 1" + "0" * 400,
            "optimizer.learning_rate = a whole number of 1,329 bits: must be",
        ),
        ("[training]\nsteps = 0x" + "f" * 20_000, "training.steps = a whole number of 80,000 bits: must be 1 to"),
        (
            "[model]\nd_model = 0x" + "f" * 20_000,
            "model.d_model = a whole number of 80,000 bits: must be at most 2**63",
        ),
        ("title = 0x" + "f" * 20_000, "mine.toml: title is a whole number of 80,000 bits, not a text"),
        ("[training]\ndtype = '" + "x" * 9_000 + "'", "(9,002 characters): must be one of float32"),
        ("[model]\nkind = 'gtp'", "mine.toml: model.kind = 'gtp': must be one of gpt, "),
        ("[optimizer]\nkind = 'adam'", "mine.toml: optimizer.kind = 'adam': must be one of adamw, "),
        (
            "[training]\nepochs = 3",
            "unknown key training.epochs; it is steps in [training]. An epoch is as many steps as",
        ),
        ("[model]\nhidden_size = 3", "unknown key model.hidden_size; it is d_model in [model]"),
        ("[[task]]\ndigits = 3", "mine.toml: task must be a table of options"),
        ("title = 3", "mine.toml: title is 3, not a text"),
        ("measured = 3", "mine.toml: measured is 3, not a table of seconds (a number) and device (a text)"),
        ("[task", "mine.toml: not valid TOML: "),
        ("a = " + "[" * 10_000, "mine.toml: not valid TOML: it is nested too deeply"),
        (TEXT.encode("utf-16"), "mine.toml: not in UTF-8, as TOML is"),
        ("#" * (LARGEST_FILE + 1), "mine.toml: too large"),
        ("[model]\nheads = 5\nd_model = 64", "mine.toml: --heads 5: must divide --d-model 64"),
    ],
)
def test_a_bad_file_is_one_sentence_and_misuse(text, sentence, write, call_command):
    write(text)
    code, out, err = call_command(main, "--config", "mine.toml", "--dry-run")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert sentence in err


@pytest.mark.parametrize("text", ["a." * 16_000 + "b = 1", "\n".join(f"k{i} = 1" for i in range(3_000))])
def test_a_hostile_file_costs_little_time(text, write):
    began = time.process_time()
    with pytest.raises(UserError, match=r"unknown key|nested too deeply"):  # the latter with Python 3.14
        load_config_file(write(text))
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--config", "absent.toml"], "absent.toml: there is no such file"),
        (["--config", "."], ".: not a file"),
        (["--config", ""], "--config: must be a path, but is empty"),
        (["--config", "mine.toml", "--preset", "binary-plain"], "--config: not with --preset"),
        (["--config", "mine.toml", "--resume", "run"], "--config: not with --resume"),
    ],
)
def test_a_wrong_use_of_the_flag_is_told(flags, sentence, write, call_command):
    write(TEXT)
    code, _, err = call_command(main, *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert sentence in err


def test_a_python_file_beside_it_is_not_run(write, call_command):
    write("raise SystemExit('was run')", "own.py")
    write("[task]\nkind = 'own.py:Sorting'")
    assert "was run" not in call_command(main, "--config", "mine.toml")[2]


def test_what_was_measured_may_stand_in_it(write):
    file = write("measured = { seconds = 60, device = 'my laptop' }")
    assert load_config_file(file).measured == Measured(60.0, "my laptop")


def test_the_example_of_the_docs_is_one(write):
    page = (Path(tinygrad_arith.__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    config = load_config_file(write(page.split("```toml\n")[1].split("```")[0])).config.resolved()
    assert (config.task.kind, config.model.d_model, config.training.steps) == ("decimal-addition", 48, 1000)
