"""The README's snippets print what stands beneath them, and its tables say what the results say."""

import contextlib
import io
import json
import re
import statistics
import sys
from pathlib import Path

import pytest

from tinygrad_arith.cli.train import DESCRIPTION
from tinygrad_arith.training.presets import load_preset

README = Path(__file__).parents[2] / "README.md"
RESULTS = README.parent / "benchmarks" / "results"
sys.path.insert(0, str(RESULTS.parent))

import experiments_page  # noqa: E402
import readme  # noqa: E402


def test_the_snippets_print_what_stands_beneath_them():
    text = README.read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 2
    for code, printed in snippets:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(README), "exec"), {})
        assert output.getvalue() == printed


def test_the_first_snippet_is_short():
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_tables_say_what_the_committed_results_say(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["readme.py", "--check"])
    assert readme.main() == 0, "run: python benchmarks/readme.py"


def test_each_table_of_a_page_is_written_by_one_script():
    for page in (README, *sorted((README.parent / "docs").glob("*.md"))):
        named = re.findall(readme.MARK, page.read_text(encoding="utf-8"))
        ours = readme.PAGES.get(page.relative_to(README.parent).as_posix(), ())
        others = (*experiments_page.GROUPS, "commands") if page.name == "experiments.md" else ()
        assert sorted(named) == sorted((*ours, *others)), page.name


def test_a_page_without_a_place_for_its_table_is_an_error():
    with pytest.raises(ValueError, match="no place, or several, for the tables rivals"):
        readme.filled("<!-- table: other -->\n<!-- end -->", ["rivals"])


def test_the_readme_is_short_and_leaves_tables_of_results_to_other_pages():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert readme.PAGES["README.md"] == ("headlines",)
    assert all(line.startswith("- ") and "](docs/" in line for line in readme.headlines().splitlines())


def test_the_time_of_the_first_command_is_the_measured_one_wherever_it_is_told():
    newest = sorted(RESULTS.glob("train_seeds_binary-reversed_????-??-??.json"))[-1]
    runs = json.loads(newest.read_text(encoding="utf-8"))["runs"]
    seconds = round(statistics.median(run["seconds"] for run in runs))
    first_lines = README.read_text(encoding="utf-8").split("```")[0]
    assert f"learns to add in {seconds} seconds on two cores" in first_lines
    assert f"in about {seconds} seconds on two cores" in DESCRIPTION
    assert f"in about {seconds} s on two cores" in load_preset("binary-reversed").expected
