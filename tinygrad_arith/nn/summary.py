"""A model as a table: modules, shapes, parameter counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


def module_table(model: Module) -> str:
    """One line for each module that holds parameters itself, then the total."""
    rows = [("module", "kind", "parameters", "count")]
    counted: set[int] = set()
    for name, module in model.named_modules().items():
        own = {key: value for key, value in vars(module).items() if isinstance(value, Parameter)}
        if own:
            shapes = ", ".join(f"{key} {_shape(p)}{_note(p, id(p) in counted)}" for key, p in own.items())
            count = sum(p.size for p in own.values() if id(p) not in counted)
            counted |= {id(p) for p in own.values()}
            rows.append((name or "(itself)", type(module).__name__, shapes, f"{count:,}"))
    rows.append(("total", type(model).__name__, "", f"{model.parameter_count():,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])])
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _shape(parameter: Parameter) -> str:
    return "(" + ", ".join(map(str, parameter.shape)) + ")"


def _note(parameter: Parameter, tied: bool) -> str:
    return " (tied)" * tied + " (frozen)" * parameter.frozen
