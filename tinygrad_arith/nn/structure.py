"""What the attributes of a module hold, and which parameters came in after its flat arrays were made."""

import operator
import weakref
from collections.abc import Iterable, Iterator
from typing import Any


def items_in(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What an attribute holds, with its part of the dotted name: itself, or each of a list, a tuple or a dict.

    These may hold each other: `branches.left.0`.
    """
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from items_in(f"{name}.{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from items_in(f"{name}.{key}", item)
    else:
        yield name, value


def containers_in(value: Any) -> Iterator[list | dict]:
    """The lists and dicts of an attribute that can change and hold a module or a parameter, or nothing yet."""
    if not isinstance(value, list | tuple | dict):
        return
    if not isinstance(value, tuple) and _may_hold_parts(value):
        yield value
    for item in _contents(value):
        yield from containers_in(item)


def _contents(value: Any) -> tuple:
    return tuple(value.values() if isinstance(value, dict) else value)


def _may_hold_parts(value: Any) -> bool:
    """Whether it is a module or a parameter, or holds one, or is a list or a dict that nothing was put into yet."""
    if isinstance(value, list | tuple | dict):
        return not (value or isinstance(value, tuple)) or any(map(_may_hold_parts, _contents(value)))
    return hasattr(value, "named_modules") or hasattr(value, "initializer")


class Structure:
    """Looks through a model again only after a module or a list of modules has changed: a step asks each time.

    changes: how many assignments of modules and parameters there have been, in all models
    """

    changes = 0

    def __init__(self, model: Any):
        self._model = weakref.ref(model)
        self._seen = -1
        self._containers: list[tuple[list | dict, tuple]] = []  # of modules or parameters, and what was in them

    def newcomers(self, known: Iterable[Any]) -> list[str]:
        """The names of the model's parameters that are not among these."""
        model = self._model()
        if model is None or (self._seen == self.changes and all(_is_unchanged(*pair) for pair in self._containers)):
            return []
        identities = {id(parameter) for parameter in known}
        missing = [name for name, parameter in model.named_parameters().items() if id(parameter) not in identities]
        if not missing:
            held = [value for module in model.named_modules().values() for value in vars(module).values()]
            self._containers = [(one, _contents(one)) for value in held for one in containers_in(value)]
            self._seen = self.changes
        return missing


def _is_unchanged(container: list | dict, before: tuple) -> bool:
    now = _contents(container)
    return len(now) == len(before) and all(map(operator.is_, now, before))
