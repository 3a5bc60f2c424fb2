"""What `--version` prints."""

import argparse
import sys
from importlib import metadata
from typing import Any

from .. import __version__


class ShowVersion(argparse.Action):
    """Prints the version and exits; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        """What argparse calls when the flag is met."""
        print(version_line())
        sys.exit(0)


def version_line() -> str:
    """`tinygrad_arith 0.1.0`: the version of the installed package or, where it is not installed, of these files."""
    try:
        version = metadata.version("tinygrad_arith")
    except metadata.PackageNotFoundError:
        version = __version__
    return f"tinygrad_arith {version}"
