"""All commands: `python -m tinygrad_arith` lists them, `python -m tinygrad_arith train` runs one."""

from tinygrad_arith.cli.program import run

if __name__ == "__main__":
    run(("python", "-m", "tinygrad_arith"))
