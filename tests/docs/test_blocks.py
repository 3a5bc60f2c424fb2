"""The pages are true: every Python block of README.md and docs/ runs, and every relative link leads to a file.

The blocks of a page run in order, in one namespace, as one program would; ```python no-run marks a block that does not.
"""

import re
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if path.is_file()]

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")  # of [text](target) and ![text](target "title"): the target
ELSEWHERE = re.compile(r"^([a-z][a-z0-9+.-]*:|#|//)", re.IGNORECASE)  # https:, mailto:, a place on the same page

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def fenced_blocks(text):
    """(info, line number of the first line inside, lines inside) of each fenced block."""
    blocks, opening = [], None
    for number, line in enumerate(text.splitlines(), start=1):
        match = FENCE.match(line)
        if opening is None:
            if match:
                opening, inside = (match[1], match[2].strip(), number + 1), []
        elif match and not match[2].strip() and match[1].startswith(opening[0]):
            blocks.append((opening[1], opening[2], inside))
            opening = None
        else:
            inside.append(line)
    assert opening is None, f"the block that opens at line {opening[2] - 1} is never closed"
    return blocks


def python_blocks(text):
    """(line number, source) of the blocks that are to run."""
    return [(line, "\n".join(inside)) for info, line, inside in fenced_blocks(text) if info == "python"]


def prose(text):
    """The text without its code: (line number, line)."""
    hidden = {line + i for _, line, inside in fenced_blocks(text) for i in range(len(inside))}
    lines = enumerate(text.splitlines(), start=1)
    return [(number, re.sub(r"`[^`]*`", "", line)) for number, line in lines if number not in hidden]


def failing_line(error, page, start):
    """The line of the page at which a block failed: the innermost one of the page itself."""
    if isinstance(error, SyntaxError) and error.filename == str(page):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
    return lines[-1] if lines else start


def run_blocks(page, text):
    """Runs the Python blocks of a page in one namespace; an AssertionError names file and line."""
    namespace = {"__name__": "__page__"}
    for start, source in python_blocks(text):
        try:
            # Empty lines in front give the code the line numbers that it has on the page.
            exec(compile("\n" * (start - 1) + source, str(page), "exec"), namespace)
        except Exception as error:
            where = f"{page.name}:{failing_line(error, page, start)} (the block at line {start})"
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error


@each_page
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    run_blocks(page, page.read_text(encoding="utf-8"))


@each_page
def test_relative_links_lead_to_files(page):
    broken = []
    for number, line in prose(page.read_text(encoding="utf-8")):
        for target in LINK.findall(line):
            if not ELSEWHERE.match(target) and not (page.parent / target.split("#")[0]).exists():
                broken.append(f"{page.name}:{number}: {target}")
    assert broken == []


def test_there_are_pages():
    assert ROOT / "docs" / "attention.md" in PAGES


def test_every_info_string_of_a_python_block_is_known():
    """A misspelt ```pyhton or ```python norun would otherwise be skipped in silence."""
    for page in PAGES:
        for info, line, _ in fenced_blocks(page.read_text(encoding="utf-8")):
            assert not info.startswith("py") or info in ("python", "python no-run"), f"{page.name}:{line - 1}: {info!r}"


# The runner itself


def test_a_failing_block_is_named_by_page_and_line():
    text = "# Page\n\n```python\na = 1\n```\n\ntext\n\n```python\nb = a\n\nassert b == 2, 'not two'\n```\n"
    with pytest.raises(AssertionError, match=r"page\.md:12 \(the block at line 10\): AssertionError: not two"):
        run_blocks(Path("page.md"), text)


def test_a_block_that_is_no_python_is_named_too():
    with pytest.raises(AssertionError, match=r"page\.md:3 \(the block at line 2\): SyntaxError"):
        run_blocks(Path("page.md"), "```python\nx = 1\ny = (\n```\n")


def test_blocks_marked_no_run_and_blocks_of_other_languages_are_skipped():
    run_blocks(Path("page.md"), "```python no-run\n1 / 0\n```\n\n```sh\nexit 1\n```\n\n```text\n```python\n```\n")


def test_links_in_code_are_no_links():
    lines = dict(prose("a `[b](c)`\n```text\n[d](e)\n```\n[f](g)"))
    assert [target for line in lines.values() for target in LINK.findall(line)] == ["g"]
