"""Every hint at what to install works in a checkout: the project is on no package index, and its extras have names."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        path
        for folder in ("docs", "tinygrad_arith", "kernels", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".md", ".py") and "results" not in path.parts and path.name != Path(__file__).name
    ),
]
EXTRA = re.compile(r"""(\S+ )?(['"])([\w.]*)\[([\w,-]+)\]\2""")  # what stands before, the quote, the target, its extras


def wrong_hints(text):
    """The targets with extras, on lines that speak of installing, that cannot be installed as they are written."""
    wrong = []
    for line in text.splitlines():
        for before, _, target, extras in EXTRA.findall(line) if "pip install" in line else ():
            editable = before in ("-e ", "or ")  # the second of two is written without it
            if not editable or target != "." or not set(extras.split(",")) <= EXTRAS:
                wrong.append(line.strip())
    return wrong


def test_what_is_to_be_installed_is_the_checkout_with_extras_that_it_has():
    found = {path.relative_to(ROOT).as_posix(): wrong_hints(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "hint",
    [
        "pip install 'tinygrad_arith[gpu]'",
        "pip install '.[fast]'",
        "pip install -e '.[quick]'",
        'pip install -e ".[quick]"',
    ],
)
def test_a_hint_that_does_not_work_is_noticed(hint):
    assert wrong_hints(f"# {hint}") == [f"# {hint}"]


def test_a_hint_that_works_is_not():
    assert wrong_hints("pip install -e '.[gpu]' (CUDA 12) or '.[gpu-cuda13]' (CUDA 13)") == []


def test_what_a_command_says_is_typed_alike_in_every_shell():
    """cmd.exe hands single quotes over."""
    for path in (ROOT / "tinygrad_arith").rglob("*.py"):
        assert "pip install -e '" not in path.read_text(encoding="utf-8"), path.name
