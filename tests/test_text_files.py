"""Text is read and written in UTF-8, whatever the system's own encoding is (on Windows cp1252, for one).

Ruff's PLW1514 (`nox -s lint`) says so where it knows that something is a path; this knows paths by their methods.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("tinygrad_arith", "tests", "benchmarks", ".ci")
SOURCES = [*(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))), ROOT / "noxfile.py"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
OPENS = re.compile(r"(open|read_text|write_text)\(")
TEXTS = {"read_text": 0, "write_text": 1}  # of a path, and how many arguments come before the encoding
MODES = {"open": (1, 3), "fdopen": (1, 3)}  # functions, and where their mode and their encoding stand
NOT_OF_PATHS = ("os", "tarfile", "zipfile")  # whose `open` is another


def without_encoding(code):
    """The lines of Python code that read or write text in the system's own encoding."""
    if not OPENS.search(code):  # most files do not, and need not be parsed
        return []
    return [call.lineno for call in ast.walk(ast.parse(code)) if isinstance(call, ast.Call) and lacks_encoding(call)]


def lacks_encoding(call):
    """Whether a call reads or writes text, and does not say in which encoding."""
    function, of_path = call.func, isinstance(call.func, ast.Attribute)
    name = function.attr if of_path else getattr(function, "id", None)
    if any(keyword.arg in ("encoding", None) for keyword in call.keywords):
        return False
    if of_path and name in TEXTS:
        return len(call.args) <= TEXTS[name]
    if name not in MODES or (name == "open" and of_path and getattr(function.value, "id", None) in NOT_OF_PATHS):
        return False
    place, encoding = (number - (of_path and name == "open") for number in MODES[name])
    given = [*call.args[place : place + 1], *(word.value for word in call.keywords if word.arg == "mode")]
    mode = getattr(given[0], "value", "b") if given else "r"  # one that is computed is not judged
    return "b" not in mode and len(call.args) <= encoding


def test_every_file_of_text_is_opened_in_utf_8():
    found = {str(path.relative_to(ROOT)): without_encoding(path.read_text(encoding="utf-8")) for path in SOURCES}
    for page in PAGES:
        blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
        found[page.name] = [line for block in blocks for line in without_encoding(block)]
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("code", "noticed"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("open(path)", True),
        ("path.open('w')", True),
        ("os.fdopen(number, 'w')", True),
        ("path.write_text(text, 'utf-8')", False),
        ("open(path, encoding='utf-8')", False),
        ("open(path, 'rb')", False),
        ("path.open('rb')", False),
        ("os.open(path, flags)", False),
        ("write_text(path, text)", False),  # ours, in UTF-8
    ],
)
def test_a_file_without_an_encoding_is_noticed(code, noticed):
    assert without_encoding(code) == [1] * noticed
