"""A tensor: an array, where it came from, and its gradient."""

import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from ..backend import array_module, to_numpy
from ..backend.deferred import raise_deferred
from ..backend.side_work import wait_for, wait_for_all
from ..ops.registry import Destination
from ..ops.shape_rules import ArraySpec, ShapeError, is_floating
from . import names_elsewhere
from .errors import NotInitialized
from .tape import BackwardError, Node, is_recording, walk
from .versions import Version, share, version_of


class Tensor:
    """An array that remembers how it was computed, if a gradient was asked for.

    array:         NumPy or CuPy array (anything else goes through numpy.asarray); the tensor does not copy it
    requires_grad: True for a leaf whose gradient is wanted; needs a floating dtype

    Arrays are not to be written to while a backward needs them. Through a tensor this is watched: `tensor.data` is
    read-only, and `tensor[index] = value` is noticed by the operations that saved the array or a view of it.
    """

    __slots__ = ("__weakref__", "_requires_grad", "array", "grad", "node", "spec_requires_grad", "stale")
    __array_priority__ = 1000  # ndarray + Tensor becomes Tensor.__radd__, not an array of tensors
    __array_ufunc__ = None

    def __init__(self, array: Any, requires_grad: bool = False):
        if isinstance(array, Tensor):
            array = array.array
        self.array: Any = _as_array(array)
        if requires_grad and not is_floating(self.array.dtype):
            raise TypeError(f"requires_grad needs a floating dtype; this tensor is {self.array.dtype}")
        self._requires_grad = requires_grad
        self.spec_requires_grad = False
        self.grad: Any = None
        self.stale = False  # whether the gradient is an old one, which the next one replaces
        self.node: Node | None = None

    def __getattr__(self, name: str) -> NoReturn:  # of what is not there
        raise AttributeError(names_elsewhere.of_method(name), name=name, obj=self)

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient reaches this tensor: a leaf that asked for it, or computed from one."""
        return self._requires_grad or self.node is not None or self.spec_requires_grad

    @property
    def version(self) -> Version:
        """What was written to the array's memory, which its views share."""
        return version_of(self.array)

    @version.setter
    def version(self, version: Version) -> None:
        share(self.array, version)

    @property
    def data(self) -> Any:
        """The array, read-only: write to `array` (CuPy has no read-only arrays: there it is the array itself)."""
        if not isinstance(self.array, np.ndarray):
            return self.array
        view = self.array.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, value: Any) -> NoReturn:
        raise AttributeError("data is read-only: assign to array, or write into it: tensor.array[...] = values")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def T(self) -> "Tensor":
        """The axes reversed."""
        return functions.transpose(self)

    def _require_values(self) -> None:
        """Raises NotInitialized for a shape that stands where an array will be."""
        if isinstance(self.array, ArraySpec):
            raise NotInitialized(self)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array, read-only where they are not copied from a GPU."""
        self._require_values()
        return to_numpy(self.data)

    def item(self) -> float:
        """The value of a tensor of one element, as a Python number."""
        self._require_values()
        value = self.array.item()
        raise_deferred()
        return value

    def tolist(self) -> Any:
        """The values as Python numbers, in lists as deep as there are axes."""
        self._require_values()
        values = self.array.tolist()
        raise_deferred()
        return values

    def detach(self) -> "Tensor":
        """The same array without its history."""
        return Tensor(self.array)

    def backward(self, dy: Any = None, *, on_ready: Callable[["Tensor"], None] | None = None) -> None:
        """Adds to the `.grad` of every leaf the gradient of <dy, this tensor>, and frees the tape on the way.

        dy:       the gradient of this tensor, an array of its shape; may be left out for a scalar, where it is 1
        on_ready: called with each leaf as soon as its gradient is complete

        Raises BackwardError: no gradient was recorded, a second backward, a missing or misshaped dy.
        """
        if not self.requires_grad:
            raise BackwardError(
                "backward: nothing was recorded; no input had requires_grad (parameters that are frozen, or of a model "
                "made with gradients=False, have not), or it ran under no_grad"
            )
        self._require_values()
        dy = self._cotangent(dy)
        if self.node is not None:
            walk(self.node, dy, on_ready)
            wait_for_all()
            return
        self.accumulate_gradient(dy)
        if on_ready:
            on_ready(self)

    def _cotangent(self, dy: Any) -> Any:
        if dy is None:
            if self.size != 1:
                raise BackwardError(
                    f"backward: the tensor has shape {self.shape}, not one element: give dy, an array of that shape"
                )
            dy = 1.0
        dy = dy.array if isinstance(dy, Tensor) else dy
        # A copy: the walk writes to gradients, and dy may be a view of one
        dy = array_module(self.array).array(dy, dtype=self.dtype)
        if dy.ndim == 0 and self.size == 1:
            dy = dy.reshape(self.shape)
        if tuple(dy.shape) != self.shape:
            raise BackwardError(f"backward: dy {tuple(dy.shape)} does not have the tensor's shape {self.shape}")
        return dy

    def accumulate_gradient(self, gradient: Any) -> None:
        """Adds to `.grad`, or replaces a stale one.

        The first gradient is copied: a backward may return the same array for several inputs.
        """
        if self.grad is None:
            self.grad = array_module(self.array).array(gradient, dtype=self.dtype)
        else:
            wait_for(self.grad)
            self._require_fitting_grad()
            if self.stale:
                self.grad[...] = gradient
            else:
                self.grad += gradient
        self.stale = False

    def _require_fitting_grad(self) -> None:
        """Makes what was assigned to `.grad` an array to add to. Raises BackwardError where it is no gradient."""
        given = self.grad.array if isinstance(self.grad, Tensor) else self.grad
        given = given if hasattr(given, "dtype") else np.asarray(given)
        if given.dtype.kind not in "biu" and not is_floating(given.dtype):
            raise BackwardError(f"backward: .grad was assigned {given.dtype}, but a gradient is of real numbers")
        if tuple(given.shape) not in ((), self.shape):
            raise BackwardError(
                f"backward: .grad was assigned an array of shape {tuple(given.shape)}; the tensor has {self.shape}"
            )
        if not is_floating(given.dtype) or tuple(given.shape) != self.shape:
            xp, dtype = array_module(self.array), getattr(self, "stored", self.array).dtype
            given = xp.zeros(self.shape, dtype) + xp.asarray(given, dtype=dtype)
        self.grad = given

    def destination(self) -> Destination | None:
        """Where a backward may put this leaf's gradient itself; None: it is to be handed to `accumulate_gradient`."""
        grad = self.grad
        flags = getattr(grad, "flags", None)  # None where a number or a tensor was assigned
        if flags is None or grad.dtype != self.array.dtype or not flags.c_contiguous or grad.shape != self.array.shape:
            return None
        wait_for(grad)
        return Destination(grad, add=not self.stale)

    def receive(self, gradient: Any) -> None:
        """Takes a gradient from the tape; None: the backward has put it into the `destination` already."""
        if gradient is None:
            self.stale = False
        else:
            self.accumulate_gradient(gradient)

    def zero_grad(self) -> None:
        """Forgets the gradient."""
        self.grad = None

    def retain_grad(self) -> None:
        """Keeps the gradient of a computed tensor in its `.grad` when the tape is walked."""
        if self.node is not None:
            self.node.retained = self

    def __setitem__(self, index: Any, value: Any) -> None:
        """Writes into a leaf's array. A backward that saved it, or a view of it, will refuse to run."""
        self._require_values()
        if self.node is not None:
            raise BackwardError(f"{self.node.operation}'s output cannot be written to: the tape would not know of it")
        if isinstance(value, Tensor):
            if value.requires_grad and is_recording():
                raise BackwardError(
                    "a write passes no gradient on to what is written: write its detach(), or under no_grad(), or join "
                    "tensors by where, stack or concatenate"
                )
            value = value.array
        operands.refuse_tensors_in(value)
        self.array[plain_index(index)] = value
        self.version.mark(self.array)

    def __repr__(self) -> str:
        if isinstance(self.array, ArraySpec):
            return f"Tensor(shape={self.shape}, dtype={self.dtype})"
        values = np.array2string(to_numpy(self.array), precision=4, threshold=20, prefix="Tensor(")
        note = f", from={self.node.operation}" if self.node else ", requires_grad=True" if self._requires_grad else ""
        return f"Tensor({values}, dtype={self.dtype}{note})"

    def __len__(self) -> int:
        self._require_values()
        return len(self.array)

    def __iter__(self) -> Iterator["Tensor"]:
        """Along the first axis."""
        if self.ndim == 0:
            raise TypeError("a tensor without axes cannot be iterated over")
        return (self[number] for number in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        equal = self == value
        return isinstance(equal, Tensor) and bool(equal.any())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The values, read-only where they are not copied. They know nothing of gradients."""
        values = self.numpy()
        if copy is False and dtype is not None and values.dtype != dtype:
            raise ValueError(f"no array of {np.dtype(dtype)} without a copy: the tensor is {values.dtype}")
        return np.array(values, dtype=dtype) if copy else np.asarray(values, dtype=dtype)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return numpy_functions.call(function, args, kwargs)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"a tensor of {self.size} elements is neither true nor false: take its any() or all()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._only_element())

    def __int__(self) -> int:
        return int(self._only_element())

    def __index__(self) -> int:
        self._require_values()
        return operator.index(self.array)

    def _only_element(self) -> Any:
        if self.size != 1:
            raise TypeError(f"only a tensor of one element is a number; this one is {self.shape}")
        return self.item()

    def __format__(self, spec: str) -> str:
        if not spec and (self.ndim or isinstance(self.array, ArraySpec)):
            return str(self)
        if self.size != 1:
            raise TypeError(f"a tensor of shape {self.shape} has no format {spec!r}; a single number has")
        return format(self.item(), spec)

    def __copy__(self) -> "Tensor":
        """Another tensor around the same array, with the same history; the gradient of a leaf is its own."""
        twin = object.__new__(type(self))
        for name in _slots(type(self)):
            setattr(twin, name, getattr(self, name))
        twin.grad = copy.copy(self.grad)
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For deep copies and pickles. A computed tensor has none: its tape would be copied, and the leaves on it."""
        if self.node is not None:
            raise BackwardError(
                f"{self.node.operation}'s output cannot be copied or pickled, for its history cannot: copy its detach()"
            )
        return super().__reduce_ex__(protocol)

    def __hash__(self) -> int:
        return id(self)  # tensors are told apart by which they are; == compares their elements

    def __eq__(self, other: Any) -> Any:
        return self._compared(operator.eq, other)

    def __ne__(self, other: Any) -> Any:
        return self._compared(operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._compared(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._compared(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._compared(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._compared(operator.ge, other)

    def _compared(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        """A tensor of bools, which has no gradient; for what is no number, left to Python."""
        if other is None or isinstance(other, str | bytes | dict | set | frozenset):
            return NotImplemented
        self._require_values()
        if type(other) not in (bool, int, float):  # for those NumPy knows that 300 is more than any uint8
            other = operands.settle({"a": self, "b": other})["b"]
        other = other.array if isinstance(other, Tensor) else other
        try:
            return Tensor(compare(self.array, other))
        except ValueError:
            raise ShapeError(f"a comparison of {self.shape} with {np.shape(other)}: they do not broadcast") from None

    def __and__(self, other):
        return self._combined(operator.and_, other)

    def __or__(self, other):
        return self._combined(operator.or_, other)

    def __xor__(self, other):
        return self._combined(operator.xor, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def _combined(self, combine: Callable[[Any, Any], Any], other: Any) -> "Tensor":
        self._require_values()
        return Tensor(combine(self.array, plain_index(other)))

    def __invert__(self):
        self._require_values()
        return Tensor(~self.array)

    def all(self, axis=None, keepdims=False) -> "Tensor":
        """Whether all elements along the axes are true (not 0)."""
        self._require_values()
        return Tensor(self.array.all(axis=plain_axis(axis), keepdims=keepdims))

    def any(self, axis=None, keepdims=False) -> "Tensor":
        """Whether any element along the axes is true (not 0)."""
        self._require_values()
        return Tensor(self.array.any(axis=plain_axis(axis), keepdims=keepdims))

    def __add__(self, other):
        return functions.add(self, other)

    def __radd__(self, other):
        return functions.add(other, self)

    def __sub__(self, other):
        return functions.subtract(self, other)

    def __rsub__(self, other):
        return functions.subtract(other, self)

    def __mul__(self, other):
        return functions.multiply(self, other)

    def __rmul__(self, other):
        return functions.multiply(other, self)

    def __truediv__(self, other):
        return functions.divide(self, other)

    def __rtruediv__(self, other):
        return functions.divide(other, self)

    def __pow__(self, exponent):
        return functions.power(self, exponent)

    def __rpow__(self, base):
        return functions.power(base, self)

    def __matmul__(self, other):
        return functions.matmul(self, other)

    def __rmatmul__(self, other):
        return functions.matmul(other, self)

    def __neg__(self):
        return functions.negative(self)

    def __abs__(self):
        raise TypeError(names_elsewhere.of_method("abs"))

    def __getitem__(self, index):
        return functions.index(self, plain_index(index))

    def sum(self, axis=None, keepdims=False) -> "Tensor":
        """Sum over `axis`: None (all), an int or several."""
        return functions.sum(self, axis=plain_axis(axis), keepdims=keepdims)

    def mean(self, axis=None, keepdims=False) -> "Tensor":
        """Mean over `axis`: None (all), an int or several."""
        return functions.mean(self, axis=plain_axis(axis), keepdims=keepdims)

    def max(self, axis=None, keepdims=False) -> "Tensor":
        """Largest value over `axis`; ties share the gradient equally."""
        return functions.max(self, axis=plain_axis(axis), keepdims=keepdims)

    def reshape(self, *shape) -> "Tensor":
        """The same values in another shape; one size may be -1."""
        return functions.reshape(self, _given_in_one(shape))

    def transpose(self, *axes) -> "Tensor":
        """The axes in another order; without arguments, reversed."""
        return functions.transpose(self, None if not axes or axes[0] is None else _given_in_one(axes))

    def exp(self) -> "Tensor":
        """e to the power of each element."""
        return functions.exp(self)

    def log(self) -> "Tensor":
        """The natural logarithm of each element."""
        return functions.log(self)

    def sqrt(self) -> "Tensor":
        """The square root of each element."""
        return functions.sqrt(self)

    def tanh(self) -> "Tensor":
        """The hyperbolic tangent of each element."""
        return functions.tanh(self)


def _slots(kind: type) -> list[str]:
    """The names of what a tensor of this class has."""
    slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    return [name for name in slots if name != "__weakref__"]


def _as_array(value: Any) -> Any:
    """Arrays of NumPy and CuPy, and specs, as they are; lists, numbers and NumPy's scalars as NumPy arrays."""
    if hasattr(value, "dtype") and not isinstance(value, np.generic):
        return value
    operands.refuse_tensors_in(value)
    return np.asarray(value)


def plain_index(index: Any) -> Any:
    """An index without tensors: with their arrays."""
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    return index.array if isinstance(index, Tensor) else index


def plain_axis(axis: Any) -> Any:
    """A list of axes as a tuple."""
    return tuple(axis) if isinstance(axis, list) else axis


def _given_in_one(numbers: tuple) -> tuple:
    """Numbers given one by one, or all in one tuple or list."""
    return tuple(numbers[0]) if len(numbers) == 1 and np.ndim(numbers[0]) else numbers


# At the end: they are made of tensors, and a tensor's operators of them
from . import functions, numpy_functions, operands  # noqa: E402
