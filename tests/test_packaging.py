"""The wheel holds every file of the package, and the CUDA sources; the source archive holds the whole project.

Which files those are is told by the wheel that TINYGRAD_ARITH_WHEEL names and the archive of TINYGRAD_ARITH_SDIST; `nox
-s wheel` sets both. Without them it is told by those that are built here, if hatchling is installed; else by git:
hatchling takes what git does not ignore.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
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
    return {name for name in all_names_in(wheel) if not name.split("/")[0].endswith(".dist-info")}


def all_names_in(wheel):
    """The files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def names_in_sdist(path):
    """The files in a source archive, without the folder that holds them all."""
    with tarfile.open(path) as archive:
        return {name.split("/", 1)[1] for name in archive.getnames()}


def can_build():
    """Whether what `pyproject.toml` asks of a build is installed here."""
    return all(importlib.util.find_spec(name) for name in ("hatchling", "hatch_fancy_pypi_readme"))


def build_wheel(directory):
    """A wheel of this tree, built with the hatchling that is installed."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(directory), str(ROOT)], check=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def build_sdist(directory):
    """A source archive of this tree, likewise."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True)
    (sdist,) = directory.glob("*.tar.gz")
    return sdist


def targets():
    """What `pyproject.toml` says of the wheel and the source archive."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]


def listed_by_git():
    """The files of the tree that git does not ignore; None where this is no checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in listed if (ROOT / name).is_file()]


def sdist_names_by_git():
    """What hatchling would put into the source archive; None where this is no checkout."""
    places = targets()["sdist"]["include"]
    there = listed_by_git()
    return there and {name for name in there if name in places or name.startswith(tuple(f"{p}/" for p in places))}


def names_by_git():
    """What hatchling would put into the wheel; None where this is no checkout."""
    wheel = targets()["wheel"]
    places = {name: name for name in wheel["packages"]} | wheel["force-include"]
    there = listed_by_git()
    return there and {
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
    if can_build():
        return names_in(build_wheel(tmp_path_factory.mktemp("wheel")))
    return names_by_git() or pytest.skip("no wheel: hatchling is not installed, and this is no checkout of git")


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """The names of the files in the source archive."""
    if sdist := os.environ.get("TINYGRAD_ARITH_SDIST"):
        return names_in_sdist(sdist)
    if can_build():
        return names_in_sdist(build_sdist(tmp_path_factory.mktemp("sdist")))
    return sdist_names_by_git() or pytest.skip("hatchling is not installed, and this is no checkout of git")


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


def test_the_source_archive_holds_what_makes_the_wheel_and_what_tests_read(archived):
    sources = {path for folder in (PACKAGE, KERNELS) for path in folder.rglob("*") if path.is_file()}
    sources = {path.relative_to(ROOT).as_posix() for path in sources if "__pycache__" not in path.parts}
    assert sorted(sources - archived) == []
    for place in targets()["sdist"]["include"]:
        assert (ROOT / place).exists()
        assert any(name == place or name.startswith(f"{place}/") for name in archived)
    assert archived >= {"LICENSE", "CHANGELOG.md", "CITATION.cff", "tests/conftest.py", "kernels/adamw.cu"}


def test_its_page_on_an_index_has_no_link_that_leads_nowhere():
    wheel = os.environ.get("TINYGRAD_ARITH_WHEEL") or pytest.skip("`nox -s wheel` builds one")
    (name,) = (name for name in all_names_in(wheel) if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        page = archive.read(name).decode("utf-8").split("\n\n", 1)[1]
    assert "python -m tinygrad_arith.train" in page
    assert re.findall(r"\]\((?!https?:)[^)]*\)", page) == []


def test_the_wheel_brings_its_licence():
    wheel = os.environ.get("TINYGRAD_ARITH_WHEEL") or pytest.skip("`nox -s wheel` builds one")
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in all_names_in(wheel))
