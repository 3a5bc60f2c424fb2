"""`check_gradients`: is this backward the derivative of that forward? The entry of the library."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .arguments import (
    as_names,
    as_outputs,
    bind_arguments,
    chosen_positions,
    describe,
    is_array,
    is_array_like,
    is_float,
    require_known_names,
    same_bits,
    sizes_of,
    to_host,
)  # fmt: skip
from .by_output import Asked, by_output
from .cancellation import Cancellation
from .compare import Comparison, compare_elements
from .cotangents import array_like, given_cotangents, random_signs
from .diagnosis import diagnose
from .evidence import Evidence, Finding
from .form import align, change_in_words, native, nonfinite_in_words, unsteady, what_was_written, wrong_form
from .judgement import SMALLER, first_survey
from .linearity import not_linear
from .probe import Probe
from .projections import compare_projections
from .report import GradientMismatch, InputReport, Report
from .rounded_inputs import moved_by_rounding
from .ties import wrong_along_ties
from .ties_between import in_one_vector, joint_probe
from .tolerances import Tolerance
from .tolerances import tolerance as table_entry
from .vacuous import (
    check_allowances,
    refuse_cotangent,
    refuse_infinite_inputs,
    refuse_inputs,
    refuse_precision,
    refuse_undecided,
    refuse_zero_gradient,
)  # fmt: skip

__all__ = ["GradientCheck", "check_gradients"]

FLOAT64 = np.dtype(np.float64)  # compared with a type, a dtype costs as much as a small operation
FULL_LIMIT = 4000  # inputs with more elements are checked by projections and samples
FIRST_STEP = 2.0**-11  # relative to each element; a single step is an eighth of it (see survey.py)


def check_gradients(
    forward: Callable,
    backward: Callable,
    inputs: Any,
    *,
    options: Mapping[str, Any] | None = None,
    wrt: Collection[str | int] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    eps: float = FIRST_STEP,
    tolerance: Tolerance | None = None,
    zero: Collection[str] = (),
    undecided: Collection[str] = (),
    allow: Collection[str] = (),
    cotangent: Any = None,
    sizes: Mapping[str, int] | None = None,
    mutants: Mapping[str, Callable] | None = None,
    reference: tuple[Callable, Callable] | None = None,
    full_limit: int = FULL_LIMIT,
) -> Report:
    """Checks a hand-written backward against central differences of its forward, element by element in float64.

    `forward(*inputs, **options)` returns `(out, cache)`, `out` an array or a tuple of arrays; `backward(dy, cache)`
    returns the gradients of the floating-point arrays among the inputs, in the order in which these are given: a tuple,
    or the array itself where there is one. Neither may write to what it is given, and both must give the same answer
    twice.

    Args:
        inputs: a tuple of positional arguments, a dict of arguments by name, or one array. Floating-point arrays are
            differentiable; integers, masks, numbers and None are passed through.
        options: arguments that are always passed by name and never differentiated.
        wrt: names or positions of the gradients to compare; the default is all of them. Shape, dtype and finiteness
            are checked for all.
        names: what to call positional inputs; the default is the forward's own parameter names.
        seed: of the random cotangent (magnitudes between 0.5 and 1.5, random signs) and the random projections.
        eps: eight times the first step of the differences, relative to each element. Where that step does not decide,
            steps of all sizes are tried.
        tolerance: the default is the table's entry "differences" for the input's dtype: an error below 1e-7 of the
            largest entry in float64, and below a bound of its own for each element. Inputs of lower precision are
            compared with float64 differences.
        zero: names of inputs whose true gradient is identically zero here, e.g. ("q", "k") for attention over one key.
        undecided: names of inputs some of whose elements may stay undecided, because rounding hides them.
        allow: exceptions to the refusal of checks that prove nothing; see `tinygrad_arith.verify.vacuous.ALLOWANCES`.
        cotangent: dy, an array or a tuple like `out`, instead of a random one.
        sizes: names of sizes for the diagnosis, e.g. {"B": 2, "T": 5, "HS": 3}.
        mutants: known wrong backwards by description, each called as `mutant(backward, dy, cache)`, for the diagnosis.
        reference: a trusted (forward, backward) pair that the mutants are built on; the default is this forward with
            the gradients that the differences say.
        full_limit: inputs with more elements are compared by random projections and sampled elements.

    Returns a `Report`; `str(report)` is a table.

    Raises:
        GradientMismatch: a gradient is wrong, missing, of the wrong shape or dtype or not finite, the backward is not
            linear in dy or leaves out an output, or something was written to.
        GradientUndecided: nothing is seen to be wrong, but rounding hides whether a gradient is right.
        VacuousCheck: the check would have proved nothing.
    """
    check = GradientCheck(
        forward, inputs, options=options, wrt=wrt, names=names, seed=seed, eps=eps, tolerance=tolerance, zero=zero,
        undecided=undecided, allow=allow, cotangent=cotangent, sizes=sizes, full_limit=full_limit,
    )  # fmt: skip
    report = check.run(backward, mutants=mutants, reference=reference)
    report.raise_unless_passed()
    return report


class GradientCheck:
    """A forward at given inputs, against which any number of backwards can be judged (see `check_gradients`).

    The differences are taken once and kept.
    """

    def __init__(
        self, forward: Callable, inputs: Any, *, options=None, wrt=None, names=None, seed=0, eps=FIRST_STEP,
        tolerance=None, zero=(), undecided=(), allow=(), cotangent=None, sizes=None, full_limit=FULL_LIMIT,
    ):  # fmt: skip
        _require_valid(seed, eps, full_limit)
        self.forward, self.seed, self.eps, self.tolerance, self.full_limit = forward, seed, eps, tolerance, full_limit
        self.name = getattr(forward, "__name__", type(forward).__name__)
        self.allow, self.zero, self.undecided = as_names(allow), as_names(zero), as_names(undecided)
        check_allowances(self.allow)
        self.arguments = bind_arguments(forward, inputs, options, names)
        self.checked = chosen_positions(self.arguments, wrt)
        require_known_names("zero", self.zero, self.arguments)
        require_known_names("undecided", self.undecided, self.arguments)
        refuse_inputs(self.arguments, self.checked, self.allow)
        self.sizes = dict(sizes or sizes_of(self.arguments))
        self._before = {name: value.copy() for name, value in self.arguments.arrays().items()}
        out = self._outputs(*self._call(forward))
        self.single_output = not isinstance(out, (tuple, list))
        self.outputs = as_outputs(out)
        self.cotangents = self._draw_cotangents() if cotangent is None else given_cotangents(cotangent, self.outputs)
        flat = [to_host(c).astype(np.float64).ravel() for c in self.cotangents if c is not None]
        self.flat_cotangent = np.concatenate(flat)  # (m,)
        refuse_cotangent(self.flat_cotangent, self.allow)
        self._require_float64()
        self.output_shapes = tuple(tuple(o.shape) for o in self.outputs if is_float(o))
        self._unsteady: dict[int, np.ndarray] = {}
        self._probes = {position: self._probe(position) for position in self.checked}

    # The forward

    def _call(self, forward: Callable) -> tuple[Any, Any]:
        """(out, cache) from the caller's own inputs."""
        result = self.arguments.call(forward)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"{self.name} must return (out, cache), got {describe(result)}")
        return result

    def _outputs(self, out: Any, cache: Any) -> Any:
        """The outputs, after checks that there are any, that they are finite and the same on a second call."""
        outputs = as_outputs(out)
        if not any(is_float(o) for o in outputs):
            raise TypeError(f"{self.name} must return floating-point arrays as its output, got {describe(out)}")
        written = what_was_written(self._before, self.arguments.arrays())
        if written:
            self._fail(f"the forward writes to what it was given: {written}")
        again = as_outputs(self._call(self.forward)[0])
        if len(again) != len(outputs):
            counts = f"{len(outputs)} outputs at its first call and {len(again)} at its second"
            raise TypeError(f"{self.name} returns {counts}")
        for number, (first, second) in enumerate(zip(outputs, again, strict=True)):
            bad = nonfinite_in_words(first) if is_float(first) else ""
            if bad:
                refuse_infinite_inputs(self.arguments)
                self._fail(f"output {number} of {self.name} holds {bad}: there is no derivative to compare with")
            if is_array(first) and not same_bits(first, second):
                self._fail(
                    f"{self.name} gives two answers for the same inputs: output {number} differs between two calls in "
                    + change_in_words(first, second)
                )
        return out

    def _require_float64(self) -> None:
        """VacuousCheck if the forward answers float64 inputs, as the differences give it, in less than float64."""
        given = [self.arguments.values[p].dtype for p in self.arguments.differentiable]
        outputs = self.outputs
        if any(dtype != np.float64 for dtype in given):
            outputs = as_outputs(self.arguments.call(self.forward, self.arguments.float64_copies())[0])
        for number, output in enumerate(outputs):
            if is_float(output) and output.dtype.itemsize < 8:
                which = "" if self.single_output else f" as output {number}"
                refuse_precision(self.name, output.dtype, which)

    def _vector(self, out: Any) -> np.ndarray:
        """The floating-point outputs as one fresh float64 vector (m,)."""
        if type(out) is np.ndarray and out.dtype == FLOAT64:
            return out.flatten()  # (m,)
        if type(out) is np.float64:
            return np.array([out])  # (m,)
        return np.concatenate([to_host(o).astype(np.float64).ravel() for o in as_outputs(out) if is_float(o)])  # (m,)

    def _probe(self, position: int) -> Probe:
        """The probe for one input: the forward in float64, with every input at its value but this one free."""
        values = self.arguments.float64_copies()
        array = values[position]

        outputs = partial(self._outputs_at, values)
        return Probe(self.arguments.names[position], array, outputs, self.flat_cotangent, self.eps)

    def _draw_cotangents(self) -> tuple[Any, ...]:
        """A random cotangent per output, of its shape and dtype, in its library; None for integer outputs."""
        rng = np.random.default_rng(self.seed)
        return tuple(array_like(random_signs(rng, o.shape), o) if is_float(o) else None for o in self.outputs)

    # The backward

    def run(
        self, backward: Callable, *, mutants: Mapping[str, Callable] | None = None,
        reference: tuple[Callable, Callable] | None = None, diagnosis: bool = True,
    ) -> Report:  # fmt: skip
        """Judges one backward; a report in any case. `mutants` and `reference` as in `check_gradients`.

        Without the diagnosis the first proof that a gradient is wrong is enough, and its other elements that one look
        does not decide are left undecided.
        """
        if mutants is not None and not isinstance(mutants, Mapping):
            raise TypeError(f"mutants must be a dict of functions by description, got {describe(mutants)}")
        gradients, problem = self.gradients(backward)
        if gradients is None:
            return self._report((), problem)
        # Mutants bend the true gradients, never the backward in question: a mutant of a wrong one would agree with it
        # wherever it bends another input's gradient.
        if reference is None or reference[1] is backward:
            reference = self.forward, self._true_backward
        self._unsteady = moved_by_rounding(
            self.arguments, gradients, lambda values: self._gradients_at(backward, values), self.seed
        )
        self._cancellation = self._what_cancels(backward, gradients, self.cotangents)
        with np.errstate(all="ignore"):  # a step may leave the forward's domain
            entries = self._entries(backward, gradients, mutants, reference, diagnosis)
            problem = problem or self._ties_between_inputs(entries, gradients)
        if problem is None and all(entry.verdict != "wrong" for entry in entries):
            problem, entries = self._under_other_cotangents(backward, gradients, entries)
        return self._report(tuple(entries), problem)

    def _under_other_cotangents(self, backward, gradients, entries) -> tuple[str | None, list[InputReport]]:
        """What shows that a backward is not linear in dy, or wrong for an output that is small beside others; and the
        entries, those of gradients that are undecided for one output in the place of what is known under all.
        """
        cache = self._call(self.forward)[1]  # one for all: the backward leaves it as it is
        named = {self.arguments.names[p]: to_host(gradients[p]).astype(np.float64) for p in self.checked}
        problem = not_linear(
            lambda cotangents: self._named_gradients(backward, cotangents, cache), named, self.cotangents,
            [gradients[p].dtype for p in self.checked], self.seed, partial(self._lost_by_name, backward),
        )  # fmt: skip
        sizes = [math.prod(shape) for shape in self.output_shapes]
        if problem or len(sizes) < 2:
            return problem, entries
        kinks = {entry.name: {kink.index for kink in entry.kinks} for entry in entries}
        with np.errstate(all="ignore"):
            asked = [
                Asked(
                    probe, first_survey(probe), probe.steps(None) / SMALLER, kinks[probe.name],
                    self._tolerance(native(self.arguments.values[p].dtype).name),
                    self.arguments.values[p].dtype.itemsize >= 8,
                )
                for p, probe in self._probes.items()
                if probe.values.size <= self.full_limit
            ]  # fmt: skip
            problem, undecided = by_output(
                asked,
                lambda number: self._named_gradients(backward, self._only(number), cache),
                sizes,
                lambda number, found: self._lost_by_name(backward, self._only(number), found),
            )
        return problem, [self._unless_known(entry, undecided) for entry in entries]

    def _unless_known(self, entry: InputReport, undecided: Mapping[str, InputReport]) -> InputReport:
        """The entry of an input, or the one by which it is undecided for one output by itself."""
        if entry.verdict != "passed" or entry.name not in undecided:
            return entry
        return replace(undecided[entry.name], undecided_is_allowed=entry.name in self.undecided)

    def _only(self, number: int) -> tuple[Any, ...]:
        """The cotangents, zero for all outputs but one of those that are floating-point."""
        floating = [k for k, c in enumerate(self.cotangents) if c is not None]
        return tuple(
            c if c is None or k == floating[number] else array_like(np.zeros(c.shape), c)
            for k, c in enumerate(self.cotangents)
        )

    def _entries(self, backward, gradients, mutants, reference, diagnosis) -> list[InputReport]:
        """The report's entry for each input, with a diagnosis for those that are wrong."""
        comparisons = {p: self._compare(p, gradients[p], backward, diagnosis) for p in self.arguments.differentiable}
        entries = []
        for position, comparison in comparisons.items():
            entry = comparison.entry
            wrong = entry.verdict == "wrong"
            if diagnosis and wrong and position in self._probes and is_array_like(gradients[position]):
                slips = self._mutant_gradients(position, mutants or {}, reference)
                entry = entry.with_findings(self._diagnose(position, gradients[position], comparison, slips))
            entries.append(entry)
        return entries

    def gradients(self, backward: Callable) -> tuple[dict[int, Any] | None, str | None]:
        """The gradients by position of their input, and a problem of the backward as a whole."""
        cache = self._call(self.forward)[1]
        cotangents = _copies(self.cotangents)
        result = backward(self._as_given(cotangents), cache)
        gradients, problem = align(result, self.arguments)
        if gradients is None:
            return None, problem
        kept = {position: g.copy() if is_array(g) else g for position, g in gradients.items()}
        again, problem = self._again(backward, cache)
        if problem:
            return kept, problem
        given = {f"the cotangent dy{k}": c for k, c in self._numbered(cotangents).items()}
        before = {f"the cotangent dy{k}": c for k, c in self._numbered(self.cotangents).items()}
        written = what_was_written(self._before | before, self.arguments.arrays() | given)
        if written:
            return kept, f"the backward writes to what it was given: {written}"
        return kept, unsteady({self.arguments.names[p]: (g, again.get(p)) for p, g in kept.items()})

    def _again(self, backward: Callable, cache: Any) -> tuple[dict[int, Any], str | None]:
        """The gradients of a second call with the same cache; a backward that used its cache up fails there."""
        cotangents = _copies(self.cotangents)
        try:
            return align(backward(self._as_given(cotangents), cache), self.arguments)[0] or {}, None
        except Exception as error:
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            return {}, (
                f"the backward fails when it is called a second time with the same cache ({said}): does it consume its "
                "cache (pop, next, del)? It must leave it as it is"
            )

    def _ties_between_inputs(self, entries: Sequence[InputReport], gradients: Mapping[int, Any]) -> str | None:
        """A complaint if inputs that tie (`max(a, b)` at a = b) have gradients that do not add up along the tie."""
        tied = [(p, entry) for p, entry in zip(self.arguments.differentiable, entries, strict=True) if entry.kinks]
        if len(tied) < 2 or any(entry.verdict == "wrong" for _, entry in tied):
            return None
        answers = {
            p: {kink.index: float(to_host(gradients[p])[kink.index]) for kink in entry.kinks} for p, entry in tied
        }
        positions = [p for p, _ in tied]
        joint, starts = joint_probe(self.arguments, positions, self._outputs_at, self.flat_cotangent, self.eps)
        if not wrong_along_ties(joint, in_one_vector(answers, self.arguments, starts)):
            return None
        names = " and ".join(entry.name for _, entry in tied)
        return f"at a tie of {names} their gradients do not add up to the slope along it, where all move alike"

    def _outputs_at(self, values: Sequence[Any]) -> np.ndarray:
        """The outputs (m,) at other inputs."""
        return self._vector(self.arguments.call(self.forward, values)[0])

    def _gradients_at(
        self,
        backward: Callable,
        values: Sequence[Any],
        cotangents: tuple[Any, ...] | None = None,
        bend: Callable[[Any], Any] | None = None,
    ) -> dict[int, Any] | None:
        """The gradients at other inputs, by position; under other cotangents, or with another cache."""
        cache = self.arguments.call(self.forward, values)[1]
        given = _copies(self.cotangents if cotangents is None else cotangents)
        return align(backward(self._as_given(given), cache if bend is None else bend(cache)), self.arguments)[0]

    def _what_cancels(
        self, backward: Callable, gradients: Mapping[int, Any], cotangents: tuple[Any, ...]
    ) -> Cancellation:
        """What tells how many digits of these gradients the backward loses."""
        return Cancellation(self.arguments, cotangents, self.outputs, gradients, partial(self._gradients_at, backward))

    def _gradient_elsewhere(self, backward: Callable, position: int, numbers: np.ndarray) -> np.ndarray | None:
        """The gradient of one input at other values of it; None if the backward gives none there."""
        values = [value.copy() if is_array(value) else value for value in self.arguments.values]
        values[position][...] = array_like(numbers, values[position])
        try:
            gradients = self._gradients_at(backward, values)
        except Exception:  # of whatever kind: these are not the caller's inputs
            return None
        if gradients is None or wrong_form(gradients[position], values[position]):
            return None
        return to_host(gradients[position]).astype(np.float64)

    def _named_gradients(
        self, backward: Callable, cotangents: tuple[Any, ...], cache: Any
    ) -> dict[str, np.ndarray] | None:
        """The gradients that are compared, by name, under other cotangents."""
        given = _copies(cotangents)
        with np.errstate(all="ignore"):  # other magnitudes than the caller had in mind
            gradients = align(backward(self._as_given(given), cache), self.arguments)[0]
        if gradients is None or not all(is_array_like(gradients[p]) for p in self.checked):
            return None
        return {self.arguments.names[p]: to_host(gradients[p]).astype(np.float64) for p in self.checked}

    def _lost_by_name(
        self, backward: Callable, cotangents: tuple[Any, ...], named: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """What the backward loses of these gradients, by name, under other cotangents."""
        values, names = self.arguments.values, self.arguments.names
        gradients = {p: array_like(named[names[p]], values[p]) for p in self.checked}
        cancellation = self._what_cancels(backward, gradients, cotangents)
        lost = {names[p]: cancellation.lost(p) for p in self.checked}
        return {name: np.zeros(named[name].shape) if found is None else found for name, found in lost.items()}

    def _numbered(self, cotangents: tuple[Any, ...]) -> dict[str, Any]:
        """The cotangents by what distinguishes them: "[1]" where there are several outputs."""
        return {"" if self.single_output else f"[{i}]": c for i, c in enumerate(cotangents) if c is not None}

    def _as_given(self, cotangents: tuple[Any, ...]) -> Any:
        return cotangents[0] if self.single_output else cotangents

    # One gradient

    def _compare(self, position: int, gradient: Any, backward: Callable, diagnosis: bool = True) -> Comparison:
        """Form first (missing, shape, dtype, finite), then the numbers."""
        value = self.arguments.values[position]
        name, shape, dtype = self.arguments.names[position], tuple(value.shape), native(value.dtype).name
        problem = wrong_form(gradient, value)
        if problem:
            return _incomparable(InputReport(name, shape, dtype, elements=math.prod(shape), problem=problem))
        if position not in self._probes:
            return _incomparable(InputReport(name, shape, dtype, elements=math.prod(shape)))
        probe, analytic = self._probes[position], to_host(gradient).astype(np.float64)
        if np.isfinite(probe.values).sum() > self.full_limit:
            rng = np.random.default_rng([self.seed, position])
            projection = table_entry("projection", "float64" if value.dtype.itemsize >= 8 else "float32")
            comparison = compare_projections(
                probe, analytic, self._tolerance(dtype), dtype, projection, rng, self.allow,
                partial(self._cancellation.lost, position),
            )  # fmt: skip
        else:
            comparison = compare_elements(
                probe, analytic, self._tolerance(dtype), dtype, self.allow,
                unsteady=self._unsteady.get(position), count_all=diagnosis,
                answers=partial(self._gradient_elsewhere, backward, position),
                lost=partial(self._cancellation.lost, position),
            )  # fmt: skip
        if comparison.vanishes and name not in self.zero and (comparison.complete or comparison.entry.passed):
            refuse_zero_gradient(name, self.name)
        if name in self.undecided:
            if comparison.entry.undecided == comparison.entry.checked > 0:
                refuse_undecided(name)
            comparison.entry = replace(comparison.entry, undecided_is_allowed=True)
        return comparison

    def _tolerance(self, dtype: str) -> Tolerance:
        return self.tolerance or table_entry("differences", dtype)

    def _diagnose(
        self, position: int, gradient: Any, comparison: Comparison, slips: Mapping[str, np.ndarray]
    ) -> tuple[Finding, ...]:
        """What this gradient resembles. Large inputs are diagnosed by their sampled elements."""
        probe, analytic = self._probes[position], to_host(gradient).astype(np.float64)
        numeric, wrong, jacobian, decided = comparison.numeric, comparison.wrong, None, comparison.decided
        partial = comparison.entry.method != "none" and decided is not None and not decided.all()
        values = {self.arguments.names[p]: to_host(self.arguments.values[p]) for p in self.arguments.differentiable}
        if analytic.size == 0:
            return ()
        if comparison.entry.method == "none":  # a wrong shape or dtype: only the whole arrays can tell
            if math.prod(probe.shape) > self.full_limit:
                return ()
            numeric = probe.gradient
            wrong = np.ones(numeric.shape, dtype=bool)
            if analytic.shape == numeric.shape:
                return ()
        elif comparison.complete and not partial:
            jacobian = probe.jacobian
        else:
            analytic, slips, values = comparison.analytic, {}, {}
        if partial:
            analytic, numeric, wrong = analytic[decided], numeric[decided], wrong[decided]
            if not wrong.any():
                return ()  # all that is wrong lies at kinks
        others = {
            q.name: q.gradient
            for p, q in self._probes.items()
            if p != position and q.shape == analytic.shape and q.values.size <= self.full_limit
        }
        evidence = Evidence(
            name=probe.name,
            analytic=analytic,
            numeric=numeric,
            wrong=wrong,
            cotangent=self.flat_cotangent,
            sampled=partial or (comparison.entry.method != "none" and not comparison.complete),
            partial=partial,
            jacobian=jacobian,
            output_shapes=self.output_shapes,
            others=others if (comparison.complete and not partial) or comparison.entry.method == "none" else {},
            mutants=slips,
            inputs=values,
            sizes=self.sizes,
            outputs=tuple(to_host(output) for output in self.outputs if is_float(output)),
            closeness=1e-6 if comparison.entry.dtype == "float64" else 1e-3,
        )
        return diagnose(evidence)

    def _mutant_gradients(
        self, position: int, mutants: Mapping[str, Callable], reference: tuple[Callable, Callable]
    ) -> dict[str, np.ndarray]:
        """This input's gradient under each mutant that runs on the reference pair's cache."""
        if not mutants:
            return {}
        forward, backward = reference
        cache, gradients = self._call(forward)[1], {}
        for description, mutant in mutants.items():
            try:
                result = align(mutant(backward, self._as_given(self.cotangents), cache), self.arguments)[0]
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                continue  # this mutant reads a cache that the pair does not make
            if result and is_array(result[position]):
                gradients[description] = to_host(result[position]).astype(np.float64)
        return gradients

    def _true_backward(self, dy: Any, cache: Any) -> Any:
        """The gradients that the differences say, in a backward's form, for mutants to bend. Where they are not known
        (inputs that are not checked or are large) there are zeros, which no gradient is compared with.
        """
        cotangent = self._vector(dy)  # (m,)
        gradients = tuple(self._true_gradient(position, cotangent) for position in self.arguments.differentiable)
        return gradients if len(gradients) > 1 else gradients[0]

    def _true_gradient(self, position: int, cotangent: np.ndarray) -> Any:
        value, probe = self.arguments.values[position], self._probes.get(position)
        numbers = np.zeros(tuple(value.shape))
        if probe is not None and numbers.size <= self.full_limit:
            if probe.jacobian is not None:
                numbers = (cotangent @ probe.jacobian).reshape(probe.shape)
            elif np.array_equal(cotangent, self.flat_cotangent):
                numbers = probe.gradient.copy()
        return array_like(numbers, value)

    def _report(self, entries: tuple[InputReport, ...], problem: str | None) -> Report:
        chosen = self._tolerance(native(self.arguments.values[self.checked[0]].dtype).name)
        return Report(self.name, entries, chosen.describe(), self.seed, problem, self.arguments.notes)

    def _fail(self, problem: str) -> None:
        raise GradientMismatch(self._report((), problem))


def _require_valid(seed: Any, eps: Any, full_limit: Any) -> None:
    """Raises ValueError or TypeError, in a sentence, for settings with which no check can be made."""
    for name, value in (("seed", seed), ("full_limit", full_limit)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number, 0 or above, got {value!r}")
        if value < 0:
            raise ValueError(f"{name} must be a whole number, 0 or above, got {value!r}")
    if not isinstance(eps, (float, int, np.floating, np.integer)) or isinstance(eps, bool):
        raise TypeError(f"eps must be a number above 0 and below 1, got {eps!r}")
    if not 0 < eps < 1:  # NaN is not
        raise ValueError(f"eps, the first step relative to each element, must be above 0 and below 1, got {eps!r}")


def _copies(cotangents: tuple[Any, ...]) -> tuple[Any, ...]:
    """Fresh arrays for a backward, which may write to what it is given; None where there is no cotangent."""
    return tuple(None if c is None else c.copy() for c in cotangents)


def _incomparable(entry: InputReport) -> Comparison:
    return Comparison(entry, np.empty(0), np.empty(0), np.empty(0, dtype=bool), complete=False)
