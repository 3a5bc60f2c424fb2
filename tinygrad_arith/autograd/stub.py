"""Writes functions.pyi: the functions of `F` as editors and type checkers see them.

python -m tinygrad_arith.autograd.stub && ruff format
"""

import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .functions import FUNCTIONS

STUB = Path(__file__).with_name("functions.pyi")
HEAD = """\
# Made from the declarations in ops/ by `python -m tinygrad_arith.autograd.stub`: not to be edited.
from collections.abc import Callable, Iterable
from typing import Any

from .tensor import Tensor

FUNCTIONS: dict[str, Callable[..., Tensor]]
"""


def stub() -> str:
    """The text of functions.pyi."""
    return "\n\n".join([HEAD, *(declared(name, function) for name, function in FUNCTIONS.items())])


def declared(name: str, function: Callable[..., Any]) -> str:
    """A function's signature and docstring."""
    signature = re.sub(r"\b(\w+\.)+(?=[A-Z])", "", str(inspect.signature(function)))  # typing.Any as Any
    doc = textwrap.indent(f'"""{inspect.getdoc(function)}', "    ")
    closed = f'{doc}\n    """' if "\n" in doc else f'{doc}"""'
    return f"def {name}{signature}:\n{closed}\n"


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
