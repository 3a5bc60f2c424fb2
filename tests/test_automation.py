"""What runs the checks agrees: the workflow names sessions that exist, the files around a release tell one version."""

import ast
import datetime
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def read_yaml(place):
    """The contents of a YAML file of the project."""
    return yaml.safe_load((ROOT / place).read_text(encoding="utf-8"))


def python_of(decorator):
    """The Pythons that a decorator of nox names; none for the one that runs nox."""
    given = {word.arg: ast.literal_eval(word.value) for word in getattr(decorator, "keywords", ())}
    return given.get("python", [])


def sessions():
    """The names of the noxfile's sessions, as `nox --list` has them, each with the body of its function."""
    found = {}
    for node in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body:
        for decorator in getattr(node, "decorator_list", ()):
            if ast.unparse(decorator).startswith("nox.session"):
                pythons = python_of(decorator)
                names = [f"{node.name}-{python}" for python in pythons] if isinstance(pythons, list) else []
                found |= dict.fromkeys(names or [node.name], node)
    return found


def default_sessions():
    """Those that `nox` runs without a name."""
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    return ast.literal_eval(re.search(r"^SESSIONS = (.*\])", text, re.MULTILINE).group(1))


def commands(job):
    """The command lines of a job of the workflow, once for each Python of its matrix."""
    pythons = job.get("strategy", {}).get("matrix", {}).get("python", [None])
    lines = [step["run"] for step in job["steps"] if "run" in step]
    return [line.replace("${{ matrix.python }}", str(python)) for line in lines for python in pythons]


JOBS = read_yaml(".github/workflows/ci.yml")["jobs"]
COMMANDS = [line for job in JOBS.values() for line in commands(job)]


def test_the_workflow_names_sessions_that_exist():
    named = [name for line in COMMANDS if "nox -s " in line for name in line.split("nox -s ")[1].split()]
    assert sorted(set(named) - set(sessions())) == []
    assert set(named) >= {"tests-3.11", "tests-3.14", "lowest"}


def test_every_session_runs_somewhere():
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^python -m nox\b(?!.* -s )", run, re.MULTILINE)  # all of SESSIONS
    assert "bash .ci/run" in COMMANDS
    named = {name for line in COMMANDS if "nox -s " in line for name in line.split("nox -s ")[1].split()}
    assert set(sessions()) == named | set(default_sessions())


def test_the_workflow_describes_no_step_itself():
    allowed = r"python -m pip install nox|python -m nox -s [\w .-]+|bash \.ci/run"
    assert [line for line in COMMANDS if not re.fullmatch(allowed, line)] == []


def test_the_workflow_runs_on_three_systems_with_the_oldest_python_and_a_newer_one():
    matrix = JOBS["newest"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    assert len(matrix["python"]) >= 2


def test_what_sessions_and_hooks_run_is_there():
    hooks = [hook for repo in read_yaml(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "smoke"]
    texts = [hook["entry"] for hook in hooks]
    for body in sessions().values():
        texts += [
            node.value for node in ast.walk(body) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    places = [place for text in texts for place in text.split() if re.match(r"(tests|\.ci)/", place)]
    assert len(places) > 5
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_extras_that_sessions_install_are_declared():
    strings = [n.value for s in sessions().values() for n in ast.walk(s) if isinstance(n, ast.Constant)]
    extras = {
        extra for text in strings for found in re.findall(r"\[([a-z0-9,-]+)\]", str(text)) for extra in found.split(",")
    }
    assert extras >= {"test", "dev", "fast", "kernels", "parity"}
    assert extras <= set(PROJECT["optional-dependencies"])


def test_the_smoke_test_passes_and_is_quick():
    before = os.times()
    said = subprocess.run([sys.executable, ".ci/smoke.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert re.fullmatch(r"two gradients are right, 3 steps were trained: \d+\.\d s\n", said)
    after = os.times()  # of all children that ended; processor time, since other programs may run (0 on Windows)
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5


def test_version_and_date_are_the_same_in_all_files():
    citation = read_yaml("CITATION.cff")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = RELEASE.findall(changelog)
    assert changelog.index("\n## [Unreleased]\n") < changelog.index(f"\n## [{PROJECT['version']}]")
    assert releases[0] == (PROJECT["version"], citation["date-released"]) == (citation["version"], releases[0][1])
    assert [datetime.date.fromisoformat(date) for _, date in releases]


def test_the_citation_has_what_its_format_asks_for():
    """The keys that the schema of CFF 1.2.0 requires, and the values that it allows for those we use."""
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"] == PROJECT["name"]
    assert citation["authors"] == [{"name": "The tinygrad_arith authors"}]
    assert citation["type"] == "software"
    assert citation["license"] == PROJECT["license"]
    assert all(isinstance(citation[key], str) for key in ("version", "date-released"))


@pytest.mark.parametrize("kind", ["Added", "Changed", "Fixed"])
def test_the_changelog_groups_by_kind(kind):
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n### {kind}\n" in text
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
