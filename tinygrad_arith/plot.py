"""Draw what a run, or several, have learned: `python -m tinygrad_arith.plot RUN...`."""

from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.plot import main

if __name__ == "__main__":
    run_command(main)
