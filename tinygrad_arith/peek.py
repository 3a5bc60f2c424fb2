"""Look at a training batch as the model sees it: `python -m tinygrad_arith.peek`."""

from tinygrad_arith.cli.console import run_command
from tinygrad_arith.cli.peek import main

if __name__ == "__main__":
    run_command(main)
