"""CONTRIBUTING.md holds: whatever is there has its parts, and the examples on the page become what they should be."""

import ast
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_arith import models, ops, tasks
from tinygrad_arith.autograd import Tensor, differentiable
from tinygrad_arith.cli.train import main as train
from tinygrad_arith.gradcheck_suite import operations as suite
from tinygrad_arith.gradcheck_suite import subjects
from tinygrad_arith.gradcheck_suite.subjects import operation_trials
from tinygrad_arith.gradcheck_suite.suite import Subject, check_subject
from tinygrad_arith.models.registry import MODELS
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.options.kinds import field_names
from tinygrad_arith.options.option import Options
from tinygrad_arith.tasks import TASKS, TaskOptions
from tinygrad_arith.training.runs import load_run

ROOT = Path(__file__).resolve().parents[1]
OPS, SUITE, DOCS = Path(ops.__file__).parent, Path(suite.__file__).parent, ROOT / "docs"
METHODS = ("goal", "settled", "train_batch", "split_size", "evaluate", "preview", "describe")  # of every task's class
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


def add_files(page, places, root, monkeypatch, *packages):
    """Write files of the page below a root, and let packages look for modules there too."""
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(page.file(place), encoding="utf-8")
    for package in packages:
        folder = root / Path(*package.__name__.split("."))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()


def forget(name, *packages):
    """Take modules of this name out of packages."""
    for package in packages:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        package.__dict__.pop(name, None)


@pytest.fixture
def silu(page, tmp_path, monkeypatch):
    """The example as a contributor would add it, in folders of its own that the packages look into as well."""
    add_files(page, EXAMPLE, tmp_path, monkeypatch, ops, suite)
    names = {"__name__": ops.__name__, "__package__": ops.__name__}
    exec(page.line("An operation"), names)  # the registry line
    monkeypatch.setitem(OPERATIONS, "silu", names["SILU"])
    yield names["SILU"]
    forget("silu", ops, suite)


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
    with np.errstate(over="raise", invalid="raise"):
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


# Models and tasks


def test_every_model_has_options_a_row_and_a_gradient_check():
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    for kind in MODELS.places:
        assert model_lacks(kind, page) == []


def model_lacks(kind, page):
    """What a kind of model lacks, in sentences."""
    model, found = MODELS.load(kind), []
    if not (issubclass(model.options, Options) and field_names(model.options)[0] == "kind"):
        found.append("its options have no field `kind`, or are not made from `Options`")
    if not all(hasattr(model, name) for name in ("from_options", "rows", "shape_report", "forward")):
        found.append("it lacks from_options, rows, shape_report or forward")
    if not any(isinstance(make(), model) for make in subjects.MODELS.values()):
        found.append("there is no line in gradcheck_suite/subjects.py")
    if f"| `{kind}` |" not in page:
        found.append("there is no row in docs/models.md")
    return found


def test_every_task_has_options_a_goal_and_a_row():
    page = (DOCS / "tasks.md").read_text(encoding="utf-8")
    for kind in TASKS.places:
        assert task_lacks(kind, page) == []


def task_lacks(kind, page):
    """What a kind of task lacks, in sentences."""
    task, found = TASKS.load(kind), []
    if not (issubclass(task.options, TaskOptions) and task.options.family):
        found.append("its options are not made from `TaskOptions`, or have no family")
    if lacking := [name for name in METHODS if not hasattr(task, name)]:
        found.append(f"it lacks {', '.join(lacking)}")
    if not any(f"`{kind}`" in line for line in page.splitlines() if line.startswith("|")):
        found.append("there is no row in docs/tasks.md")
    return found


BAG = "tinygrad_arith/models/bag.py"
NEXT_CHARACTER = ("tinygrad_arith/tasks/next_character.py", "tinygrad_arith/tasks/smoothed.py")
FEW_STEPS = ("--batch", "8", "--steps", "6", "--warmup", "2", "--eval-every", "3", "--workers", "1", "--device", "cpu")


@pytest.fixture
def bag(page, tmp_path, monkeypatch):
    """The example of a model, added as the page says."""
    add_files(page, [BAG], tmp_path, monkeypatch, models)
    monkeypatch.setattr(MODELS, "places", MODELS.places | eval(f"{{{page.line('A model')}}}"))
    model = importlib.import_module("tinygrad_arith.models.bag")
    lines = eval(f"{{{page.block('A model', '**3. The proof**')}}}", dict(vars(model)))
    monkeypatch.setattr(subjects, "MODELS", subjects.MODELS | lines)
    yield model.Bag
    forget("bag", models)


@pytest.fixture
def next_character(page, tmp_path, monkeypatch):
    """The example of a task, added as the page says."""
    add_files(page, NEXT_CHARACTER, tmp_path, monkeypatch, tasks)
    monkeypatch.setattr(TASKS, "places", TASKS.places | eval(f"{{{page.line('A task')}}}"))
    yield TASKS.load("next-character")
    forget("next_character", tasks)
    forget("smoothed", tasks)


def test_the_example_becomes_a_model_whose_gradient_is_checked(bag, page, monkeypatch):
    assert model_lacks("bag", page.block("A model", "**4. The row**")) == []
    monkeypatch.setattr(subjects, "MODELS", {"bag": subjects.MODELS["bag"]})
    (subject,) = subjects.model_subjects(seed=1)
    assert check_subject(subject).verdict == "passed"


def test_what_a_model_lacks_is_named(bag, monkeypatch):
    monkeypatch.delitem(subjects.MODELS, "bag")
    monkeypatch.delattr(bag, "rows")
    assert len(model_lacks("bag", page="")) == 3


def test_the_example_model_learns_sums_by_the_command(bag, tmp_path, capsys):
    run = tmp_path / "run"
    flags = ("--architecture", "bag", "--width", "7", "--digits", "3", "--workers", "1")
    assert train([*flags, *FEW_STEPS, "--eval-size", "8", "--validation-size", "8", "--out", str(run)]) == 0
    assert load_run(run).model.config.width == 7
    assert "problems from the test" in capsys.readouterr().out  # it was asked


def test_the_example_becomes_a_task(next_character, page):
    assert task_lacks("next-character", page.block("A task", "**4. The row**")) == []
    task = tasks.build_task(tasks.task_options("next-character", window=5, smoothing=0.1))
    whole = task.train_batch(3, 13, 7)
    for rows in (slice(0, 5), slice(6, 13)):
        assert np.array_equal(task.train_batch(3, 13, 7, rows).tokens, whole.tokens[rows])
    assert np.array_equal(whole.tokens[:, 1:], whole.targets[:, :-1])


def test_what_a_task_lacks_is_named(next_character, monkeypatch):
    monkeypatch.delattr(next_character, "settled")
    assert task_lacks("next-character", page="") == ["it lacks settled", "there is no row in docs/tasks.md"]


def test_the_example_task_is_learned_by_the_command(next_character, tmp_path):
    run = tmp_path / "run"
    flags = ("--task", "next-character", "--window", "8", "--d-model", "16", "--heads", "2", "--layers", "1")
    assert train([*flags, *FEW_STEPS, "--out", str(run)]) == 0
    assert load_run(run).task.context == 8


LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def test_the_links_lead_to_files():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if not link.startswith("..")]
    assert [link for link in links if not (ROOT / link).exists()] == []
