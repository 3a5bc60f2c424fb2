"""Every command that a page or a docstring names is there, and knows the flags that it is named with."""

import contextlib
import functools
import io
import os
import re
import runpy
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "kernels").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "tinygrad_arith").rglob("*.py")),
]
PAGES = [path for path in FILES if path.suffix == ".md"]
COMMAND = re.compile(r"python3? (-m tinygrad_arith(?:\.\w+)+|benchmarks/[\w/]+(?:\.py)?)(?![\w.{])((?: +[^#|>&`\n]+)?)")
INLINE = re.compile(r"`(--[a-z][\w-]*[^`\n]*)`")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
DEFINED = re.compile(r"^ {1,4}(-.*?)(?:  |$)", re.MULTILINE)  # of a help, the column of flags
TRAINS = ("train", "compare", "peek")  # commands that take the options of a configuration
ELSEWHERE = {
    "--tool": "compute-sanitizer's",
    "--cpus": "Docker's",
    "--window": "of the task that CONTRIBUTING.md adds as an example",
    "--smoothing": "of the task that CONTRIBUTING.md adds as an example",
}


def commands(text):
    """(what is run, its arguments) of each command in a text; a line that ends with a backslash goes on."""
    text = re.sub(r" *\\\n\s*", " ", text)
    return [(target.removeprefix("-m "), arguments.strip()) for target, arguments in COMMAND.findall(text)]


@functools.cache
def flags_in_help(target, *arguments):
    """All flags in the help of a module or a script, which runs as `python` would run it, but in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(os, "environ", os.environ.copy())
        patch.setattr(sys, "argv", [str(ROOT / target), *arguments])
        patch.setattr(sys, "path", [str((ROOT / target).parent), *sys.path])
        code = exit_code(target)
    missing = re.search(r"No module named '(mpmath|ml_dtypes|torch|jax|cupy)'", err.getvalue())
    if missing:
        pytest.skip(f"{missing[1]}, of an extra, is not installed")
    assert code == 0, f"{target} {' '.join(arguments)}: {err.getvalue()}"
    return frozenset(flag for line in DEFINED.findall(out.getvalue()) for flag in FLAG.findall(line))


def exit_code(target):
    """Runs a module or a script; how it ends."""
    try:
        if target.startswith("tinygrad_arith"):
            sys.modules.pop(target, None)  # which another test may have imported: it warns of that
            runpy.run_module(target, run_name="__main__")
        else:
            runpy.run_path(str(ROOT / target), run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    except ModuleNotFoundError:
        traceback.print_exc()
        return 1
    return 0


def known_flags(target, arguments):
    """The flags that a command takes; the words before its first flag may name a command within it."""
    if target.startswith("tinygrad_arith.autograd"):
        return frozenset()
    every = flags_in_help("tinygrad_arith.train", "--help-all")
    if target.startswith("tinygrad_arith."):
        own = flags_in_help(target, "--help")
        return own | every if target.split(".")[-1] in TRAINS else own
    within = arguments.split()[:1] if (ROOT / target).is_dir() else []
    own = flags_in_help(target, *within, "--help")
    return own | every if target.endswith("train_seeds.py") else own


def exists(target):
    """Whether a module or a script is there to be run."""
    if target.startswith("tinygrad_arith"):
        return (ROOT / target.replace(".", "/")).with_suffix(".py").is_file()
    return (ROOT / target).is_file() or (ROOT / target / "__main__.py").is_file()


def named_commands():
    """The arguments that each module or script is named with, and the files that do so."""
    found = {}
    for path in FILES:
        for target, arguments in commands(path.read_text(encoding="utf-8")):
            found.setdefault(target, {}).setdefault(arguments, set()).add(path.relative_to(ROOT).as_posix())
    return found


NAMED = named_commands()


@pytest.mark.parametrize("target", sorted(NAMED))
def test_a_named_command_exists_and_knows_its_flags(target):
    assert exists(target), f"{set().union(*NAMED[target].values())}: there is no {target}"
    for arguments, files in NAMED[target].items():
        unknown = set(FLAG.findall(arguments)) - known_flags(target, arguments)
        assert not unknown, f"{', '.join(sorted(files))}: {target} does not know {unknown}"


def test_a_flag_named_by_itself_is_known_to_some_command():
    known = {flag for path in (ROOT / "benchmarks").rglob("*.py") for flag in FLAG.findall(path.read_text("utf-8"))}
    for target in NAMED:
        if target.startswith("tinygrad_arith."):
            known |= known_flags(target, "")
    for page in PAGES:
        named = {flag for code in INLINE.findall(page.read_text(encoding="utf-8")) for flag in FLAG.findall(code)}
        assert named - known - set(ELSEWHERE) == set(), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_tests_that_a_page_names_are_there(page):
    for arguments in re.findall(r"\bpytest ((?:-\S+ |\w+ )*(?:tests/[\w/.]+ ?)+)", page.read_text(encoding="utf-8")):
        for path in re.findall(r"tests/[\w/]+(?:\.py)?", arguments):
            assert (ROOT / path).exists(), path


def test_a_folder_of_benchmarks_starts_by_its_name():
    """In a process of its own, in which no test has put anything into sys.path."""
    help_of = [sys.executable, "benchmarks/collapse", "report", "--help"]
    assert "--edge" in subprocess.run(help_of, cwd=ROOT, capture_output=True, text=True, check=True).stdout


# The finder itself


def test_commands_are_found_with_their_arguments():
    text = "`python -m tinygrad_arith.train --a 1` and\n    python benchmarks/x.py --b \\\n  --c > file  # d\n"
    assert commands(text) == [("tinygrad_arith.train", "--a 1"), ("benchmarks/x.py", "--b --c")]


def test_a_command_that_does_not_exist_and_a_flag_that_is_unknown_are_noticed():
    assert not exists("tinygrad_arith.trian")
    assert not exists("benchmarks/nothing.py")
    assert "--sharpness" in known_flags("benchmarks/collapse", "train --sharpness")
    assert "--sharpness" not in known_flags("benchmarks/collapse", "report --sharpness")
    assert "--attend-to" in known_flags("tinygrad_arith.train", "")
    assert "--attend-to" not in known_flags("tinygrad_arith.sample", "")
