"""Ask a trained model: `python -m tinygrad_arith.sample RUN`, by hand on a terminal or line by line from a pipe."""

from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.sample import main

if __name__ == "__main__":
    run_command(main)
