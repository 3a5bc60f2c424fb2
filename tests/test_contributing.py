"""CONTRIBUTING.md holds: every operation has its parts, and the example on the page becomes an operation."""

import ast
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_arith import ops
from tinygrad_arith.autograd import Tensor, differentiable
from tinygrad_arith.gradcheck_suite import operations as suite
from tinygrad_arith.gradcheck_suite.subjects import operation_trials
from tinygrad_arith.gradcheck_suite.suite import Subject, check_subject
from tinygrad_arith.ops import OPERATIONS

ROOT = Path(__file__).resolve().parents[1]
OPS, SUITE, DOCS = Path(ops.__file__).parent, Path(suite.__file__).parent, ROOT / "docs"
EXAMPLE = ("tinygrad_arith/ops/silu.py", "tinygrad_arith/gradcheck_suite/operations/silu.py", "docs/silu.md")


def declared_in(path):
    """The names of the operations that a file of `ops` declares."""
    calls = [node.value for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    calls = [call for call in calls if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Operation"]
    return [call.args[0].value for call in calls]


def missing(name, root_of_ops=OPS, root_of_suite=SUITE, docs=DOCS):
    """What a file of `ops` lacks, in sentences: its registration, its cases and mutants, its page."""
    file = root_of_ops / f"{name}.py"
    unregistered = [one for one in declared_in(file) if one not in OPERATIONS]
    found = [f"{one} is declared in ops/{name}.py, but not imported in ops/__init__.py" for one in unregistered]
    if not (root_of_suite / f"{name}.py").is_file():
        found.append(f"there are no cases and mutants: gradcheck_suite/operations/{name}.py")
    if not any(f"ops/{name}.py)" in page.read_text(encoding="utf-8") for page in docs.glob("*.md")):
        found.append(f"no page of docs/ links to tinygrad_arith/ops/{name}.py")
    return found


DECLARING = [path.stem for path in sorted(OPS.glob("*.py")) if declared_in(path)]


@pytest.mark.parametrize("name", DECLARING)
def test_an_operation_has_its_line_its_cases_and_its_page(name):
    assert missing(name) == []


@pytest.mark.parametrize("name", DECLARING)
def test_a_file_ends_with_its_declarations(name):
    body = ast.parse((OPS / f"{name}.py").read_text(encoding="utf-8")).body
    last = body[-len(declared_in(OPS / f"{name}.py")) :]
    assert all(isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) for node in last)


def test_every_operation_is_declared_where_its_forward_is():
    declared = {one: name for name in DECLARING for one in declared_in(OPS / f"{name}.py")}
    assert declared == {one: suite.file_name(operation) for one, operation in OPERATIONS.items()}


def test_every_file_of_cases_and_mutants_is_of_an_operation():
    assert {path.stem for path in SUITE.glob("*.py")} - {"__init__"} == set(DECLARING)
    for name in DECLARING:
        file = importlib.import_module(f"{suite.__name__}.{name}")
        assert set(file.CASES) == set(file.MUTANTS) == set(declared_in(OPS / f"{name}.py"))


def blocks_of_the_page():
    """The files and the line that CONTRIBUTING.md gives for its example: the block after the place that is named."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    steps = {place: text.index(f"`{place}`", text.index("**1. The operation**")) for place in EXAMPLE}
    steps["line"] = text.index("**2. The line**")
    fence = re.compile(r"```\w+\n(.*?)```", re.DOTALL)
    return {place: fence.search(text, start).group(1) for place, start in steps.items()}


@pytest.fixture
def silu(tmp_path, monkeypatch):
    """The example as a contributor would add it, in folders of its own that the packages look into as well."""
    blocks = blocks_of_the_page()
    for place in EXAMPLE:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(blocks[place], encoding="utf-8")
    monkeypatch.setattr(ops, "__path__", [*ops.__path__, str((tmp_path / EXAMPLE[0]).parent)])
    monkeypatch.setattr(suite, "__path__", [*suite.__path__, str((tmp_path / EXAMPLE[1]).parent)])
    importlib.invalidate_caches()
    names = {"__name__": ops.__name__, "__package__": ops.__name__}
    exec(blocks["line"], names)  # the registry line
    monkeypatch.setitem(OPERATIONS, "silu", names["SILU"])
    yield names["SILU"]
    for package in (ops, suite):
        sys.modules.pop(f"{package.__name__}.silu", None)
        package.__dict__.pop("silu", None)


def test_the_example_becomes_an_operation_that_is_checked(silu, tmp_path):
    outcome = check_subject(Subject("operation", "silu", operation_trials("silu")))
    assert outcome.failures == ()
    assert outcome.verdict == "passed"
    assert outcome.mutants == outcome.rejected >= 5
    said = f"{outcome.elements} elements compared in float64 (seed 0), {outcome.rejected} of {outcome.mutants} wrong"
    assert said in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    roots = [(tmp_path / place).parent for place in EXAMPLE]
    assert missing("silu", *roots) == []


def test_the_example_is_differentiable(silu):
    x = Tensor(np.linspace(-3.0, 3.0, 7), requires_grad=True)
    y = differentiable(silu)(x)
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), x.numpy() / (1 + np.exp(-x.numpy())), rtol=1e-12)
    logistic = 1 / (1 + np.exp(-x.numpy()))
    np.testing.assert_allclose(x.grad, logistic + x.numpy() * logistic * (1 - logistic), rtol=1e-12)


def test_the_example_keeps_the_digits_of_small_values_and_overflows_nowhere(silu):
    x = np.array([-700.0, -30.0, -1e-9, 30.0, 1e4])
    with np.errstate(all="raise"):
        y, _ = silu.forward(x)
    np.testing.assert_allclose(y[:4], x[:4] / (1 + np.exp(-x[:4])), rtol=1e-14)
    assert y[4] == 1e4


@pytest.mark.parametrize("part", range(3))
def test_what_is_missing_is_named(silu, tmp_path, part, monkeypatch):
    """Without its line, its cases or its page."""
    roots = [(tmp_path / place).parent for place in EXAMPLE]
    if part == 0:
        monkeypatch.delitem(OPERATIONS, "silu")
    else:
        (tmp_path / EXAMPLE[part]).unlink()
    (told,) = missing("silu", *roots)
    named = ("ops/__init__.py", "gradcheck_suite/operations/silu.py", "no page of docs/")
    assert named[part] in told


LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def test_the_links_lead_to_files():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if not link.startswith("..")]
    assert [link for link in links if not (ROOT / link).exists()] == []
