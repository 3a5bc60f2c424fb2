"""Measure a trained model on problems it has never seen: `python -m tinygrad_arith.evaluate RUN`."""

from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.evaluate import main

if __name__ == "__main__":
    run_command(main)
