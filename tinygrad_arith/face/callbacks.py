"""Functions of a program that are called after each step."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..options.arguments import ArgumentError, plain, shown
from ..training.reporter import Reporter

Callback = Callable[[dict[str, Any]], object]
RULE = "must be a function of a step's row, or a list of such"


def as_callbacks(given: Any) -> tuple[Callback, ...]:
    """The callbacks that were given: a function, several, or None. Raises ArgumentError for anything else."""
    if given is None:
        return ()
    if not callable(given) and (isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable)):
        raise ArgumentError(f"callbacks={shown(given)}: {RULE}")
    callbacks = (given,) if callable(given) else tuple(given)
    for callback in callbacks:
        if not callable(callback):
            raise ArgumentError(f"callbacks: {shown(callback)} is among them: {RULE}")
        if inspect.iscoroutinefunction(callback):
            raise ArgumentError(f"callbacks: {name_of(callback)} is an async function, and nothing would await it")
    return callbacks


def name_of(callback: Any) -> str:
    """What a callback is called."""
    return getattr(callback, "__name__", None) or type(callback).__name__


class Calling(Reporter):
    """Calls functions back; an error of one ends the training, which is saved first."""

    def __init__(self, callbacks: tuple[Callback, ...]):
        self.callbacks = callbacks
        self.error: Exception | None = None

    def stepped(self, row: dict[str, Any]) -> None:
        """A step is done."""
        for callback in self.callbacks:
            try:
                self.stop |= wants_end(callback, callback(dict(row)))
            except Exception as error:  # whatever a user's function may raise
                self.error, self.stop = self.error or error, True


def wants_end(callback: Callback, answer: Any) -> bool:
    """Whether a callback's answer ends the training. Raises ArgumentError for what is neither yes nor no."""
    answer = plain(answer)
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    if inspect.iscoroutine(answer):
        answer.close()  # else Python warns that nobody awaited it
    raise ArgumentError(
        f"callbacks: {name_of(callback)} returned {shown(answer)}: must be True to end the training, False or None to "
        "go on"
    )
