"""Train or gather several runs and set them side by side: `python -m tinygrad_arith.compare`."""

from tinygrad_arith.cli.compare import main
from tinygrad_arith.cli.console import run_command

if __name__ == "__main__":
    run_command(main)
