"""`tinygrad-arith`, and `python -m tinygrad_arith`: all commands under one name."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.cli import program
from tinygrad_arith.cli.program import COMMANDS, main
from tinygrad_arith.cli.version import version_line
from tinygrad_arith.options.calling import command_words

PACKAGE = Path(tinygrad_arith.__file__).parent
MODULE = ("python", "-m", "tinygrad_arith")
TINY = ["--digits", "3", "--validation-size", "8", "--test-size", "8", "--d-model", "16", "--layers", "1"]
TINY += ["--heads", "2", "--batch", "8", "--steps", "5", "--warmup", "2", "--workers", "1"]


@pytest.fixture
def main_of():
    """A function from the name of a command to its `main`."""
    return lambda command: importlib.import_module(f"tinygrad_arith.cli.{command}").main


def rows(directory):
    """What was measured in each step of a run, without its times."""
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k in ("step", "loss", "exact_match")} for line in lines]


def test_every_command_is_listed_with_a_line(capsys):
    files = [path.stem for path in PACKAGE.glob("*.py") if "import run_command" in path.read_text(encoding="utf-8")]
    assert sorted(files) == sorted(COMMANDS)
    assert main([]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for command, line in COMMANDS.items():
        assert any(found.startswith(f"{command} {line[:40]}") for found in lines)


def test_a_command_does_what_its_module_does(tmp_path, no_picture, main_of):
    assert main(["train", *TINY, "--out", str(tmp_path / "one")]) == 0
    assert main_of("train")([*TINY, "--out", str(tmp_path / "other")]) == 0
    assert rows(tmp_path / "one") == rows(tmp_path / "other")
    assert len(rows(tmp_path / "one")) == 5


def test_a_typo_names_the_nearest_command(call_command):
    error = "error: trian: there is no such command; did you mean train? (tinygrad-arith lists them)\n"
    assert call_command(main, "trian") == (2, "", error)
    code, _, err = call_command(partial(main, program=MODULE), "evalute", "--json")
    assert code == 2
    assert "did you mean evaluate? (python -m tinygrad_arith lists them)" in err


def test_an_unknown_flag_of_the_program_is_misuse(call_command):
    code, _, err = call_command(main, "--versoin")
    assert (code, err) == (2, "error: unknown flag --versoin; did you mean --version? (--help lists every flag)\n")


@pytest.mark.parametrize(
    ("called", "shown"), [(program.PROGRAM, "tinygrad-arith train"), (MODULE, "python -m tinygrad_arith train")]
)
def test_hints_can_be_typed_as_the_command_was(called, shown, tmp_path, call_command):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    command = partial(main, program=called)
    assert call_command(command, "train", "--help")[1].startswith(f"usage: {shown} [flags]\n")
    _, _, err = call_command(command, "train", *TINY, "--out", str(tmp_path))
    assert f"go on with it: {shown} --resume " in err
    assert f"\n{shown} --" in call_command(command, "train", "--show", "binary-plain")[1]
    assert command_words("train") == ["python", "-m", "tinygrad_arith.train"]  # afterwards, and otherwise


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_the_version(command, call_command, main_of):
    expected = (0, f"tinygrad_arith {metadata.version('tinygrad_arith')}\n", "")
    assert call_command(main_of(command), "--version") == expected
    assert call_command(main, command, "--version") == expected
    assert call_command(main, "--version") == expected


def test_without_an_installation_the_version_is_that_of_the_files(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert version_line() == f"tinygrad_arith {tinygrad_arith.__version__}"


def test_the_console_script_is_this_function():
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = pyproject["scripts"]["tinygrad-arith"].partition(":")
    assert getattr(importlib.import_module(module), name) is program.run
    assert pyproject["version"] == tinygrad_arith.__version__


@pytest.fixture
def ended(tmp_path):
    """A function that runs Python in a process; returns its exit code and stderr."""

    def run(*words):
        environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "TINYGRAD_ARITH_CPU": "numpy"}
        child = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        return child.returncode, child.stderr

    return run


def test_as_a_process(ended, tmp_path):
    assert ended("-m", "tinygrad_arith", "train", *TINY, "--out", "run") == (0, "")
    assert rows(tmp_path / "run")
    assert len(list((tmp_path / "run" / "plots").glob("*.png"))) == 1


@pytest.mark.parametrize(
    "start", [["-m", "tinygrad_arith"], ["-c", "from tinygrad_arith.cli.program import run; run()"]]
)
def test_a_process_has_the_exit_code(start, ended):
    code, err = ended(*start, "train", "--digitz", "3")
    assert (code, err.count("\n")) == (2, 1)


def test_help_is_a_command_too(capsys):
    assert main(["help"]) == 0
    listed = capsys.readouterr().out
    assert main([]) == 0
    assert listed == capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["help", "peek"])
    assert capsys.readouterr().out.startswith("usage: tinygrad-arith peek [flags]\n")
