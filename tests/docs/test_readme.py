"""The README's snippets print what stands beneath them, and its tables say what the results say."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


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


def test_the_tables_say_what_the_committed_results_say():
    script = README.parent / "benchmarks" / "readme.py"
    result = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert result.returncode == 0, "run: python benchmarks/readme.py"
