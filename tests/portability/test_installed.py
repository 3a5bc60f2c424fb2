"""What an installed wheel can do without: the pages of docs/, links that lead nowhere, a second CuPy."""

import ast
import re
import sys
import tomllib
import types
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.backend import devices
from tinygrad_arith.backend.devices import installed_twice, library_of, obstacle_to_cuda
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.training.build import choose_device

PACKAGE = Path(tinygrad_arith.__file__).parent
ROOT = PACKAGE.parent
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:)[^)]*\)")


@pytest.fixture
def installed(monkeypatch):
    """A function that sets which packages are installed, CuPy itself among them."""
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: object())

    def have(*names):
        found = [types.SimpleNamespace(metadata={"Name": name}) for name in (*names, None)]
        monkeypatch.setattr(devices.importlib.metadata, "distributions", lambda: found)
        installed_twice.cache_clear()

    yield have
    installed_twice.cache_clear()


def test_cupy_for_two_versions_of_cuda_is_one_sentence(installed):
    installed("numpy", "cupy-cuda13x", "cupy-cuda12x")
    sentence = "cupy-cuda12x and cupy-cuda13x are both installed; uninstall both, then install one of them with: "
    assert obstacle_to_cuda() == sentence + devices.INSTALL
    with pytest.raises(UserError) as raised:
        choose_device("cuda")
    assert str(raised.value) == f"--device cuda: {sentence}{devices.INSTALL}"
    with pytest.raises(ImportError, match="are both installed"):
        library_of("cuda")


@pytest.mark.parametrize("names", [(), ("cupy-cuda12x",), ("cupy-cuda13x", "cupy-xarray"), ("cupy",)])
def test_one_is_not(installed, names):
    installed("numpy", *names)
    assert installed_twice() is None
    assert library_of("cuda") is sys.modules["cupy"]


def spoken_texts(tree):
    """The texts of a file that are no docstrings: what may be said to somebody."""
    silent = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


def test_nobody_is_sent_to_pages_that_a_wheel_lacks():
    sources = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    for path, source in sources.items():
        if re.search(r"docs/\w+\.md", source):
            assert not [text for text in spoken_texts(ast.parse(source)) if "docs/" in text], path.name


def test_the_modules_that_help_and_errors_name_have_what_they_promise():
    named = set()
    for path in PACKAGE.rglob("*.py"):
        named |= set(re.findall(r"pydoc[\s\"f]+(tinygrad_arith(?:\.\w+)+)", path.read_text(encoding="utf-8")))
    assert len(named) == 4
    for name in named:
        file = ROOT / (name.replace(".", "/") + ".py")
        assert len(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).splitlines()) > 2, name


def test_the_page_on_an_index_has_no_link_that_leads_nowhere():
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["metadata"]["hooks"]
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(LINK.findall(page)) > 10
    named = {target for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page) if not target.endswith(".png")}
    for one in hook["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(one["pattern"], one["replacement"], page)
    assert LINK.findall(page) == []
    assert "https://github.com/tinygrad/tinygrad" in page
    for target in named:
        assert f"`{target}`" in page
        assert (ROOT / target).exists()
