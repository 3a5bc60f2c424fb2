"""The wheel holds every file of the package, and the CUDA sources.

Which files those are is told by the wheel that TINYGRAD_ARITH_WHEEL names (`.ci/run` sets it); without one, by a wheel
that is built here, if hatchling is installed; else by git: hatchling takes what git does not ignore.
"""

import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, KERNELS = ROOT / "tinygrad_arith", ROOT / "kernels"


def files_of_the_tree():
    """What belongs into the wheel, by its name there."""
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    names = {path.relative_to(ROOT).as_posix() for path in files}
    kernels = {path for path in KERNELS.rglob("*") if path.is_file()}
    return names | {f"tinygrad_arith/{path.relative_to(ROOT).as_posix()}" for path in kernels}


def names_in(wheel):
    """The files in a wheel, without those that describe it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}


def build_wheel(directory):
    """A wheel of this tree, built with the hatchling that is installed."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(directory), str(ROOT)], check=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def names_by_git():
    """What hatchling would take by `pyproject.toml`; None where this is no checkout."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    places = {name: name for name in wheel["wheel"]["packages"]} | wheel["wheel"]["force-include"]
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    there = [name for name in listed if (ROOT / name).is_file()]
    return {
        name.replace(source, target, 1)
        for source, target in places.items()
        for name in there
        if name.startswith(f"{source}/")
    }


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The names of the files in the wheel."""
    if wheel := os.environ.get("TINYGRAD_ARITH_WHEEL"):
        return names_in(wheel)
    if importlib.util.find_spec("hatchling"):
        return names_in(build_wheel(tmp_path_factory.mktemp("wheel")))
    return names_by_git() or pytest.skip("no wheel: hatchling is not installed, and this is no checkout of git")


def test_the_wheel_holds_every_file_and_no_other(packed):
    expected = files_of_the_tree()
    assert sorted(expected - packed) == []
    assert sorted(packed - expected) == []


def test_every_package_and_what_is_no_module_is_among_them(packed):
    """In words, in case that the tree itself lacks something."""
    for folder in PACKAGE.rglob("__init__.py"):
        assert folder.relative_to(ROOT).as_posix() in packed
    assert "tinygrad_arith/py.typed" in packed
    for ending, folder in ((".toml", "presets"), (".cu", "kernels")):
        assert any(name.startswith(f"tinygrad_arith/{folder}/") and name.endswith(ending) for name in packed)


def test_every_folder_with_modules_is_a_package():
    """A folder without `__init__.py` works from a checkout, and may be missed by other tools."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
