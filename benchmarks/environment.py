"""What a result was measured with: the machine in words and versions, never a path or a host name."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def environment(packages: Iterable[str] = ("numpy", "scipy")) -> dict[str, Any]:
    """Date, CPU model, cores, Python and the versions of the packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    today = datetime.date.today().isoformat()
    return {"date": today, "cpu": _cpu_model(), "cores": os.cpu_count(), "versions": versions}


def _cpu_model() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def in_words(measured: dict[str, Any]) -> str:
    """One line for the head of a table."""
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    return f"{measured['date']}; {measured['cpu']}, {measured['cores']} cores; {versions}"
