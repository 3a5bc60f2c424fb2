"""A trainable array, and the one flat array that holds them all."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..autograd import Tensor
from ..autograd.tape import Version
from ..backend import DtypePolicy, RandomKey, array_module, on_device_of, to_numpy
from ..backend.side_work import wait_for, wait_for_all
from ..ops import ArraySpec
from ..ops.numbers import require_sizes
from ..ops.registry import Destination
from ..ops.shape_rules import is_floating
from .errors import ParameterError, some
from .structure import Structure

ALIGNMENT = 32  # elements: every parameter starts on a 128-byte line, and the length divides among 2, 4, ..., 32 shards


class Parameter(Tensor):
    """A leaf tensor of a module. Until the model is initialised it has a shape and a dtype, but no array.

    Then `array` and `grad` are views into the flat arrays. Others may be assigned: `FlatParameters` takes their numbers
    before anybody reads the flat arrays. A gradient of None stands for zeros.

    A frozen parameter has an array of its own outside the flat ones, and no gradient. An array that is assigned to it
    stays: one mapped from a file, for example.

    shape:       its shape
    initializer: called with a key and the shape
    decay:       whether weight decay applies: yes for matrices, no for biases and norm scales
    """

    __slots__ = ("_frozen", "decay", "home", "initializer", "master", "name")

    def __init__(self, shape: tuple[int, ...], initializer: Callable[..., np.ndarray], *, decay: bool):
        for axis, size in enumerate(shape):
            require_sizes(f"a parameter of shape {shape}", **{f"axis {axis}": size})
        super().__init__(ArraySpec(shape, np.dtype(np.float32)), requires_grad=True)
        self.initializer = initializer
        self.decay = decay
        self._frozen = False
        self.master: Any = None  # the values that the optimizer updates, if `array` is a copy of them in fewer bits
        self.name = ""  # in the flat arrays
        self.home: Any = None  # the token of the `FlatParameters` whose views it has

    def _set_requires_grad(self, wanted: Any) -> None:
        raise AttributeError("requires_grad of a parameter is not set: `parameter.frozen = True` keeps it as it is")

    requires_grad = Tensor.requires_grad.setter(_set_requires_grad)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> NoReturn:  # of what is not there
        if name == "requires_grad_":
            raise AttributeError(f"a parameter has no {name}; `frozen = True` does it")
        super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Raises ParameterError for an array of another shape; a number is everywhere."""
        if name == "array":
            before, shape = getattr(getattr(self, "array", None), "shape", ()), tuple(np.shape(value))
            if shape and before and shape != tuple(before):
                whose = self.name or "a parameter"
                raise ParameterError(f"{whose} was assigned an array of shape {shape}; the parameter has {before}")
        super().__setattr__(name, value)

    @property
    def frozen(self) -> bool:
        """Whether it stays as it is: no gradient reaches it, and no optimizer changes it, by weight decay neither.

        Set it before the optimizer is made: `model.flat` then is another one, without the frozen parameters. It counts
        for the forwards after it: what is unfrozen between a forward and its backward gets no gradient from that.
        """
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = bool(frozen)
        self._requires_grad = not frozen
        if frozen:
            self.grad = None
        Structure.changes += 1

    def zero_grad(self) -> None:
        """Sets the gradient to zero; it stays a view of the flat buffer."""
        if isinstance(self.grad, int | float):
            self.grad = None
        if self.grad is not None:
            wait_for(self.grad)
            self.grad[...] = 0

    @property
    def stored(self) -> Any:
        """The values as the optimizer and checkpoints have them. Whoever writes to them tells `mark_written`."""
        return self.array if self.master is None else self.master

    def writable(self) -> Any:
        """`stored`, to be written to. An array that is read-only, a file's, gives way to a copy of it first."""
        if not getattr(self.array.flags, "writeable", True):  # CuPy has none that are read-only
            self.array = np.array(self.array)
        return self.stored

    def draw(self, seed: int, name: str) -> None:
        """Draws the values from a key of its name's own. Whoever calls it tells `mark_written`."""
        values = self.initializer(RandomKey(seed, "init", site=zlib.crc32(name.encode())), self.shape)
        stored = self.writable()
        stored[...] = on_device_of(stored, values)

    def mark_written(self) -> None:
        """To be called after writing to `stored`: a backward that saved the old values will refuse to run."""
        if self.master is not None:
            self.array[...] = self.master
        self.version.count += 1

    def destination(self) -> Destination | None:
        """As a tensor's; the gradient has the dtype of what is stored, which may be wider than the parameter's."""
        grad = self.grad
        flags = getattr(grad, "flags", None)  # None where a number or a tensor was assigned
        if self._frozen or flags is None or grad.dtype != self.stored.dtype or grad.shape != self.array.shape:
            return None
        if not flags.c_contiguous:
            return None
        wait_for(grad)
        return Destination(grad, add=not self.stale)

    def accumulate_gradient(self, gradient: Any) -> None:
        """As a tensor's; the first gradient, too, has the dtype of what is stored."""
        if self._frozen:  # after the forward
            return
        if self.grad is None:
            self.grad, self.stale = gradient.astype(self.stored.dtype, copy=True), False
        else:
            super().accumulate_gradient(gradient)

    @property
    def initialized(self) -> bool:
        """Whether the array exists."""
        return not isinstance(self.array, ArraySpec)


class View(NamedTuple):
    """A parameter and where its numbers are in the flat arrays."""

    name: str
    parameter: Parameter
    array: Any
    master: Any
    grad: Any


class FlatParameters:
    """All parameters of a model as views into one array, their gradients as views into another.

    The optimizer, clipping and (later) reduction over devices each work on one buffer. Parameters with weight decay
    come first, in the order of their names' first appearance; each is padded to ALIGNMENT elements with zeros.
    Parameters that are frozen have arrays of their own, outside.

    `parameter.array = ...` and `parameter.grad = ...` put other arrays in the place of the views, as people are used to
    from elsewhere. Whoever reads `values` or `gradients` here gets their numbers: they are copied first, and the
    parameters get their views back. Assigning to `values` or `gradients` copies too.

    values, gradients: (N,)
    working:           (N,), what the model computes with: `values` themselves, or their copy in fewer bits
    decayed:           how many leading elements have weight decay
    parameters:        those in the flat arrays, by name
    outside:           the others, by name
    """

    def __init__(
        self, parameters: dict[str, Parameter], policy: DtypePolicy, xp: ModuleType = np, *, gradients: bool = True
    ):
        self.policy, self.version, self.token = policy, Version(), object()
        self._structure: Structure | None = None
        self._copied_alone = False
        size = self._lay_out(parameters)
        mixed = policy.compute != policy.parameters
        for parameter in self.outside.values():
            parameter.array = xp.zeros(parameter.shape, policy.compute)
            parameter.master = xp.zeros(parameter.shape, policy.parameters) if mixed else None
        zeros = xp.zeros(size, policy.gradients) if gradients else None  # (N,)
        self.bind(xp.zeros(size, policy.parameters), zeros)  # (N,), (N,)

    def _lay_out(self, parameters: dict[str, Parameter]) -> int:
        """Gives each parameter its place, or none; returns how many elements there are, N."""
        self.named, self._laid_out_at = parameters, Structure.changes
        for name, parameter in parameters.items():
            parameter.name = name
        by_decay = sorted(parameters.items(), key=lambda item: not item[1].decay)  # a stable sort
        self.parameters = {name: parameter for name, parameter in by_decay if not parameter.frozen}
        self.outside = {name: parameter for name, parameter in parameters.items() if parameter.frozen}
        self.slices: dict[str, slice] = {}
        self.decayed, end = 0, 0
        for name, parameter in self.parameters.items():
            self.slices[name] = slice(end, end + parameter.size)
            end += -(-parameter.size // ALIGNMENT) * ALIGNMENT
            self.decayed = end if parameter.decay else self.decayed
        return end

    def bind(self, values: Any, gradients: Any) -> None:
        """Makes these arrays, (N,) each, the flat ones, and the parameters views into them.

        gradients: None for a model without
        """
        self._values, self._gradients = values, gradients
        copied = self.policy.compute != values.dtype
        self.working = values.astype(self.policy.compute) if copied else values  # (N,)
        self._views = []
        for name, parameter in self.parameters.items():
            shape, here = parameter.shape, self.slices[name]
            parameter.array = self.working[here].reshape(shape)
            parameter.master = values[here].reshape(shape) if copied else None
            parameter.grad = None if gradients is None else gradients[here].reshape(shape)
            parameter._requires_grad = gradients is not None
            parameter.version, parameter.home = self.version, self.token
            self._views.append(View(name, parameter, parameter.array, parameter.master, parameter.grad))
        self._hold_outside()

    def _hold_outside(self) -> None:
        """Makes the parameters outside those of these flat arrays, with the arrays that they have."""
        self._arrays_outside = {name: parameter.array for name, parameter in self.outside.items()}
        for parameter in self.outside.values():
            parameter.home = self.token

    def move_to(self, values: Any, gradients: Any) -> None:
        """As `bind`, after copying into them what there is."""
        values[...], gradients[...] = self.values, self.gradients
        self.bind(values, gradients)

    def replica(self, parameters: dict[str, Parameter]) -> "FlatParameters":
        """The same values under other `Parameter`s of the same names, with gradients of their own."""
        self.collect_values()
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._structure = None
        if self.has_gradients:
            twin._gradients = array_module(self._gradients).zeros_like(self._gradients)
        twin.named = {name: parameters[name] for name in self.named}
        twin.parameters = {name: parameters[name] for name in self.parameters}
        twin.outside = {name: parameters[name] for name in self.outside}
        twin._views = []
        for view in self._views:
            parameter = twin.parameters[view.name]
            parameter.array, parameter.master = view.array, view.master
            if self.has_gradients:
                parameter.grad = twin._gradients[self.slices[view.name]].reshape(parameter.shape)
            twin._views.append(view._replace(parameter=parameter, grad=parameter.grad))
        return twin

    @property
    def values(self) -> Any:
        """All values, (N,). Whoever writes to them tells `mark_written`."""
        self.collect_values()
        return self._values

    @values.setter
    def values(self, values: Any) -> None:
        if values is not self._values:
            require_numbers(values, "the flat values")
            self._values[...] = on_device_of(self._values, values)
        self.mark_written()

    @property
    def gradients(self) -> Any:
        """All gradients, (N,). Raises ParameterError for a model that was made without."""
        self.require_gradients()
        self.collect_gradients()
        return self._gradients

    @gradients.setter
    def gradients(self, gradients: Any) -> None:
        """None stands for zeros, as in a parameter's."""
        if gradients is None:
            self.zero_gradients()
        elif gradients is not self._gradients:
            self.require_gradients()
            require_numbers(gradients, "the flat gradients")
            self._gradients[...] = on_device_of(self._gradients, gradients)

    def collect_values(self) -> None:
        """Takes over the arrays that were assigned to parameters, and gives them their views back.

        Raises ParameterError for an array of another shape. Parameters that are in other flat arrays by now are left.
        """
        for view in self._views:
            parameter = view.parameter
            if parameter.array is view.array or parameter.home is not self.token or parameter.frozen:
                continue
            if parameter.initialized:  # else a dry pass over shapes is under way
                copy_in(view.array if view.master is None else view.master, parameter.array, view.name)
                parameter.array = view.array
                parameter.mark_written()
        self.check_outside()

    def check_outside(self) -> None:
        """Lets arrays stay that were assigned to parameters outside. Raises ParameterError for what does not fit."""
        for name, parameter in self.outside.items():
            if parameter.array is self._arrays_outside[name] or not parameter.initialized:
                continue
            require_fitting(parameter.array, self._arrays_outside[name], name)
            self._arrays_outside[name], parameter.master = parameter.array, None

    def collect_gradients(self) -> None:
        """As `collect_values`, for the gradients; None stands for zeros."""
        wait_for_all()
        for view in self._views:
            parameter = view.parameter
            if parameter.grad is view.grad or parameter.home is not self.token or parameter.frozen:
                continue
            copy_in(view.grad, 0.0 if parameter.grad is None else parameter.grad, f"the gradient of {view.name}")
            parameter.grad = view.grad

    @property
    def has_gradients(self) -> bool:
        """Whether there are gradients: not in a model that was made for inference."""
        return self._gradients is not None

    def require_gradients(self) -> None:
        """Raises ParameterError for a model that was made without gradients."""
        if not self.has_gradients:
            raise ParameterError(
                "these parameters have no gradients: the model was made for inference (by allocate or load with "
                "gradients=False); make it with gradients=True to train it"
            )

    @property
    def layout(self) -> int:
        """A number for which parameters lie where: others of the same total length have another one."""
        return zlib.crc32("\n".join(f"{name} {p.shape}" for name, p in self.parameters.items()).encode())

    def strangers(self) -> list[str]:
        """The names of the parameters that are frozen and in the flat arrays, or outside and not frozen any more."""
        if self._laid_out_at == Structure.changes:
            return []
        found = [name for name, parameter in self.parameters.items() if parameter.frozen]
        found += [name for name, parameter in self.outside.items() if not parameter.frozen]
        if not found:
            self._laid_out_at = Structure.changes
        return found

    def laid_out_again(self) -> "FlatParameters":
        """Other flat arrays with the same numbers, for the parameters that are not frozen now.

        These here are nobody's afterwards, and an optimizer of theirs says so.
        """
        self.collect_values()
        self.collect_gradients()
        made = self._arrays_outside | {view.name: view.array for view in self._views}
        held = {name: (p.array, p.stored, p.grad) for name, p in self.named.items()}
        for name, (array, _, _) in held.items():
            if array is not made[name]:
                require_fitting(array, made[name], name)
        again = FlatParameters(self.named, self.policy, array_module(self._values), gradients=self.has_gradients)
        for name, (array, stored, grad) in held.items():
            parameter = self.named[name]
            if parameter.frozen and array is not made[name]:  # assigned, so it stays
                parameter.array = array
                continue
            parameter.stored[...] = stored
            if parameter.grad is not None and grad is not None:
                parameter.grad[...] = grad
        again.mark_written()
        return again

    def belong_to(self, model: Any) -> None:
        """Says whose parameters these are, so that `settle` can look whether they still are all of them."""
        self._structure, self._copied_alone = Structure(model), False

    def settle(self) -> None:
        """Before an update: takes over what was assigned. Raises ParameterError where the update would be in vain."""
        if self._copied_alone:
            raise ParameterError(
                "these parameters are a copy made without their model, so no model would learn: copy the model (or "
                "both in one tuple), and make its optimizer of its `flat`"
            )
        self.require_gradients()
        elsewhere = [view.name for view in self._views if view.parameter.home is not self.token]
        if elsewhere:
            raise ParameterError(
                f"{some(elsewhere)}: not in these flat arrays any more: initialize() was called again, or for another "
                "module that holds them, or parameters were frozen; make a new optimizer of the `flat` that is there "
                "now"
            )
        if strangers := self.strangers():
            raise ParameterError(
                f"{some(strangers)}: frozen, or not any more, since the optimizer was made; make a new one of the "
                "model's `flat`"
            )
        if not self.parameters:
            raise ParameterError("every parameter is frozen: there is nothing to train")
        newcomers = self._structure.newcomers(self.named.values()) if self._structure is not None else []
        if newcomers:
            raise ParameterError(
                f"{some(newcomers)}: not in these flat arrays, and would not be trained: put into the model after its "
                "initialize(); call that again (it draws all parameters), then make the optimizer"
            )
        self.collect_values()
        self.collect_gradients()

    def __getstate__(self) -> dict[str, Any]:
        """The parameters hold the numbers; a copy makes flat arrays of its own from them."""
        self.collect_values()
        self.collect_gradients()
        whole = all(view.parameter.home is self.token for view in self._views)
        state = {"parameters": self.named, "policy": self.policy, "whole": whole}
        return state | {"gradients": self.has_gradients}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.policy = state["policy"]
        self.version, self.token = Version(), object()
        self._structure, self._copied_alone = None, True
        size = self._lay_out(state["parameters"])
        held = [(name, p.stored, p.grad) for name, p in self.parameters.items()]
        xp = array_module(*(stored for _, stored, _ in held))
        self._values = xp.zeros(size, self.policy.parameters)  # (N,)
        self._gradients = xp.zeros(size, self.policy.gradients) if state["gradients"] else None  # (N,)
        self.working, self._views = self._values, []
        self._hold_outside()
        if not state["whole"]:  # the parameters are at home in other flat arrays
            self._views = [View(name, p, None, None, None) for name, p in self.parameters.items()]
            return
        for name, stored, grad in held:
            self._values[self.slices[name]] = stored.reshape(-1)
            if grad is not None:
                self._gradients[self.slices[name]] = grad.reshape(-1)
        self.bind(self._values, self._gradients)

    def initialize(self, seed: int) -> None:
        """Draws every parameter, each from a key of its own: it does not depend on which others there are."""
        self.check_outside()
        for name, parameter in self.named.items():
            parameter.draw(seed, name)
        self.mark_written()

    def zero_gradients(self) -> None:
        """Sets all gradients to zero."""
        self.gradients.fill(0)  # the property: what was assigned to a parameter is let go

    def hold_undecayed(self) -> None:
        """Sets the gradients of the parameters without weight decay (biases, norm scales) to zero: they stay."""
        self.gradients[self.decayed :] = 0

    @contextmanager
    def fresh_gradients(self) -> Iterator[None]:
        """Inside, a backward replaces the gradients instead of adding to them: two passes over memory less.

        At the end the gradients are those of the backward inside; zero where it brought none.
        """
        self.require_gradients()
        self.collect_gradients()
        for parameter in self.parameters.values():
            parameter.stale = True
        try:
            yield
        finally:
            for parameter in self.parameters.values():
                if parameter.stale:
                    parameter.zero_grad()
                parameter.stale = False

    def mark_written(self, working: bool = False) -> None:
        """To be called after writing to `values`: a backward that saved the old ones will refuse to run.

        working: whether their working copy was written to as well; otherwise it is made anew
        """
        if self.working is not self._values and not working:
            self.working[...] = self._values
        self.version.count += 1
        if not working:
            self.check_outside()
            for parameter in self.outside.values():
                parameter.mark_written()


def copy_in(place: Any, given: Any, name: str) -> None:
    """Copies an array, a tensor or, everywhere, a number into a view. Raises ParameterError for another shape."""
    given = getattr(given, "array", given)
    require_numbers(given, name)
    shape = tuple(np.shape(given))
    if shape not in ((), tuple(place.shape)):
        raise ParameterError(f"{name} was assigned an array of shape {shape}; the parameter has {tuple(place.shape)}")
    place[...] = to_numpy(given) if array_module(place) is np else array_module(place).asarray(given)


def require_fitting(given: Any, before: Any, name: str) -> None:
    """Raises ParameterError for what cannot take the place of a frozen parameter's array and be computed with."""
    kind = array_module(before).ndarray
    if not isinstance(given, kind):
        what = f"{type(given).__module__}.{type(given).__qualname__}"
        raise ParameterError(f"{name} was assigned a {what}; a frozen parameter takes a {kind.__module__}.ndarray")
    if not is_floating(given.dtype):
        raise ParameterError(f"{name} was assigned an array of {given.dtype}; the parameter has {before.dtype}")
    if tuple(given.shape) != tuple(before.shape):
        shapes = f"an array of shape {tuple(given.shape)}; the parameter has {tuple(before.shape)}"
        raise ParameterError(f"{name} was assigned {shapes}")


def require_numbers(given: Any, name: str) -> None:
    """Raises TypeError for what is assigned and holds no real numbers: NumPy makes NaN of None, and half of complex."""
    dtype = given.dtype if hasattr(given, "dtype") else np.asarray(given).dtype
    if dtype.kind not in "biu" and not is_floating(dtype):
        what = given if given is None else f"an array of {dtype}"
        raise TypeError(f"{name} must be real numbers, not {what}")
