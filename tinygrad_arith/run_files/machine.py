"""What runs were made with: the machine in words and the versions of the libraries, never a path or a host name."""

import importlib.metadata
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..backend import available_cores, library_of
from ..backend.blas import blas_of_numpy
from ..ops.registry import runs_reference_only
from ..options.system import macos_processor, on_macos

PACKAGES = ("tinygrad_arith", "numpy", "numba", "mkl", "cupy-cuda12x", "cupy-cuda13x")  # those that computing hangs on


KIND_OF_PROCESSOR = (("family", "cpu family"), ("model", "model"))  # in words, and in /proc/cpuinfo


def machine_facts(on_gpu: bool) -> dict[str, Any]:
    """Date, processor, cores, names of the GPUs (none unless they are used) and versions, ready for JSON."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": processor_name(),
        "cores": available_cores(),
        "gpus": gpu_names() if on_gpu else [],
        "versions": installed_versions(),
    }


def what_computes(device: str) -> dict[str, str]:
    """What the bits of a training hang on beside its options: the processor or GPU, this program's and the libraries'
    versions.

    device: "cpu" or "cuda"
    """
    versions = installed_versions()
    found = {"device": processor_name() if device == "cpu" else gpu_names()[0]}
    found |= {"tinygrad_arith": __version__, "numpy": versions["numpy"]}
    if device == "cuda":
        found |= {name: version for name, version in versions.items() if name.startswith("cupy")}
    elif not runs_reference_only():
        from ..cpu import gemm, passes

        found |= {"products": named_version(gemm.LIBRARY, versions)}  # the name that runs of version 0.1 have on disk
        found |= {"passes": named_version(passes.LIBRARY, versions)}
    if device == "cpu":  # NumPy's own, by which the reference, and what MKL cannot read, is multiplied
        found |= {"blas": blas_of_numpy()}
    return found | ({"operations": "reference"} if runs_reference_only() else {})


def named_version(library: str, versions: dict[str, str]) -> str:
    """A library with its version: `numba 0.61.0`."""
    return f"{library} {versions.get(library, '')}".rstrip()


def installed_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The versions of Python and of those of the packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def processor_name() -> str:
    """The processor's name where the system tells it, else its architecture. Names are not enough: "AMD EPYC" is many,
    which compute other bits.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    facts: dict[str, str] = {}
    for name, colon, value in (line.partition(":") for line in lines):
        facts.setdefault(name.strip(), value.strip() if colon else "")  # of the first core
    if "model name" not in facts:
        return (macos_processor() if on_macos() else None) or platform.processor() or platform.machine()
    return ", ".join([facts["model name"], *(f"{n} {facts[w]}" for n, w in KIND_OF_PROCESSOR if w in facts)])


def gpu_names() -> list[str]:
    """The name of each GPU that this process may use; the first is the one it uses. Needs CuPy."""
    runtime = library_of("cuda").cuda.runtime
    return [runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount())]
