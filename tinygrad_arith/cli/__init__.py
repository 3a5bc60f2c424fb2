"""The commands: parsing, what is printed, exit codes. `python -m tinygrad_arith.<name>` calls one of them."""
