"""What is said when parameters are not what a use of them needs."""

from collections.abc import Sequence


class ParameterError(RuntimeError):
    """Parameters that a model computes with and those that are to be trained, stored or copied are not the same."""


class NotInitialized(ParameterError, AttributeError):
    """A module is used before its arrays are made. An AttributeError too: `hasattr(model, "flat")` stays a question.

    missing: the names of the parameters without an array, if others have one
    """

    def __init__(self, module: object, name: str = "", missing: Sequence[str] = ()):
        which = f" for {some(missing)}" if missing else ""
        sentence = f"this {type(module).__name__} has no arrays yet{which}: call initialize() first"
        super().__init__(f"{name}: {sentence}" if name else sentence)


def some(names: Sequence[str]) -> str:
    """Some names, in short: `head.weight`, `head.weight and 3 others`."""
    others = len(names) - 1
    return f"{names[0]} and {others} other{'s' * (others > 1)}" if others else names[0]
