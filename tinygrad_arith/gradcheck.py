"""Check every gradient, or those of your own operations: `python -m tinygrad_arith.gradcheck`."""

from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.gradcheck import main

if __name__ == "__main__":
    run_command(main)
