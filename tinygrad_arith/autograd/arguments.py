"""Whether an operation is given what it takes, told in one sentence before its shapes are looked at."""

import inspect
from dataclasses import replace
from typing import Any

from ..ops.registry import Operation

CALLED_HERE = {"dim": "axis", "dims": "axes", "keepdim": "keepdims", "input": "x", "a": "x", "p": "rate"}


def checked(operation: Operation) -> Operation:
    """The operation with a shape rule that looks at the arguments first; without a shape rule as it is."""
    rule = operation.shape_rule
    if rule is None:
        return operation
    parameters = inspect.signature(operation.forward).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    needed = [p.name for p in parameters if p.name in names and p.default is p.empty]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        names, needed = [*operation.inputs, *names], [*operation.inputs, *needed]
    arrays = [name for name in (*operation.inputs, *operation.arrays) if name in needed]
    arrays = [name for name in arrays if name not in operation.optional]

    def shape_rule(**arguments: Any) -> Any:
        _check(operation.name, arguments, names, needed, arrays)
        return rule(**arguments)

    return replace(operation, shape_rule=shape_rule)


def _check(operation: str, given: dict[str, Any], names: list[str], needed: list[str], arrays: list[str]) -> None:
    """Raises TypeError for an argument that is not known or not there, or None in the place of an array."""
    takes = f"it takes {', '.join(names)}"
    for name in given:
        if name not in names:
            here = CALLED_HERE.get(name)
            raise TypeError(f"{operation} has no {name}: {f'here it is {here}' if here in names else takes}")
    missing = [name for name in needed if name not in given]
    if missing:
        raise TypeError(f"{operation} needs {' and '.join(missing)} too: {takes}")
    for name in arrays:
        if given[name] is None:
            raise TypeError(f"{operation}: {name} is None, where an array or a number is needed")
