"""Transformers with every gradient written by hand, in NumPy and CuPy, that learn arithmetic.

The rooms, from the ground up: `backend` (arrays, dtypes, random numbers), `ops` (the reference: one file per operation,
forward and backward), `cpu` and `cuda` (the same operations, faster), `autograd` (the tape), `nn`, `optim`, `models`,
`tasks`, `training`, `plots`. `verify` checks gradients and needs nothing but NumPy. The commands are
`python -m tinygrad_arith.train`, `.sample`, `.evaluate`, `.peek`, `.compare`, `.plot`, `.gradcheck`.

Not related to tinygrad/tinygrad.
"""

__version__ = "0.1.0"
