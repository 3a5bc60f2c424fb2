"""Ways to be wrong that need to know nothing of the function: each makes a wrong backward of a right one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .problem import Backward, Problem, as_tuple

Fault = tuple[str, str, Backward]  # its kind, what was done in words, the wrong backward


def changed(problem: Problem, position: int, change: Callable[[np.ndarray], np.ndarray]) -> Backward:
    """One input's gradient changed."""

    def backward(dy, cache):
        gradients = [np.array(g, dtype=np.float64) for g in as_tuple(problem.backward(dy, cache))]
        gradients[position] = change(gradients[position])
        return tuple(gradients) if len(gradients) > 1 else gradients[0]

    return backward


def _position(problem: Problem, rng) -> int:
    return int(rng.integers(len(problem.arrays)))


def _factor(rng) -> float:
    """1 plus or minus 0.1 % to 100 %."""
    return 1.0 + float(10 ** rng.uniform(-3, 0) * rng.choice((-1.0, 1.0)))


def _with_entry(index: int, value: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], np.ndarray]:
    def change(gradient):
        gradient.flat[index] = value(gradient)
        return gradient

    return change


def one_element(problem: Problem, rng, sizes) -> Fault:
    """One random element off by 0.1 % to 100 % of itself."""
    position, factor = _position(problem, rng), _factor(rng)
    index = int(rng.choice(np.flatnonzero(sizes[position])))
    words = f"element {index} of input {position} times {factor:.5g}"
    return "one element", words, changed(problem, position, _with_entry(index, lambda g: g.flat[index] * factor))


def all_elements(problem: Problem, rng, sizes) -> Fault:
    """One input's gradient off by 0.1 % to 100 %."""
    position, factor = _position(problem, rng), _factor(rng)
    return "all elements", f"input {position} times {factor:.5g}", changed(problem, position, lambda g: g * factor)


def dropped(problem: Problem, rng, sizes) -> Fault:
    """One random element zero."""
    position = _position(problem, rng)
    index = int(rng.choice(np.flatnonzero(sizes[position])))
    change = _with_entry(index, lambda g: 0.0)
    return "one dropped", f"element {index} of input {position} dropped", changed(problem, position, change)


def sign(problem: Problem, rng, sizes) -> Fault:
    """All of one input's gradient, or one element of it, with the wrong sign."""
    position = _position(problem, rng)
    if rng.random() < 0.5:
        return "sign", f"input {position} with the wrong sign", changed(problem, position, np.negative)
    index = int(rng.choice(np.flatnonzero(sizes[position])))
    change = _with_entry(index, lambda g: -g.flat[index])
    return "sign", f"element {index} of input {position} with the wrong sign", changed(problem, position, change)


def reordered(problem: Problem, rng, sizes) -> Fault | None:
    """The elements in the opposite order along the last axis."""
    position = _position(problem, rng)
    if problem.arrays[position].ndim == 0:
        return None
    return "structure", f"input {position} reversed", changed(problem, position, lambda g: g[..., ::-1].copy())


def leaked(problem: Problem, rng, sizes) -> Fault | None:
    """An element that nothing depends on gets 0.1 % to 100 % of the largest entry."""
    position = _position(problem, rng)
    zeros = np.flatnonzero(sizes[position] == 0)
    if not zeros.size:
        return None
    index, share = int(rng.choice(zeros)), float(10 ** rng.uniform(-3, 0))
    change = _with_entry(index, lambda g: share * np.abs(g).max())
    return (
        "leak",
        f"element {index} of input {position}, truly 0, gets {share:.3g} of the largest",
        changed(problem, position, change),
    )


def output_forgotten(problem: Problem, rng, sizes) -> Fault | None:
    """One of several outputs does not reach the gradient."""
    out = problem.forward(*problem.arrays)[0]
    if not isinstance(out, tuple):
        return None
    forgotten = int(rng.integers(len(out)))

    def backward(dy, cache):
        kept = tuple(np.zeros_like(d) if k == forgotten else d for k, d in enumerate(dy))
        return problem.backward(kept, cache)

    return "output forgotten", f"output {forgotten} forgotten", backward


def output_off(problem: Problem, rng, sizes) -> Fault | None:
    """What one of several outputs adds to the gradient is off by 0.1 % to 100 % of itself."""
    out = problem.forward(*problem.arrays)[0]
    if not isinstance(out, tuple):
        return None
    number, factor = int(rng.integers(len(out))), _factor(rng)

    def backward(dy, cache):
        return problem.backward(tuple(factor * d if k == number else d for k, d in enumerate(dy)), cache)

    return "output off", f"output {number} times {factor:.5g}", backward


def gradient_forgotten(problem: Problem, rng, sizes) -> Fault | None:
    """One of several gradients is zero."""
    if len(problem.arrays) == 1:
        return None
    position = _position(problem, rng)
    return "structure", f"the gradient of input {position} is zero", changed(problem, position, np.zeros_like)


def _of_cotangent(problem: Problem, change: Callable[[np.ndarray], np.ndarray]) -> Backward | None:
    """The cotangent bent on its way; None where there is too little of it for that to show."""
    if sum(out.size for out in problem.outputs(*problem.arrays)) < 5:
        return None
    return lambda dy, cache: problem.backward(tuple(map(change, dy)) if isinstance(dy, tuple) else change(dy), cache)


BENDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dy clipped to [-2, 2]": lambda dy: np.clip(dy, -2.0, 2.0),
    "dy clipped to [-1, 1]": lambda dy: np.clip(dy, -1.0, 1.0),
    "dy below 0.4 ignored": lambda dy: np.where(np.abs(dy) < 0.4, 0.0, dy),
    "|dy| for dy": np.abs,
    "dy |dy| for dy": lambda dy: dy * np.abs(dy),
    "the sign of dy for dy": np.sign,
    "dy in the opposite order": lambda dy: dy.ravel()[::-1].reshape(dy.shape).copy(),
    "the mean of dy for dy": lambda dy: np.full(dy.shape, dy.mean()),
}


def bent(problem: Problem, rng, sizes) -> Fault | None:
    """The cotangent is not taken as it is."""
    name = list(BENDS)[rng.integers(len(BENDS))]
    backward = _of_cotangent(problem, BENDS[name])
    return backward and ("cotangent bent", name, backward)


def its_own(problem: Problem, rng, sizes) -> Fault | None:
    """One of the problem's own faults."""
    if not problem.faults:
        return None
    name = list(problem.faults)[rng.integers(len(problem.faults))]
    return "its own slip", name, problem.faults[name]


SHARES = {  # how often each is drawn
    one_element: 7, all_elements: 3, dropped: 1, sign: 1, reordered: 1, leaked: 1, output_forgotten: 4,
    output_off: 6,     gradient_forgotten: 1, bent: 1.8, its_own: 4,
}  # fmt: skip
OWN_ONLY = ("at a kink", "beside a kink", "at a tie", "beside a tie")  # the fault belongs to the very element


def draw(problem: Problem, rng: np.random.Generator, sizes: list[np.ndarray]) -> Fault:
    """A wrong backward; `sizes` are the magnitudes of the exact gradients. It may turn out not to be wrong enough."""
    if problem.kind in OWN_ONLY and rng.random() < 0.8:
        return its_own(problem, rng, sizes)
    makers, shares = list(SHARES), np.array(list(SHARES.values()))
    while True:
        fault = makers[rng.choice(len(makers), p=shares / shares.sum())](problem, rng, sizes)
        if fault is not None:
            return fault
