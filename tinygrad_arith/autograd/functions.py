"""Every operation of `ops` as a function of tensors. Usually imported as F: `F.layernorm(x, weight, bias)`.

They are made from the operations' declarations, but for the few that are written out in `written_functions`. Editors
and type checkers read of them in functions.pyi, which `python -m tinygrad_arith.autograd.stub` makes.
"""

from typing import NoReturn

from ..ops import OPERATIONS
from . import names_elsewhere
from .differentiable import differentiable
from .written_functions import concatenate, power, stack

FUNCTIONS = {name: differentiable(operation) for name, operation in OPERATIONS.items()}
FUNCTIONS |= {"power": power, "concatenate": concatenate, "stack": stack}
globals().update(FUNCTIONS)


def __getattr__(name: str) -> NoReturn:  # of what is not here
    raise AttributeError(names_elsewhere.of_function(name, FUNCTIONS))
