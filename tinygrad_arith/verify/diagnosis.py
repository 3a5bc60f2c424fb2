"""What a wrong gradient most resembles: a sign, a factor, a transposition, a missing sum, a named mutant, ...

Each suspicion is one small function of the `Evidence` and returns a `Finding` or None; `diagnose` asks them in turn,
the most telling first. Beyond the two gradients the best witness is the Jacobian from the differences: with it the
true gradient for *another* cotangent (all ones, one row only) is a product away, without calling the forward again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from math import prod

import numpy as np

from .evidence import Evidence, Finding
from .factors import name_factor, name_pattern
from .noise import power_of_two

__all__ = ["diagnose"]

FINDINGS_SHOWN = 3


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """The resemblances found, the likeliest first, at most three; one that says how far off it is where none was."""
    if evidence.analytic.shape != evidence.numeric.shape:
        return _ask(_SHAPE_SUSPICIONS, evidence)
    if not evidence.wrong.any():
        return ()
    if not evidence.numeric.any():  # nothing can be compared with zeros
        return (_should_be_zero(evidence),)
    if evidence.sampled:
        return _ask(_SAMPLED, evidence) or (_unlike_anything(evidence),)
    return _ask(_WHOLE, evidence) or _ask(_PART, evidence) or (_unlike_anything(evidence),)


def _ask(suspicions: tuple[_Suspicion, ...], evidence: Evidence) -> tuple[Finding, ...]:
    findings = [finding for suspicion in suspicions if (finding := suspicion(evidence))]
    return tuple(findings[:FINDINGS_SHOWN])


# The whole gradient


def _should_be_zero(e: Evidence) -> Finding:
    largest = np.abs(e.analytic).max()
    text = f"must be zero: no output is seen to depend on {e.name} here; its largest entry is {largest:.4g}"
    return Finding("not zero", text)


def _zero(e: Evidence) -> Finding | None:
    """Zero up to rounding; for softmax that is what a dy of ones gives."""
    if not np.abs(e.analytic).max() <= 1e-3 * e.closeness * np.abs(e.numeric).max():
        return None
    for_ones = e.true_gradient(np.ones_like(e.cotangent))
    if for_ones is None or not np.abs(for_ones).max() <= 1e-6 * np.abs(e.numeric).max():
        return Finding("zero", "is zero everywhere")
    return Finding("zero", "is zero everywhere, as it is for a dy of ones: is dy used?")


def _factor(e: Evidence) -> Finding | None:
    """A constant factor over the whole gradient, by least squares."""
    factor = _multiple(e.numeric, e.analytic)
    if factor == 0.0 or not e.is_close(factor * e.numeric):
        return None
    if abs(factor + 1) < 10 * e.closeness:
        return Finding("sign", "has the wrong sign: it is minus the true gradient")
    return Finding("factor", f"is the true gradient times {name_factor(factor, e.sizes, 10 * e.closeness)}")


def _named_mutant(e: Evidence) -> Finding | None:
    names = [name for name, gradient in e.mutants.items() if e.is_close(gradient)]
    if not names:
        return None
    return Finding("mutant", f"equals what a known slip gives: {'; or: '.join(names)}")


def _cotangent_not_used(e: Evidence) -> Finding | None:
    """The gradient for a cotangent of ones, whatever cotangent came in."""
    candidate = e.true_gradient(np.ones_like(e.cotangent))
    if candidate is None or not e.is_close(candidate):
        return None
    return Finding("cotangent", "does not use the cotangent dy: it is the gradient for a dy of ones")


def _swapped(e: Evidence) -> Finding | None:
    for other, gradient in e.others.items():
        if e.is_close(gradient):
            return Finding("swapped", f"is the gradient of {other}: are two gradients returned in the wrong order?")
    return None


def _row_term(e: Evidence) -> Finding | None:
    """The error is one number a row, perhaps times the output: what softmax and norms subtract is missing or wrong."""
    if e.numeric.ndim == 0 or e.numeric.shape[-1] < 3:  # in two columns too many patterns fit
        return None
    error = e.analytic - e.numeric
    outputs = [output for output in e.outputs if output.shape == error.shape]
    patterns = [("", np.ones_like(error)), *((", times the output", output) for output in outputs)]
    for what, pattern in patterns:
        if np.count_nonzero(pattern[error.any(axis=-1)], axis=-1).min(initial=3) < 3:
            continue  # in a row with two numbers that count too many patterns fit
        squares = (pattern * pattern).sum(axis=-1, keepdims=True)
        number = (error * pattern).sum(axis=-1, keepdims=True) / np.where(squares == 0, 1, squares)
        if e.close(number * pattern, error):
            text = f"is off by one number a row{what}: is a sum over the last axis missing or wrong?"
            return Finding("row term", text)
    return None


# Order of elements and axes


def _transposed_within(e: Evidence) -> Finding | None:
    """Right numbers, read through permuted axes into the right shape (a reshape where a transposition was due)."""
    identity = tuple(range(e.numeric.ndim))
    for axes in permutations(identity):
        if axes != identity and e.is_close(np.reshape(np.transpose(e.numeric, axes), e.numeric.shape)):
            return Finding(
                "transposed", f"holds the right numbers with the axes in the order {axes}: is a transposition missing?"
            )
    return None


def _reordered(e: Evidence) -> Finding | None:
    """Flipped, shifted by one, or otherwise the right numbers at the wrong places."""
    for axis in range(e.numeric.ndim):
        if e.is_close(np.flip(e.numeric, axis)):
            return Finding("reordered", f"is reversed along axis {axis}")
        for shift in (1, -1):
            if e.is_close(np.roll(e.numeric, shift, axis)):
                return Finding("reordered", f"is shifted by {shift} along axis {axis}")
    mine, true = np.argsort(e.analytic, axis=None), np.argsort(e.numeric, axis=None)
    sorted_alike = np.empty(e.numeric.size)
    sorted_alike[mine] = e.numeric.ravel()[true]  # the true numbers in the order of the backward's
    if e.is_close(sorted_alike.reshape(e.numeric.shape)):
        return Finding("reordered", "holds the right numbers at the wrong places")
    return None


def _wrong_order_of_axes(e: Evidence) -> Finding | None:
    """A wrong shape that a transposition mends."""
    for axes in permutations(range(e.analytic.ndim)):
        if e.close(np.transpose(e.analytic, axes), e.numeric):
            return Finding(
                "transposed", f"is right after np.transpose(gradient, {axes}): its axes are in the wrong order"
            )
    if e.analytic.size == e.numeric.size and e.close(e.analytic.reshape(e.numeric.shape), e.numeric):
        return Finding("shape", f"holds the right numbers: reshape it to {e.numeric.shape}")
    return None


def _missing_broadcast_sum(e: Evidence) -> Finding | None:
    """A wrong shape that a sum over some axes mends: the input was broadcast and its gradient was not summed."""
    for count in range(1, e.analytic.ndim + 1):
        for axes in combinations(range(e.analytic.ndim), count):
            summed = e.analytic.sum(axis=axes)
            if summed.size == e.numeric.size and e.close(summed.reshape(e.numeric.shape), e.numeric):
                text = f"is right after a sum over axes {axes}: the input was broadcast there, so its gradient is a sum"
                return Finding("broadcast", text)
    return None


# Parts of a sum


def _part_of_a_sum(e: Evidence) -> Finding | None:
    """Only one output of several contributes, or one row of the outputs; or all but one."""
    if e.jacobian is None:
        return None
    for text, mask in _output_slices(e.output_shapes):
        part = e.true_gradient(e.cotangent * mask)
        assert part is not None
        if e.is_close(part):
            rest = "what the other outputs add" if "axis" not in text else "the sum over the other entries"
            return Finding("part", f"counts only {text}: {rest} is missing")
        if part.any() and e.is_close(e.numeric - part):
            return Finding("part", f"counts everything but {text}")
    return None


def _output_slices(shapes: tuple[tuple[int, ...], ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Every output of several, and every index of every axis of every output, with a 0/1 mask over the flattened
    outputs (m,).
    """
    total, offset = sum(prod(shape) for shape in shapes), 0
    for number, shape in enumerate(shapes):
        name = "the output" if len(shapes) == 1 else f"output {number}"
        if len(shapes) > 1:
            mask = np.zeros(total)
            mask[offset : offset + prod(shape)] = 1.0
            yield name, mask
        for axis, size in enumerate(shape):
            for index in (size - 1, *range(size - 1)) if size > 1 else ():
                inside = np.zeros(shape)
                inside[(slice(None),) * axis + (index,)] = 1.0
                mask = np.zeros(total)
                mask[offset : offset + inside.size] = inside.ravel()
                yield f"index {index} of axis {axis} of {name}", mask
        offset += prod(shape)


def _lost_duplicates(e: Evidence) -> Finding | None:
    """Where an element is used more than once, only one of its contributions is kept (`d[ids] += dy` instead of
    np.add.at, `=` for `+=` in a loop).
    """
    if e.jacobian is None:
        return None
    wrong = np.flatnonzero(e.wrong)
    answer, true = e.analytic.ravel()[wrong], e.numeric.ravel()[wrong]
    for along, parts in _contributions(e, e.cotangent[:, None] * e.jacobian[:, wrong]):  # parts (uses, wrong)
        used = np.abs(parts) > 1e-7 * np.abs(parts).max(initial=0.0)
        if (used.sum(axis=0) < 2).any():
            continue
        for which, kept in (("last", len(used) - 1 - used[::-1].argmax(axis=0)), ("first", used.argmax(axis=0))):
            if e.explains(np.take_along_axis(parts, kept[None], axis=0)[0], answer, true):
                text = (
                    f"keeps only the {which} contribution{along} to elements that are used more than once: the "
                    "contributions must be added (+= in a loop; np.add.at, not d[ids] += dy)"
                )
                return Finding("duplicates", text)
    return None


def _contributions(e: Evidence, single: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What each output contributes to each wrong element (m, wrong), then what each index of an axis of the output
    does (size, wrong): a loop over positions writes all channels of a position at once.
    """
    yield "", single
    if len(e.output_shapes) != 1 or len(e.output_shapes[0]) < 2:
        return
    shaped = single.reshape(*e.output_shapes[0], -1)
    for axis in range(shaped.ndim - 1):
        others = tuple(a for a in range(shaped.ndim - 1) if a != axis)
        yield f" along axis {axis} of the output", shaped.sum(axis=others)


# Some elements only


def _mask_not_applied(e: Evidence) -> Finding | None:
    if not e.wrong.any() or not e.numeric.any() or np.abs(e.numeric[e.wrong]).max() > 1e-10 * np.abs(e.numeric).max():
        return None
    if e.numeric[e.wrong].any():
        return Finding(
            "cancellation",
            "differs only where the true gradient is tiny beside the largest: do nearly equal numbers cancel in the "
            "backward, as in `1 - p` or `1 + tanh`?",
        )
    return Finding(
        "mask", "differs only where the true gradient is exactly zero: a mask is not applied in the backward"
    )


def _left_out(e: Evidence) -> Finding | None:
    if not e.analytic.any() or e.analytic[e.wrong].any():
        return None
    return Finding(
        "left out", f"is zero at the wrong elements and right at {e.others_in_words}: they are never written"
    )


def _factor_on_part(e: Evidence) -> Finding | None:
    """The wrong elements, and only these, are off by one factor."""
    if e.wrong.all():
        return None
    a, n = e.analytic[e.wrong], e.numeric[e.wrong]
    factor = _multiple(n, a)
    if factor == 0.0 or not e.explains(factor * n, a, n):
        return None
    named = (
        "the wrong sign" if abs(factor + 1) < 1e-4 else f"the factor {name_factor(factor, e.sizes, 10 * e.closeness)}"
    )
    where = "the wrong elements" if a.size > 1 else "the one wrong element"
    return Finding("factor on part", f"has {named} at {where} and is right at {e.others_in_words}")


def _factor_of_rows(e: Evidence) -> Finding | None:
    """The ratio to the true gradient is one number along some axes and another in every row (a lost normaliser, a lost
    weight). The largest rows are tried first.
    """
    axes = range(e.numeric.ndim)
    for count in range(1, e.numeric.ndim):
        for varying in combinations(axes, count):
            finding = _factor_along(e, tuple(axis for axis in axes if axis not in varying))
            if finding:
                return finding
    return None


def _factor_along(e: Evidence, along: tuple[int, ...]) -> Finding | None:
    """The finding if the ratio is constant along these axes; each row must have two numbers, or any ratio would fit."""
    (true, unit), (answer, answer_unit) = _scaled(e.numeric), _scaled(e.analytic)
    squares = (true**2).sum(axis=along, keepdims=True)
    factor = (true * answer).sum(axis=along, keepdims=True) / np.where(squares == 0, 1, squares) * (answer_unit / unit)
    if not e.is_close(factor * e.numeric):
        return None
    counts = np.abs(e.numeric) > 1e3 * e.closeness * np.abs(e.numeric).max()
    telling = counts.sum(axis=along, keepdims=True) >= 2
    off = factor[telling & (np.abs(factor - 1) > 1e3 * e.closeness)]
    if 2 * telling.sum() < telling.size or off.size < 2 or np.ptp(off) <= 1e3 * e.closeness * np.abs(off).max():
        return None  # too little to go by, or one factor only
    known = {**e.inputs, **({"the output": e.outputs[0]} if len(e.outputs) == 1 else {})}
    named = name_pattern(factor, telling, known, along, 1e3 * e.closeness)
    where = f"axis {along[0]}" if len(along) == 1 else f"axes {' and '.join(map(str, along))}"
    return Finding(
        "row factor",
        f"is right but for a factor that is the same within each row along {where} (from {factor[telling].min():.4g} "
        f"to {factor[telling].max():.4g}) and is missing or wrong{named}",
    )


# One term more or less


def _extra_term(e: Evidence) -> Finding | None:
    """The difference is a multiple of the cotangent or of an input, of the true gradient of another one, or
    constant along an axis.
    """
    difference = e.analytic - e.numeric
    candidates = {f"{name} itself": value for name, value in e.inputs.items()}
    candidates |= {f"the gradient of {name}": value for name, value in e.others.items()}
    if len(e.output_shapes) == 1 and e.output_shapes[0] == e.numeric.shape:
        candidates["the cotangent dy"] = e.cotangent.reshape(e.numeric.shape)
    for text, term in candidates.items():
        multiple = _multiple(term, difference) if term.shape == difference.shape else 0.0
        if multiple and e.close(difference, multiple * term):
            return Finding("term", f"is off by {multiple:.4g} times {text}: a term is missing, or one too many")
    for axis, size in enumerate(difference.shape):
        if size > 1 and e.close(difference, np.broadcast_to(difference.mean(axis, keepdims=True), difference.shape)):
            text = f"is off by a term that is constant along axis {axis}: is a mean or sum over that axis missing?"
            return Finding("term", text)
    return None


def _unlike_anything(e: Evidence) -> Finding:
    """No resemblance: how the two compare at all."""
    answer, answer_unit = _scaled(e.analytic)
    true, true_unit = _scaled(e.numeric)
    norms = float(np.linalg.norm(answer)), float(np.linalg.norm(true))
    text = "resembles no known slip"
    if all(norms) and np.isfinite(norms).all():
        cosine = float(np.vdot(answer, true)) / (norms[0] * norms[1])
        text += f"; its direction agrees with the true one to a cosine of {cosine:.6f}"
        length = norms[0] / norms[1] * answer_unit / true_unit
        text += f", its length is {length:.6g} times the true one" if 0 < length < np.inf else ""
    return Finding("unknown", text)


def _scaled(array: np.ndarray) -> tuple[np.ndarray, float]:
    """An array over a power of two near its largest entry, and that power: its squares neither over- nor underflow."""
    unit = power_of_two(float(np.abs(array).max(initial=0.0)))
    return array / unit, unit


def _multiple(term: np.ndarray, target: np.ndarray) -> float:
    """The factor, by least squares, that makes a target of a term of its shape; 0 where there is none."""
    (a, a_unit), (b, b_unit) = _scaled(term), _scaled(target)
    square = float(np.vdot(a, a))
    with np.errstate(all="ignore"):
        factor = float(np.vdot(a, b)) / square * b_unit / a_unit if square else 0.0
    return factor if np.isfinite(factor) else 0.0


_Suspicion = Callable[[Evidence], Finding | None]
# About the gradient as a whole; only where none of these fits, about some of its elements or one of its terms.
_WHOLE: tuple[_Suspicion, ...] = (
    _zero,
    _factor,
    _named_mutant,
    _cotangent_not_used,
    _swapped,
    _transposed_within,
    _part_of_a_sum,
    _row_term,
)
_PART: tuple[_Suspicion, ...] = (
    _lost_duplicates,
    _mask_not_applied,
    _left_out,
    _factor_on_part,
    _factor_of_rows,
    _extra_term,
    _reordered,
)
_SAMPLED: tuple[_Suspicion, ...] = (_zero, _factor, _mask_not_applied, _left_out, _factor_on_part)
_SHAPE_SUSPICIONS: tuple[_Suspicion, ...] = (_swapped, _wrong_order_of_axes, _missing_broadcast_sum)
