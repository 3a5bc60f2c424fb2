"""What `--version` prints."""

import functools
from importlib import metadata

from .. import __version__


@functools.cache
def version_line() -> str:
    """`tinygrad_arith 0.1.0`: the version of the installed package or, where it is not installed, of these files."""
    try:
        version = metadata.version("tinygrad_arith")
    except metadata.PackageNotFoundError:
        version = __version__
    return f"tinygrad_arith {version}"
