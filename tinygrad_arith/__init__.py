"""Transformers with every gradient written by hand, in NumPy and CuPy, that learn arithmetic.

The packages, each importing from those before it: `backend` (arrays, dtypes, random numbers), `ops` (the reference: one
file per operation, forward and backward), `autograd` (the tape), `cpu` and `cuda` (the same operations, faster), `nn`,
`optim`, `models`, `generation`, `tasks`, `run_files`, `training`, `comparisons`, `plots`, `cli`. `verify` checks
gradients and needs nothing but NumPy. The commands are `python -m tinygrad_arith.train`, `.sample`, `.evaluate`,
`.peek`, `.compare`, `.plot`, `.gradcheck`.

Not related to tinygrad/tinygrad.
"""

__version__ = "0.1.0"
