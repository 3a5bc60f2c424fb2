"""Formulas that GitHub renders: Markdown takes the backslash off `\\,` and its kin before the formula is read.

Blocks are ```math, where nothing is taken off; between dollars a backslash may only begin a name.
"""

import re
from pathlib import Path

import pytest
from test_blocks import prose

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "kernels" / "README.md",
]
FORMULA = re.compile(r"\$([^$\n]+)\$")
ESCAPE = re.compile(r"\\[!-/:-@\[-`{-~]")  # a backslash before ASCII punctuation, which Markdown reads as an escape


def faults(text):
    """What GitHub would not render as it is meant: (line number, what)."""
    found = []
    for number, line in prose(text):
        if line.count("$") % 2:
            found.append((number, "a dollar without its partner"))
        if "$$" in line:
            found.append((number, "a block between dollars: ```math takes nothing off"))
        for match in FORMULA.finditer(line):
            if ESCAPE.search(match[1]):
                found.append((number, match[0]))
            before, after = line[: match.start()][-1:], line[match.end() :][:1]
            if match[1] != match[1].strip() or before.isalnum() or after.isalnum():
                found.append((number, f"{before}{match[0]}{after}"))  # is no formula to GitHub
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_formulas_are_written_as_github_reads_them(page):
    assert faults(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", [r"$a\,b$", r"$\{a\}$", "$$a$$", "$ a$", "an $n$th", "5 $"])
def test_what_github_would_spoil_is_noticed(text):
    assert faults(text) != []


def test_what_it_renders_is_not():
    assert faults("$\\mathrm{d}x \\cdot y_{ij}$, `$HOME`\n\n```math\na\\,b \\\\ c\n```\n") == []
