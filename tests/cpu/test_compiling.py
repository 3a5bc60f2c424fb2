"""Where Numba cannot cache, or what is in its cache cannot be used, it compiles again, and that is said once."""

import errno
import importlib.abc
import os
import pickle
import sys
import warnings

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="Numba is not installed: pip install -e '.[fast]'")

import tinygrad_arith.cpu as cpu  # noqa: E402
from tinygrad_arith.cpu import compiling, passes, passes_numpy  # noqa: E402
from tinygrad_arith.options.errors import RunWarning  # noqa: E402

ONE, ONES = np.float64(1.0), np.ones(3)


def doubled(x):
    return x + x


@pytest.fixture
def compile_it(tmp_path, monkeypatch):
    """Compiles `doubled` as another process would, with a cache in an empty folder."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "_told", [])
    return lambda: compiling.compiled_by()(doubled)


def files(folder, ending):
    return sorted(folder.rglob(f"*doubled*{ending}"))


def hits(compiled):
    return sum(compiled.stats.cache_hits.values())


def test_what_is_compiled_is_kept(compile_it, tmp_path):
    assert compile_it()(ONE) == 2
    assert len(files(tmp_path, ".nbi")) == len(files(tmp_path, ".nbc")) == 1
    again = compile_it()
    assert (again(ONE), hits(again)) == (2, 1)


def test_no_folder_to_write_to_is_said_once(compile_it, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling.CheckedFiles, "_locator_classes", [])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        compiled = compile_it()
        assert compile_it()(ONE) == compiled(ONE) == 2
    assert said(told).startswith("Numba cannot keep what it compiles (there is no folder that it could write to), so")
    assert files(tmp_path, "") == []


def said(told):
    """The only thing that was warned of."""
    (warning,) = told
    assert warning.category is RunWarning
    return str(warning.message)


def failing(error):
    def fail(*arguments):
        raise error

    return fail


FAULTS = {  # of numba.core.caching.IndexDataCacheFile
    "a full disk": ("_save_data", OSError(errno.ENOSPC, "No space left on device")),
    "a full disk for the index": ("_save_index", OSError(errno.ENOSPC, "No space left on device")),
    "files of another user": ("_load_index", PermissionError(errno.EACCES, "Permission denied")),
    "not to be pickled": ("_dump", pickle.PicklingError("no")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cache_that_fails_is_said_once(compile_it, monkeypatch, fault):
    name, error = FAULTS[fault]
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, name, failing(error))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        compiled = compile_it()
        assert (compiled(ONE), compiled(ONES).tolist()) == (2, [2, 2, 2])
        assert compile_it()(ONE) == 2
    assert f"({getattr(error, 'strerror', error)}), so every start compiles again" in said(told)


def of_another_version(content):
    return pickle.dumps("0.1") + content


DAMAGE = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "zeros within": lambda content: content[: len(content) // 3] + bytes(99) + content[len(content) // 3 + 99 :],
    "something else": lambda content: b"something else\n" * 50,
    "another version": of_another_version,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_damaged_file_is_written_anew(compile_it, tmp_path, ending, damage):
    compile_it()(ONE)
    (path,) = files(tmp_path, ending)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert compile_it()(ONE) == 2
    again = compile_it()
    assert (again(ONE), hits(again)) == (2, 1)


def test_the_code_of_another_signature_is_not_run(compile_it, tmp_path):
    compiled = compile_it()
    compiled(ONE)
    compiled(ONES)
    first, second = files(tmp_path, ".nbc")
    second.write_bytes(first.read_bytes())  # as two processes leave it that write at once
    again = compile_it()
    assert (again(ONE), again(ONES).tolist()) == (2, [2, 2, 2])


@pytest.mark.skipif(os.name == "nt", reason="on Windows the registry tells the folder")
def test_a_user_without_a_home_gets_no_folder_called_tilde(monkeypatch):
    import pwd

    assert compiling.has_a_home()
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", failing(KeyError("uid not found")))
    assert not compiling.has_a_home()
    monkeypatch.setenv("XDG_CACHE_HOME", "/a/folder")
    assert sys.platform == "darwin" or compiling.has_a_home()


def test_without_compilation_functions_stay_what_they_are(compile_it, monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert compile_it()(ONE) == 2


class Broken(importlib.abc.MetaPathFinder):
    """Lets the import of the compiled passes fail."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path, target=None):
        if name == "tinygrad_arith.cpu.passes_numba":
            raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImportError("Numba needs NumPy 2.4 or less. Got NumPy 9.9."), "ImportError: Numba needs NumPy 2.4 or less"),
        (OSError("libllvmlite.so: cannot open shared object file\nmore"), r"OSError: libllvmlite.so: .* file\), so"),
        (AttributeError("module 'numba' has no attribute 'njit'"), "AttributeError: module"),
        (SystemError(), r"\(SystemError\)"),
    ],
)
def test_a_broken_numba_is_done_without(monkeypatch, error, reason):
    monkeypatch.delitem(sys.modules, "tinygrad_arith.cpu.passes_numba", raising=False)
    monkeypatch.delattr(cpu, "passes_numba", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(error), *sys.meta_path])
    monkeypatch.setattr(passes, "NUMPY_ALONE", False)
    with pytest.warns(RunWarning, match=rf"^Numba is installed but cannot be used .*{reason}"):
        assert passes.choose_passes() == ("numpy", passes_numpy)


def test_nothing_is_said_where_numba_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert passes.choose_passes() == ("numpy", passes_numpy)
