"""Imports run one way, `verify` needs NumPy only, and importing the package is cheap."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_arith

PACKAGE = Path(tinygrad_arith.__file__).parent
FLOORS = [
    {"backend"},
    {"ops"},
    {"autograd"},
    {"nn", "cpu", "cuda"},
    {"optim", "models"},
    {"tasks"},
    {"training", "plots"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
ALLOWED_IN_VERIFY = {"numpy", *sys.stdlib_module_names}
USES_HYPOTHESIS = PACKAGE / "verify" / "strategies.py"  # for test suites; `verify` itself does not import this file


def imported_modules(path):
    """Dotted names of all that a file imports, relative ones made absolute."""
    package = ["tinygrad_arith", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ([f"{module}.{alias.name}" for alias in node.names] if not node.module else [module])


def room_of(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "tinygrad_arith" and len(parts) > 1 else None


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_imports_from_a_higher_floor(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room == "verify":
        allowed = ALLOWED_IN_VERIFY | ({"hypothesis"} if path == USES_HYPOTHESIS else set())
        for module in imported_modules(path):
            own = module.startswith("tinygrad_arith.verify") or module == "tinygrad_arith.verify"
            assert own or module.split(".")[0] in allowed, f"verify imports {module}"
    elif room in FLOOR:
        for module in imported_modules(path):
            other = room_of(module)
            if other in FLOOR and other != room:
                assert FLOOR[other] <= FLOOR[room], f"{room} imports {module}"


def test_every_room_is_on_a_floor():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"verify"} <= set(FLOOR)


def test_no_deep_learning_framework_is_imported_by_the_product():
    for path in FILES:
        names = {module.split(".")[0] for module in imported_modules(path)}
        assert not names & {"torch", "jax", "tensorflow", "autograd", "tinygrad"}, path


@pytest.mark.parametrize(
    "module",
    [
        "tinygrad_arith",
        "tinygrad_arith.ops",
        "tinygrad_arith.models",
        "tinygrad_arith.optim",
        "tinygrad_arith.tasks",
        "tinygrad_arith.verify",
    ],
)
def test_importing_loads_nothing_heavy(module):
    heavy = "{'matplotlib', 'rich', 'cupy', 'scipy', 'safetensors', 'filelock', 'hypothesis'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


GPU_TESTS = sorted((Path(__file__).parent / "cuda").glob("*.py"))


@pytest.mark.parametrize("path", GPU_TESTS, ids=lambda path: path.stem)
def test_what_the_gpu_tests_import_exists(path):
    """They are not even imported where there is no GPU, so a name that is gone would be found out late."""
    pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed: pip install -e '.[kernels]'")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("tinygrad_arith"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_no_two_test_files_share_a_name():
    """pytest imports the files of folders that are no packages by their bare names, and stops at the second."""
    names = sorted(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name in set(names) if names.count(name) > 1] == []
