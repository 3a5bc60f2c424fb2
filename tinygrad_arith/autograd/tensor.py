"""A tensor: an array, where it came from, and its gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..ops.registry import Destination
from ..ops.shapes import ArraySpec
from .tape import BackwardError, Node, Version, walk


class Tensor:
    """An array that remembers how it was computed, if a gradient was asked for.

    array:         NumPy or CuPy array (anything else goes through numpy.asarray); the tensor does not copy it
    requires_grad: True for a leaf whose gradient is wanted; needs a floating dtype

    Arrays are not to be written to while a backward needs them. Through a tensor this is watched: `tensor.data` is
    read-only, and `tensor[index] = value` is noticed by the operations that saved the array.
    """

    __slots__ = ("__weakref__", "_requires_grad", "array", "grad", "node", "spec_requires_grad", "stale", "version")
    __array_priority__ = 1000  # ndarray + Tensor becomes Tensor.__radd__, not an array of tensors
    __array_ufunc__ = None

    def __init__(self, array: Any, requires_grad: bool = False):
        if isinstance(array, Tensor):
            array = array.array
        self.array: Any = _as_array(array)
        if requires_grad and self.array.dtype.kind != "f":
            raise TypeError(f"requires_grad needs a floating dtype; this tensor is {self.array.dtype}")
        self._requires_grad = requires_grad
        self.spec_requires_grad = False
        self.grad: Any = None
        self.stale = False  # whether the gradient is an old one, which the next one replaces
        self.node: Node | None = None
        self.version = Version()

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient reaches this tensor: a leaf that asked for it, or computed from one."""
        return self._requires_grad or self.node is not None or self.spec_requires_grad

    @property
    def data(self) -> Any:
        """The array, read-only (CuPy has no read-only arrays: there it is the array itself)."""
        if not isinstance(self.array, np.ndarray):
            return self.array
        view = self.array.view()
        view.flags.writeable = False
        return view

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

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array, read-only where they are not copied from a GPU."""
        return to_numpy(self.data)

    def item(self) -> float:
        """The value of a tensor of one element, as a Python number."""
        return self.array.item()

    def detach(self) -> "Tensor":
        """The same array without its history."""
        out = Tensor(self.array)
        out.version = self.version
        return out

    def backward(self, dy: Any = None, *, on_ready: Callable[["Tensor"], None] | None = None) -> None:
        """Adds to the `.grad` of every leaf the gradient of <dy, this tensor>, and frees the tape on the way.

        dy:       the cotangent, an array of this tensor's shape; may be left out for a scalar, where it is 1
        on_ready: called with each leaf as soon as its gradient is complete

        Raises BackwardError: no gradient was recorded, a second backward, a missing or misshaped dy.
        """
        if not self.requires_grad:
            raise BackwardError("backward: nothing was recorded; no input had requires_grad, or it ran under no_grad")
        dy = self._cotangent(dy)
        if self.node is None:
            self.accumulate_gradient(dy)
        else:
            walk(self.node, dy, on_ready)

    def _cotangent(self, dy: Any) -> Any:
        if dy is None:
            if self.size != 1:
                raise BackwardError(
                    f"backward: the tensor has shape {self.shape}, not one element: give dy, an array of that shape"
                )
            dy = 1.0
        dy = dy.array if isinstance(dy, Tensor) else dy
        if np.shape(dy) == () and self.size == 1:
            return self.array.dtype.type(1.0) * _like(dy, self.array).reshape(self.shape)
        dy = _like(dy, self.array)
        if tuple(dy.shape) != self.shape:
            raise BackwardError(f"backward: dy {tuple(dy.shape)} does not have the tensor's shape {self.shape}")
        return dy

    def accumulate_gradient(self, gradient: Any) -> None:
        """Adds to `.grad`, or replaces a stale one.

        The first gradient is copied: a backward may hand the same array to several inputs.
        """
        if self.grad is None:
            self.grad = gradient.astype(self.dtype, copy=True)
        elif self.stale:
            self.grad[...] = gradient
        else:
            self.grad += gradient
        self.stale = False

    def destination(self) -> Destination | None:
        """Where a backward may put this leaf's gradient itself; None: it is to be handed to `accumulate_gradient`."""
        grad = self.grad
        if grad is None or grad.dtype != self.array.dtype or not grad.flags.c_contiguous:
            return None
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
        """Writes into a leaf's array. A backward that saved it will refuse to run."""
        if self.node is not None:
            raise BackwardError(f"{self.node.operation}'s output cannot be written to: the tape would not know of it")
        self.array[index] = value.array if isinstance(value, Tensor) else value
        self.version.count += 1

    def __repr__(self) -> str:
        if isinstance(self.array, ArraySpec):
            return f"Tensor(shape={self.shape}, dtype={self.dtype})"
        values = np.array2string(to_numpy(self.array), precision=4, threshold=20, prefix="Tensor(")
        note = f", from={self.node.operation}" if self.node else ", requires_grad=True" if self._requires_grad else ""
        return f"Tensor({values}, dtype={self.dtype}{note})"

    def __len__(self) -> int:
        return len(self.array)

    def __add__(self, other):
        return functions.add(self, _operand(other, self))

    def __radd__(self, other):
        return functions.add(_operand(other, self), self)

    def __sub__(self, other):
        return functions.subtract(self, _operand(other, self))

    def __rsub__(self, other):
        return functions.subtract(_operand(other, self), self)

    def __mul__(self, other):
        return functions.multiply(self, _operand(other, self))

    def __rmul__(self, other):
        return functions.multiply(_operand(other, self), self)

    def __truediv__(self, other):
        return functions.divide(self, _operand(other, self))

    def __rtruediv__(self, other):
        return functions.divide(_operand(other, self), self)

    def __pow__(self, exponent: float):
        return functions.power(self, exponent)

    def __matmul__(self, other):
        return functions.matmul(self, _operand(other, self))

    def __rmatmul__(self, other):
        return functions.matmul(_operand(other, self), self)

    def __neg__(self):
        return functions.negative(self)

    def __getitem__(self, index):
        return functions.index(self, index.array if isinstance(index, Tensor) else index)

    def sum(self, axis=None, keepdims=False) -> "Tensor":
        """Sum over `axis`: None (all), an int or a tuple."""
        return functions.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis=None, keepdims=False) -> "Tensor":
        """Mean over `axis`: None (all), an int or a tuple."""
        return functions.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis=None, keepdims=False) -> "Tensor":
        """Largest value over `axis`; ties share the gradient equally."""
        return functions.max(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape) -> "Tensor":
        """The same values in another shape; one size may be -1."""
        return functions.reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape)

    def transpose(self, *axes) -> "Tensor":
        """The axes in another order; without arguments, reversed."""
        return functions.transpose(self, axes or None)

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


def _as_array(value: Any) -> Any:
    """Arrays of NumPy and CuPy, and specs, as they are; lists, numbers and NumPy's scalars as NumPy arrays."""
    is_array = hasattr(value, "dtype") and not isinstance(value, np.generic)
    return value if is_array else np.asarray(value)


def _like(value: Any, array: Any) -> Any:
    """`value` as an array of the dtype and on the device of `array`."""
    from ..backend import array_module

    return array_module(array).asarray(value, dtype=array.dtype)


def _operand(value: Any, other: Tensor) -> Any:
    """The other side of an operator: plain numbers take this side's dtype, so that they never widen it."""
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return value
    dtype = other.dtype if np.asarray(value).ndim == 0 else None
    return np.asarray(value, dtype=dtype)[()]  # of a number a NumPy scalar, which CuPy takes too


from . import functions  # noqa: E402  (at the end: functions are made of tensors, and a tensor's operators of functions)
