"""Which parameters came into a model after its flat arrays were made: nobody would train them."""

import weakref
from collections.abc import Iterable
from typing import Any


class Structure:
    """Looks through a model again only after a module or a list of modules has changed: a step asks each time.

    changes: how many assignments of modules and parameters there have been, in all models
    """

    changes = 0

    def __init__(self, model: Any):
        self._model = weakref.ref(model)
        self._seen = -1
        self._lists: list[tuple[list, tuple]] = []  # the lists of modules, and what was in them

    def newcomers(self, known: Iterable[Any]) -> list[str]:
        """The names of the model's parameters that are not among these."""
        model = self._model()
        if model is None or (self._seen == self.changes and all(tuple(now) == then for now, then in self._lists)):
            return []
        identities = {id(parameter) for parameter in known}
        missing = [name for name, parameter in model.named_parameters().items() if id(parameter) not in identities]
        if not missing:
            held = [value for module in model.named_modules().values() for value in vars(module).values()]
            self._lists = [(value, tuple(value)) for value in held if is_list_of_modules(value)]
            self._seen = self.changes
        return missing


def is_list_of_modules(value: Any) -> bool:
    """A list that a module could be put into: an empty one, or one that has some."""
    return isinstance(value, list) and (not value or any(hasattr(item, "named_modules") for item in value))
