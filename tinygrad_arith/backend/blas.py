"""Which library NumPy multiplies matrices by (its BLAS), and whether the number of its threads can be set."""

from pathlib import PurePath
from typing import Any

import numpy as np

from ..options.system import macos_version


def blas_of_numpy() -> str:
    """NumPy's BLAS as it is loaded, with its version and the processor that it takes this one for: `openblas 0.3.31
    Haswell`. One that cannot be asked is called as when NumPy was built: `accelerate, macOS 15.1`.
    """
    loaded = loaded_blas()
    if loaded:
        return ", ".join(dict.fromkeys(in_words(library) for library in loaded))
    built = blas_when_built()
    version = built.get("version") or "unknown"
    words = built.get("name") or "unknown"
    system = macos_version()
    return ", ".join(
        [f"{words} {version}" if version != "unknown" else words, *([f"macOS {system}"] if system else [])]
    )


def threads_can_be_set() -> bool:
    """Whether a matrix multiplication can be held to a number of threads: not, for one, by Apple's Accelerate."""
    from threadpoolctl import threadpool_info

    return any(library["user_api"] == "blas" for library in threadpool_info())


def blas_when_built() -> dict[str, Any]:
    """What NumPy's build tells of its BLAS: a `name`, and a `version`; nothing where it tells nothing."""
    built: Any = np.show_config(mode="dicts")
    return (built or {}).get("Build Dependencies", {}).get("blas") or {}


def loaded_blas() -> list[dict[str, Any]]:
    """What threadpoolctl knows of NumPy's BLAS: of the one in NumPy's own folders or, where there is none, of all but
    SciPy's and the MKL that `cpu` may have loaded beside NumPy.
    """
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    own = [library for library in found if lies_in(library, "numpy")]
    by_mkl = "mkl" in str(blas_when_built().get("name"))
    others = [one for one in found if not lies_in(one, "scipy") and (by_mkl or one["internal_api"] != "mkl")]
    return own or others


def lies_in(library: dict[str, Any], package: str) -> bool:
    """Whether a library came with a package of Python: in `numpy.libs`, or `numpy/.dylibs`."""
    return any(part in (package, f"{package}.libs") for part in PurePath(library["filepath"]).parts)


def in_words(library: dict[str, Any]) -> str:
    """A library's name, version and architecture, as far as it tells them."""
    return " ".join(str(library[key]) for key in ("internal_api", "version", "architecture") if library.get(key))
