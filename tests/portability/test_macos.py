"""What is different on macOS, emulated: a BLAS that cannot be asked, drives with a memory of their own."""

import errno
import os
import subprocess
import types

import numpy as np
import pytest
import threadpoolctl

from tinygrad_arith.backend import blas
from tinygrad_arith.cli.ineffective_flags import ineffective_flags
from tinygrad_arith.cli.summary import device_fact
from tinygrad_arith.files import durability
from tinygrad_arith.files.writing import write_text
from tinygrad_arith.run_files import machine
from tinygrad_arith.run_files.machine import what_computes
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.runs import RunRecord, read_record, write_record, write_resumption

OPENBLAS = {"user_api": "blas", "internal_api": "openblas", "version": "0.3.30", "architecture": "Haswell"}
MKL = {"user_api": "blas", "internal_api": "mkl", "version": "2026.2", "filepath": "/lib/libmkl_rt.so.3"}
OPENMP = {"user_api": "openmp", "internal_api": "openmp", "version": None, "filepath": "/lib/libomp.dylib"}


@pytest.fixture
def loaded(monkeypatch):
    """A function that sets what threadpoolctl finds, what NumPy was built with, and the version of macOS."""

    def have(*libraries, built=None, macos=""):
        monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: list(libraries))
        dependencies = {"Build Dependencies": {"blas": built or {"name": "scipy-openblas", "version": "0.3.30"}}}
        monkeypatch.setattr(np, "show_config", lambda mode: dependencies)
        monkeypatch.setattr(blas, "macos_version", lambda: macos)

    return have


@pytest.fixture
def accelerate(loaded):
    """NumPy's wheel for Apple's processors: its BLAS is the system's, of which threadpoolctl knows nothing."""
    loaded(OPENMP, built={"name": "accelerate", "version": "unknown"}, macos="15.1")


def test_the_threads_of_accelerate_are_not_told(accelerate):
    training = Config.from_dict({"training": {"workers": 2, "blas_threads": 1}}).training
    words = "2 processes share each batch, as many as NumPy's BLAS takes for each matrix multiplication"
    assert device_fact("cpu", training) == ("threads", words)


def test_a_flag_for_them_is_said_to_do_nothing(accelerate):
    said = list(ineffective_flags({"training": {"blas_threads": 2}}, Config(), "cpu"))
    assert said == ["--blas-threads: has no effect on NumPy's BLAS here, which takes as many as it chooses"]
    assert list(ineffective_flags({"training": {"workers": 2}}, Config(), "cpu")) == []


def test_those_of_a_blas_that_can_be_told_are(loaded):
    loaded(OPENBLAS | {"filepath": "/site/numpy.libs/libscipy_openblas64_.so"})
    training = Config.from_dict({"training": {"workers": 2, "blas_threads": 1}}).training
    assert device_fact("cpu", training)[1] == "2 processes share each batch, 1 for each matrix multiplication"
    assert list(ineffective_flags({"training": {"blas_threads": 2}}, Config(), "cpu")) == []


def test_the_record_names_the_blas(accelerate):
    assert what_computes("cpu")["blas"] == "accelerate, macOS 15.1"


@pytest.mark.parametrize(
    ("libraries", "built", "name"),
    [
        ([("numpy.libs/a.so", OPENBLAS)], "scipy-openblas", "openblas 0.3.30 Haswell"),
        ([("numpy.libs/a.so", OPENBLAS), ("scipy.libs/b.so", OPENBLAS | {"version": "0.3.28"})], "", None),
        ([("numpy/.dylibs/a.dylib", OPENBLAS), ("scipy/.dylibs/b.dylib", MKL)], "", None),
        ([("numpy.libs/a.so", OPENBLAS), ("lib/libmkl_rt.so.3", MKL)], "scipy-openblas", None),
        ([("lib/libopenblas.so", OPENBLAS), ("lib/libmkl_rt.so.3", MKL)], "blas", None),  # of a distribution
        ([("lib/libmkl_rt.so.3", MKL)], "mkl", "mkl 2026.2"),  # conda's
        ([("numpy.libs/a.so", OPENBLAS), ("torch/lib/b.so", OPENBLAS | {"version": "0.2"})], "", None),
        ([("scipy.libs/b.so", OPENBLAS)], "accelerate", "accelerate 0.1"),
        ([], "blis", "blis 0.1"),
    ],
)
def test_of_several_libraries_it_is_numpys(loaded, libraries, built, name):
    named = [library | {"filepath": f"/site/{place}"} for place, library in libraries]
    loaded(*named, built={"name": built, "version": "0.1"})
    assert blas.blas_of_numpy() == (name or "openblas 0.3.30 Haswell")


def test_a_run_that_goes_on_with_another_blas_is_told_of_it(tmp_path, loaded):
    loaded(OPENBLAS | {"filepath": "/site/numpy.libs/a.so"})
    write_record(tmp_path, RunRecord(Config().resolved(), "binary-reversed"), what_computes("cpu"))
    loaded(built={"name": "accelerate", "version": "unknown"}, macos="15.1")
    told = write_resumption(tmp_path, read_record(tmp_path), 3, what_computes("cpu"))
    assert told == ["NumPy's BLAS: openblas 0.3.30 Haswell before, accelerate, macOS 15.1 now"]


def test_a_run_of_before_that_did_not_note_it_is_not(tmp_path):
    now = what_computes("cpu")
    before = {name: value for name, value in now.items() if name != "blas"}
    write_record(tmp_path, RunRecord(Config().resolved(), "binary-reversed"), before)
    assert write_resumption(tmp_path, read_record(tmp_path), 3, now) == []


def test_a_build_that_tells_nothing_is_no_error(loaded, monkeypatch):
    loaded()
    monkeypatch.setattr(np, "show_config", lambda mode: None)
    assert blas.blas_of_numpy() == "unknown"


@pytest.fixture
def brought(monkeypatch):
    """A fake fcntl; what was asked to bring bytes to the disk, in order."""
    calls = []
    fake = types.SimpleNamespace(F_FULLFSYNC=51, fcntl=lambda descriptor, command: calls.append(command))
    monkeypatch.setattr(durability, "fcntl", fake)
    monkeypatch.setattr(durability.os, "fsync", lambda descriptor: calls.append("fsync"))
    return calls


def test_bytes_go_past_the_drives_own_memory(brought, tmp_path):
    write_text(tmp_path / "a", "text")
    assert brought == ([51] if os.name == "nt" else [51, 51])  # the file, and the folder with its name


def test_a_network_drive_that_does_not_know_how_gets_fsync(brought, tmp_path):
    def refuse(descriptor, command):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    durability.fcntl.fcntl = refuse
    write_text(tmp_path / "a", "text")
    assert brought == (["fsync"] if os.name == "nt" else ["fsync", "fsync"])


def test_the_processor_of_a_mac_has_its_name(monkeypatch):
    def sysctl(command, **how):
        return subprocess.CompletedProcess(command, 0, stdout=b"Apple M2\n")

    monkeypatch.setattr(machine, "Path", lambda path: types.SimpleNamespace(read_text=no_file))
    monkeypatch.setattr(machine, "on_macos", lambda: True)
    monkeypatch.setattr(subprocess, "run", sysctl)
    assert machine.processor_name() == "Apple M2"
    monkeypatch.setattr(subprocess, "run", no_file)
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    assert machine.processor_name() == "arm"


def no_file(*arguments, **named):
    raise FileNotFoundError
