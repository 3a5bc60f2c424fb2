"""A module: parameters and other modules under dotted names, and a forward."""

import copy
import html
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from ..autograd import Tensor, is_tracing, trace_module
from ..autograd.recompute import recompute
from ..backend import DtypePolicy, as_policy, library_of, on_device_of, to_numpy
from ..ops import ArraySpec, ShapeError
from . import names_elsewhere
from .errors import NotInitialized, ParameterError
from .misfits import Misfits
from .parameter import FlatParameters, Parameter, require_numbers
from .structure import Structure, items_in
from .summary import module_table


class _Observer(threading.local):
    callback: Callable[["Module", Any], None] | None = None


_observer = _Observer()


@contextmanager
def observe_outputs(callback: Callable[["Module", Any], None]) -> Iterator[None]:
    """Inside, `callback(module, output)` is called after every module's forward. Per thread."""
    before, _observer.callback = _observer.callback, callback
    try:
        yield
    finally:
        _observer.callback = before


class Module:
    """Base of all layers and models.

    Assign parameters and modules, or lists and dicts of them, to attributes; define `forward`. An attribute's name is
    its part of the dotted name: `blocks.0.attention.qkv.weight`. A parameter reachable under two names (tied weights)
    is one parameter, under the name that comes first.

    Construction makes shapes only; `allocate` makes the arrays, `initialize` draws them too. A deep copy
    or a pickle of a model is a model of its own, with flat arrays of its own.
    """

    attribute_name = ""  # under which the parent holds this module; "" at the root
    recompute_activations = False  # True: keep only the inputs, run the forward again in the backward
    _ready_at = -1  # `Structure.changes` when all arrays were found to be there

    @property
    def flat(self) -> FlatParameters:
        """The flat arrays; others after parameters were frozen, or not any more. Raises NotInitialized before."""
        flat = vars(self).get("flat")
        if flat is None:
            raise AttributeError("flat")  # upon which Python asks __getattr__
        if flat.strangers() and not self._missing_arrays():
            flat = self.__dict__["flat"] = flat.laid_out_again()
            flat.belong_to(self)
        return flat

    @flat.setter
    def flat(self, flat: FlatParameters) -> None:
        self.__dict__["flat"] = flat

    def __setattr__(self, name: str, value: Any) -> None:
        self._require_part(name, value)
        parts = [(part, item) for part, item in items_in(name, value) if isinstance(item, Module | Tensor)]
        for part, item in parts:
            if isinstance(item, Module):
                item.__dict__["attribute_name"] = part
            else:
                _require_trained(part, item)
        super().__setattr__(name, value)
        if parts:
            Structure.changes += 1

    def __getattr__(self, name: str) -> Any:  # of what is not there
        if name == "flat":
            missing = self._missing_arrays()
            if not missing:
                raise AttributeError(
                    f"{self.attribute_name}: this {type(self).__name__} has no flat arrays: it is a part of a model "
                    "that has, or a copy of such a part"
                )
            raise self._not_initialized(missing)
        hint = names_elsewhere.of_module(name)
        raise AttributeError(hint or f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def _require_part(self, name: str, value: Any) -> None:
        """Raises ParameterError for numbers in the place of a parameter or a module, which would be lost with it."""
        before = vars(self).get(name)
        if not isinstance(before, Parameter | Module) or isinstance(value, Parameter | Module):
            return
        if not (isinstance(value, Tensor | int | float | list | tuple) or hasattr(value, "dtype")):
            return
        dotted = ".".join(part for part in (self.attribute_name, name) if part)
        if isinstance(before, Module):
            raise ParameterError(f"{dotted} is a module, not an array: put numbers into the arrays of its parameters")
        raise ParameterError(
            f"{dotted} is a parameter, not an array: write {dotted}.array[...] = values (or .array = values)"
        )

    def __getstate__(self) -> dict[str, Any]:
        if "flat" in vars(self):  # before the parameters are copied, which happens first
            self.flat.collect_values()
            self.flat.collect_gradients()
        return dict(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_ready_at"] = -1
        if "flat" in state:
            self.flat.belong_to(self)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """What the module computes; defined by each module."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        try:
            tracing = is_tracing()
            if not tracing and self._ready_at != Structure.changes:
                self._check_arrays(args, kwargs)
            if not tracing and "flat" in self.__dict__:
                self.__dict__["flat"].check_outside()
            if tracing:
                out = self._trace(*args, **kwargs)
            elif self.recompute_activations:
                out = recompute(self.forward, *args, parameters=list(self.named_parameters().values()), **kwargs)
            else:
                out = self.forward(*args, **kwargs)
        except ShapeError as error:
            error.inside(self.attribute_name)
            raise
        if _observer.callback is not None:
            _observer.callback(self, out)
        return out

    def _trace(self, *args: Any, **kwargs: Any) -> Tensor:
        """The forward of a dry pass over shapes."""
        self.check_sizes()
        with trace_module(self.attribute_name):
            return self.forward(*args, **kwargs)

    def _check_arrays(self, args: tuple, kwargs: dict[str, Any]) -> None:
        """Raises NotInitialized for a call with arrays before there are parameters. With specs it is a dry pass."""
        missing = self._missing_arrays()
        if not missing:
            if "flat" in vars(self):
                _ = self.flat  # which is laid out again if parameters were frozen; what was assigned is not taken over
            self.__dict__["_ready_at"] = Structure.changes
        elif not any(isinstance(getattr(value, "array", value), ArraySpec) for value in (*args, *kwargs.values())):
            raise self._not_initialized(missing)

    def _missing_arrays(self) -> list[str]:
        return [name for name, parameter in self.named_parameters().items() if not parameter.initialized]

    def _not_initialized(self, missing: list[str]) -> NotInitialized:
        none_is_there = len(missing) == len(self.named_parameters())
        return NotInitialized(self, self.attribute_name, () if none_is_there else missing)

    def _settled_parameters(self) -> dict[str, Parameter]:
        """All parameters by dotted name, with what was assigned to them taken over. Raises NotInitialized."""
        if "flat" in vars(self):
            self.flat.collect_values()
        missing = self._missing_arrays()
        if missing:
            raise self._not_initialized(missing)
        return self.named_parameters()

    def check_sizes(self) -> None:
        """Raises ShapeError where the module's own sizes do not fit together. Called in dry passes over shapes."""

    def children(self) -> dict[str, "Module"]:
        """The modules directly inside, by their part of the dotted name."""
        return dict(pair for pair in self._items() if isinstance(pair[1], Module))

    def _items(self) -> Iterator[tuple[str, Any]]:
        """What the attributes hold, by its part of the dotted name."""
        for name, value in vars(self).items():
            yield from items_in(name, value)

    def named_modules(self, prefix: str = "") -> dict[str, "Module"]:
        """This module and all inside it, by dotted name; the root's is ""."""
        modules = {prefix: self}
        for name, child in self.children().items():
            modules |= child.named_modules(f"{prefix}.{name}" if prefix else name)
        return modules

    def named_parameters(self) -> dict[str, Parameter]:
        """All parameters by dotted name, each once."""
        parameters: dict[str, Parameter] = {}
        seen: set[int] = set()
        for prefix, module in self.named_modules().items():
            for name, value in module._items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    parameters[f"{prefix}.{name}" if prefix else name] = value
        return parameters

    def all_names(self) -> dict[str, str]:
        """Every dotted name of every parameter, with the one under which it is in `named_parameters`."""
        first = {id(parameter): name for name, parameter in self.named_parameters().items()}
        return {
            (f"{prefix}.{name}" if prefix else name): first[id(value)]
            for prefix, module in self.named_modules().items()
            for name, value in module._items()
            if isinstance(value, Parameter)
        }

    def parameter_count(self) -> int:
        """The number of numbers in all parameters, tied ones counted once."""
        return sum(parameter.size for parameter in self.named_parameters().values())

    def allocate(self, policy: DtypePolicy | str | None = None, device: str = "cpu", gradients: bool = True) -> Self:
        """Makes the arrays on a device, "cpu" or "cuda", zeros and not drawn: for weights that are read from somewhere.

        policy:    the dtypes, or the name of one that is to be everywhere; default: float32
        gradients: False: for inference; there is no memory for gradients then, and nothing is kept for a backward

        Returns the module itself.
        """
        policy = as_policy(policy)
        self.flat = FlatParameters(self.named_parameters(), policy, library_of(device), gradients=gradients)
        self.flat.belong_to(self)
        for name, module in self.named_modules().items():
            if module is not self:
                module.__dict__.pop("flat", None)  # it had arrays of its own once; they are nobody's now
            module.name_random_site(zlib.crc32(name.encode()))
        return self

    def initialize(self, seed: int = 0, policy: DtypePolicy | str | None = None, device: str = "cpu") -> Self:
        """Makes the arrays and draws the parameters: the same draws on every device. Returns the module itself."""
        self.allocate(policy, device)
        self.flat.initialize(seed)
        return self

    def freeze(self) -> Self:
        """Freezes all parameters inside: see `Parameter.frozen`. Returns the module itself."""
        for parameter in self.named_parameters().values():
            parameter.frozen = True
        return self

    def unfreeze(self) -> Self:
        """The opposite of `freeze`."""
        for parameter in self.named_parameters().values():
            parameter.frozen = False
        return self

    def zero_gradients(self) -> None:
        """Sets the gradients of all parameters to zero."""
        self.flat.zero_gradients()

    def replica(self) -> "Module":
        """A second model over the same values with gradients of its own, for a thread that works beside this one."""
        twins: dict[int, Parameter] = {}
        twin = _copy_tree(self, twins)
        self.flat.belong_to(self)  # and not to the copies of its modules, which said so on their way
        twin.flat = self.flat.replica(twin.named_parameters())
        self.flat.belong_to(self)  # a copy takes the flat arrays that it was copied with for its own
        return twin

    def name_random_site(self, site: int) -> None:
        """Tells a module that draws random numbers which site is its own. Others need not know."""

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters as NumPy arrays, by dotted name."""
        return {name: to_numpy(p.stored).copy() for name, p in self._settled_parameters().items()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Writes the parameters. Raises ValueError, which names all that is missing, unexpected or of another shape."""
        parameters = self._settled_parameters()
        for name in parameters.keys() & state.keys():
            require_numbers(state[name], name)
        misfits = Misfits(
            missing=[name for name in parameters if name not in state],
            unexpected=[name for name in state if name not in parameters],
            misshapen=[
                (name, tuple(np.shape(state[name])), parameter.shape)
                for name, parameter in parameters.items()
                if name in state and tuple(np.shape(state[name])) != parameter.shape
            ],
        )
        if misfits:
            raise ValueError(f"the weights do not fit this {type(self).__name__}: {misfits}")
        for name, parameter in parameters.items():
            stored = parameter.writable()
            stored[...] = on_device_of(stored, state[name])
            parameter.mark_written()

    def __str__(self) -> str:
        return module_table(self)

    def __repr__(self) -> str:
        missing = "; no arrays yet" if self._missing_arrays() else ""
        return f"{type(self).__name__}({self.parameter_count():,} parameters{missing})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the table."""
        return f"<pre>{html.escape(str(self))}</pre>"


def _copy_tree(value: Any, twins: dict[int, Parameter]) -> Any:
    """Modules and what holds them copied, parameters replaced by twins that share the array; all else shared."""
    if isinstance(value, Parameter):
        if id(value) not in twins:
            twins[id(value)] = copy.copy(value)
        return twins[id(value)]
    if not any(isinstance(item, Module | Parameter) for _, item in items_in("", value)):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_copy_tree(item, twins) for item in value)
    if isinstance(value, dict):
        return {key: _copy_tree(item, twins) for key, item in value.items()}
    twin = copy.copy(value)
    for name, item in vars(value).items():
        twin.__dict__[name] = _copy_tree(item, twins)
    return twin


def _require_trained(name: str, tensor: Tensor) -> None:
    """Raises TypeError for a leaf that waits for a gradient and is no parameter: no optimizer would know of it."""
    if tensor.requires_grad and tensor.node is None and not isinstance(tensor, Parameter):
        raise TypeError(
            f"{name}: a tensor with requires_grad is no parameter, and would not be trained: assign "
            "Parameter(shape, initializer, decay=...), or the tensor's detach()"
        )
