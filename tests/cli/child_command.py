"""A command in a process of its own, as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

import tinygrad_arith

ROOT = Path(tinygrad_arith.__file__).parents[1]


def start_command(program, arguments, here, cpu="numpy", **options):
    """Start `python *program *arguments`; what it prints is read with `.communicate()`. The options are `Popen`'s.

    NumPy alone computes in it and in those that it starts, which are then sooner loaded; with `cpu=""` whatever
    computes here, to the same bits.
    """
    choices = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", "TINYGRAD_ARITH_CPU": cpu}
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=here,
        env=os.environ | choices,  # what is left in a buffer counts too
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )
