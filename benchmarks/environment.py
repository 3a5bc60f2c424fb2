"""What a result was measured with: the machine in words and versions, never a path or a host name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinygrad_arith.run_files.machine import installed_versions, machine_facts

RESULTS = Path(__file__).resolve().parent / "results"
VARIABLES = "TINYGRAD_ARITH_"  # what the names of our own environment variables begin with


def environment(packages: Iterable[str] = ("numpy", "scipy")) -> dict[str, Any]:
    """Date, CPU model, cores for this process, the versions of Python and of the packages that are installed, and those
    environment variables that choose which of our code runs."""
    facts = machine_facts(on_gpu=False)
    return {
        **{name: facts[name] for name in ("date", "cpu", "cores")},
        "versions": installed_versions(packages),
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)},
    }


def in_words(measured: dict[str, Any]) -> str:
    """One line for the head of a table."""
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    return f"{measured['date']}; {measured['cpu']}, {measured['cores']} cores; {versions}"
