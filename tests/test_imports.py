"""Imports run one way, `verify` needs NumPy only, and importing the package is cheap."""

import ast
import functools
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_arith

PACKAGE = Path(tinygrad_arith.__file__).parent
ORDER = [  # a package imports from those in lines above its own, and from itself
    {"options"},
    {"files"},
    {"backend"},
    {"ops"},
    {"autograd"},
    {"cpu", "cuda", "parallel"},
    {"nn"},
    {"optim"},
    {"weights"},
    {"models"},
    {"objectives", "generation"},
    {"tasks"},
    {"run_files"},
    {"training"},
    {"reproductions"},
    {"saved_models"},
    {"comparisons"},
    {"gradcheck_suite", "plots"},
    {"cli"},
    {"face"},
]
HEIGHT = {package: height for height, packages in enumerate(ORDER) for package in packages}
UPWARD: dict[tuple[str, str], str] = {}  # imports against the order, each with its reason
CIRCLES = [  # files that import each other, each circle with its reason
    {
        "autograd.differentiable",
        "autograd.functions",
        "autograd.numpy_functions",
        "autograd.operands",
        "autograd.tensor",
        "autograd.written_functions",
    },  # `x + y` is F.add(x, y), and F.add makes a tensor: a table of names between them would only hide that
]
ALLOWED_IN_VERIFY = {"numpy", *sys.stdlib_module_names}
USES_HYPOTHESIS = PACKAGE / "verify" / "strategies.py"  # for test suites; `verify` itself does not import this file


def dotted(path):
    """The name of a file's module below the package: `tasks.config`, and "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {dotted(path): path for path in FILES}


def statements(node):
    """All statements below a node, but for those that only a type checker reads."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, part, ()):
            if isinstance(inner, ast.If) and isinstance(inner.test, ast.Name) and inner.test.id == "TYPE_CHECKING":
                continue
            yield inner
            yield from statements(inner)


@functools.cache
def imported_modules(path):
    """Dotted names of all that a file imports, relative ones made absolute; a name from a package that is a module of
    it is that module. What only a type checker reads does not count.
    """
    package, found = ["tinygrad_arith", *path.relative_to(PACKAGE).parent.parts], []
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{module}.{alias.name}".removeprefix("tinygrad_arith.")
                found.append(f"tinygrad_arith.{inner}" if inner in MODULES else module)
    return tuple(found)


def own_imports(path):
    """Those of this package, below its name."""
    for module in imported_modules(path):
        if module.startswith("tinygrad_arith."):
            yield module.removeprefix("tinygrad_arith.")


def test_imports_run_one_way():
    assert [f"{dotted(path)} imports {module}" for path in FILES for module in imports_upward(path)] == []


def imports_upward(path):
    """What a file imports and must not."""
    package = dotted(path).split(".")[0]
    if package == "verify":
        allowed = ALLOWED_IN_VERIFY | ({"hypothesis"} if path == USES_HYPOTHESIS else set())
        for module in imported_modules(path):
            own = module.startswith("tinygrad_arith.verify") or module == "tinygrad_arith.verify"
            if not own and module.split(".")[0] not in allowed:
                yield module
    elif package in HEIGHT:
        for module in own_imports(path):
            other = module.split(".")[0]
            known = other in HEIGHT and other != package and (dotted(path), module) not in UPWARD
            if known and HEIGHT[other] >= HEIGHT[package]:
                yield module


def test_every_package_has_its_place():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= {"verify", *HEIGHT}


def test_files_do_not_import_each_other_in_circles():
    below = {name: set(own_imports(path)) & set(MODULES) for name, path in MODULES.items()}
    reached = {name: reachable(below, name) for name in below}
    circles = {frozenset({name} | {o for o in reached[name] if name in reached[o]}) for name in below}
    assert {circle for circle in circles if len(circle) > 1} == set(map(frozenset, CIRCLES))


def reachable(below, start):
    """All modules that are imported by one, or by those that it imports, and so on."""
    found, left = set(), [start]
    while left:
        new = below[left.pop()] - found
        found |= new
        left += new
    return found


def test_no_deep_learning_framework_is_imported_by_the_product():
    for path in FILES:
        names = {module.split(".")[0] for module in imported_modules(path)}
        assert not names & {"torch", "jax", "tensorflow", "autograd", "tinygrad"}, path


def test_importing_loads_nothing_heavy():
    """One after another in one process: what all of them do not load, none does."""
    packages = ("verify", "ops", "models", "optim", "weights", "tasks")
    heavy = "{'matplotlib', 'rich', 'cupy', 'scipy', 'safetensors', 'filelock', 'hypothesis'}"
    code = ["import sys, tinygrad_arith", f"found = {{'': {heavy} & set(sys.modules)}}"]
    for name in packages:
        code += [f"import tinygrad_arith.{name}", f"found['{name}'] = {heavy} & set(sys.modules)"]
    code.append("print({name: loaded for name, loaded in found.items() if loaded})")
    result = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "{}"


ROOT = Path(__file__).parents[1]
LATE = sorted([*(ROOT / "tests" / "cuda").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


@pytest.mark.parametrize("path", LATE, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_gpu_tests_and_benchmarks_import_exists(path):
    """They are not imported by other tests, or only with a GPU, so a name that is gone would be found out late."""
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install -e '.[kernels]'")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinygrad_arith"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_no_two_test_files_share_a_name():
    """pytest imports the files of folders that are no packages by their bare names, and stops at the second."""
    names = sorted(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name in set(names) if names.count(name) > 1] == []
