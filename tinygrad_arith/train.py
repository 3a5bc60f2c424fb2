"""Train a model: `python -m tinygrad_arith.train`. Ctrl-C saves first; `--resume` goes on from there."""

from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.train import main

if __name__ == "__main__":
    run_command(main)
