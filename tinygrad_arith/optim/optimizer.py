"""What training asks of an optimizer, and what all optimizers over flat arrays share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np

from ..backend import array_module, on_device_of, to_numpy
from ..backend.deferred import raise_deferred
from ..nn import FlatParameters
from ..ops.registry import Operation, choose
from .checks import finite, not_negative, require_flat, truth

ELSEWHERE = {  # what people look for under the names of other libraries
    "zero_grad": "model.zero_gradients()",
    "param_groups": "step(learning_rate), which takes the rate of the step,",
}
LAYOUT = "layout"  # in a state: see `FlatParameters.layout`; older states have none


class Optimizer(Protocol):
    """What training asks of an optimizer: updates from the gradients in the model's flat buffer, and its state."""

    def step(self, learning_rate: float, gradient_scale: float = 1.0) -> None:
        """One update of all parameters from their gradients times `gradient_scale`."""
        ...

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all that the next update depends on."""
        ...

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Takes back what `state_dict` gave; raises ValueError where it does not fit."""
        ...


class FlatOptimizer(ABC):
    """An optimizer whose update is one operation on the flat arrays. A kind of optimizer says four things:

    operation:   its update; faster implementations are chosen by this name. It is called with `values`, `gradients`,
                 `decayed` (how many leading elements have weight decay), `rates`, with `working` where the model
                 computes with a copy of the values, and with what `arguments` adds
    changing:    the names of those rates that may differ from step to step. The steps on a GPU are captured once and
                 replayed, so they read these on the device; the other rates are fixed when the step is captured
    state_names: the attributes that hold its arrays, (N,) each, zero before the first step; so they are called in a
                 checkpoint too. An optimizer may do without one of them, which is None then
    rates:       the numbers of one update, a named tuple with a `gradient_scale`
    """

    operation: ClassVar[Operation]
    changing: ClassVar[tuple[str, ...]]
    state_names: ClassVar[tuple[str, ...]]

    def __init__(self, flat: FlatParameters, weight_decay: float, decay_all: bool):
        name = type(self).__name__
        require_flat(flat, f"{name}(model.flat)")
        self.flat, self.decay_all = flat, truth(name, "decay_all", decay_all)
        self.weight_decay = not_negative(name, "weight_decay", weight_decay)
        self.steps = 0

    def __getattr__(self, name: str) -> NoReturn:  # of what is not there
        if name in getattr(type(self), "state_names", ()):
            raise AttributeError(
                f"{type(self).__name__} has no {name} yet, which its state_names has: make it in __init__, after "
                f"super().__init__(...): self.{name} = self.zeros()"
            )
        ours = ELSEWHERE.get(name)
        raise AttributeError(f"{type(self).__name__} has no {name}" + (f"; {ours} does it" if ours else ""))

    def __repr__(self) -> str:
        count = sum(parameter.size for parameter in self.flat.parameters.values())
        return f"{type(self).__name__}({count:,} parameters, {self.steps:,} steps done)"

    @abstractmethod
    def rates(self, learning_rate: float) -> Any:
        """The numbers of step `self.steps`, counted from 1, for gradients that are not scaled."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """What the operation takes beside what every update takes: arrays of the state, and options."""

    @classmethod
    def arrays_of(cls, options: Any) -> tuple[str, ...]:
        """The names of the arrays that an optimizer of these options has."""
        return cls.state_names

    def zeros(self) -> Any:
        """A new array of the state, (N,), where the values are and of their dtype."""
        values = self.flat.values
        return array_module(values).zeros_like(values)

    def step(self, learning_rate: float, gradient_scale: float = 1.0) -> None:
        """One update of all parameters from their gradients times `gradient_scale`, in place.

        Raises ParameterError where the model would not learn from it: `FlatParameters.settle` says when; ValueError for
        a rate below 0, and for numbers that are not finite, before anything is changed. A step that raises does not
        count.
        """
        scale = finite(type(self).__name__, "the gradient_scale of a step", gradient_scale)
        with self.counted():
            self.update(self.next_rates(learning_rate)._replace(gradient_scale=scale))

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Inside, `next_rates` begins a step; if an error ends it, it does not count."""
        before = self.steps
        try:
            yield
        except BaseException:
            self.steps = before
            raise

    def next_rates(self, learning_rate: float) -> Any:
        """The numbers of the next update, which counts as done.

        Raises ParameterError and ValueError as `step` does, and IndexError for an id that a GPU met in an earlier step.
        """
        rate = not_negative(type(self).__name__, "the learning rate of a step", learning_rate)
        raise_deferred()
        self.flat.settle()
        self.steps += 1
        return self.rates(rate)

    def update(self, rates: Any) -> None:
        """One update with these numbers, of the parameters and of the copy that the model computes with."""
        flat = self.flat
        values = flat.values
        arguments = {
            "values": values,
            "gradients": flat.gradients,
            "decayed": len(values) if self.decay_all else flat.decayed,
            "rates": rates,
            **self.arguments(),
        }
        if flat.working is not values:
            arguments["working"] = flat.working
        update, _ = choose(self.operation, arguments)
        update(**arguments)
        flat.mark_written(working=True)

    def state(self) -> dict[str, Any]:
        """The arrays of the state by name, (N,) each: those that this optimizer has."""
        arrays = {name: getattr(self, name) for name in self.state_names}
        return {name: array for name, array in arrays.items() if array is not None}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the arrays of the state, (N,) each, and the number of steps taken, ().

        Where parameters are frozen also the `layout`, (): which ones the numbers belong to.
        """
        copies = {name: to_numpy(array).copy() for name, array in self.state().items()}
        numbers = {"steps": self.steps} | ({LAYOUT: self.flat.layout} if self.flat.outside else {})
        return copies | {name: np.asarray(number, dtype=np.int64) for name, number in numbers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave.

        Raises ValueError, before anything is changed, for the state of another optimizer, for arrays of another
        length and where other parameters were frozen.
        """
        self._require_own(state)
        for name, array in self.state().items():
            if tuple(state[name].shape) != tuple(array.shape):
                raise ValueError(f"{name}: stored for {state[name].shape} parameters, here {array.shape}")
        if self.state() and LAYOUT in state and int(state[LAYOUT]) != self.flat.layout:
            raise ValueError(
                "the optimizer's state belongs to other parameters, of the same number: freeze those that were frozen "
                "when it was saved, then make the optimizer"
            )
        for name, array in self.state().items():
            array[...] = on_device_of(array, state[name])
        self.steps = int(state["steps"])

    def _require_own(self, state: dict[str, Any]) -> None:
        """Raises ValueError unless a state has the names of this optimizer's."""
        own = [*self.state(), "steps"]
        if set(state) - {LAYOUT} != set(own):
            raise ValueError(
                f"the optimizer's state is that of {owner_of(state)} ({', '.join(sorted(state)) or 'nothing'}), and "
                f"this {type(self).__name__} has {', '.join(own)}: a run goes on with the optimizer that it began with"
            )


def owner_of(state: dict[str, Any]) -> str:
    """The name of the optimizer whose state has these names."""
    owners = [
        kind.__name__
        for kind in FlatOptimizer.__subclasses__()
        if {*kind.state_names, "steps"} == set(state) - {LAYOUT}
    ]
    return owners[0] if owners else "another optimizer"
