"""How the `gradcheck` command judges: a backward at all its inputs, then wrong backwards on the same differences."""

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import verify
from ..verify import GradientCheck, GradientFailure, GradientUndecided, Report, VacuousCheck, tolerance
from ..verify.report import Verdict

Pair = tuple[Callable, Callable]
NUMPY, VERIFY = Path(np.__file__).parent, Path(verify.__file__).parent


@dataclass(frozen=True)
class Trial:
    """A pair at one set of inputs.

    inputs:    a tuple of positional arguments, or a dict
    settings:  keyword arguments of `verify.check_gradients`
    mutants:   wrong backwards that the check must reject, built on `reference` (None: on the pair itself)
    tolerance: the purpose whose entry of the table of tolerances is used
    written:   what a user's file calls the settings ("softmax_settings"), where it has any
    file:      the user's file: of all lines that led to an error, its own is named
    """

    name: str
    pair: Pair
    inputs: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    mutants: Mapping[str, Callable] = field(default_factory=dict)
    reference: Pair | None = None
    tolerance: str = "differences"
    written: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Subject:
    """What one row of the table is about: an operation, a module, a model or a user's own pair.

    fault: why it cannot be checked, a sentence; there are no trials then
    """

    kind: str
    name: str
    trials: tuple[Trial, ...]
    fault: str | None = None


@dataclass(frozen=True)
class Outcome:
    """One row: how many numbers were compared, the largest error (over the largest entry of its gradient; None if there
    was nothing to compare), how many of the mutants were rejected, and what failed, in the words of the report.

    verdict: "passed" if every gradient is right and every mutant was rejected; "undecided" if nothing is known to be
             wrong, but rounding hides whether a gradient is; else "wrong"
    undecided: how many of the numbers compared rounding hides
    """

    kind: str
    name: str
    cases: int
    elements: int
    largest_error: float | None
    mutants: int
    rejected: int
    seconds: float
    failures: tuple[str, ...] = ()
    verdict: Verdict = "passed"
    undecided: int = 0

    @property
    def passed(self) -> bool:
        """True if nothing is wrong, and nothing undecided."""
        return self.verdict == "passed"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"passed": self.passed}


def rough_cost(subject: Subject) -> float:
    """About how long a check takes: the time of one forward for every number that is compared.

    It is good enough to begin with what is large. Nothing is said about a forward that raises: it is soon over.
    """
    cost = 0.0
    for trial in subject.trials:
        began = time.perf_counter()
        with suppress(Exception):
            trial.pair[0](*trial.inputs, **trial.settings.get("options") or {})
            arrays = [value for value in trial.inputs if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
            cost += (time.perf_counter() - began) * sum(array.size for array in arrays)
    return cost


def check_subject(subject: Subject, *, dtype: str = "float64", device: str = "cpu", seed: int = 0) -> Outcome:
    """Runs all trials of a subject. What fails, raises or is refused is told in the outcome; nothing is raised.

    Mutants are tried in float64 on the CPU, where a factor of 1.001 on a single small entry shows. Elsewhere the
    question is whether the gradients are right, not whether the check would notice.
    """
    began, reports, verdicts = time.perf_counter(), [], set()
    failures = [] if subject.fault is None else [f"{subject.name}: {subject.fault}"]
    rejected: dict[str, bool] = {}  # of each mutant: whether any trial rejects it
    for trial in subject.trials:
        try:
            check, report = judge(trial, dtype, device, seed)
            reports.append(report)
            report.raise_unless_passed()
            if (dtype, device) == ("float64", "cpu"):
                try_mutants(check, trial, rejected)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's code may raise anything, and may end the program (SystemExit)
            failures.append(f"{subject.name}, {trial.name}: {in_words(error, trial)}")
            verdicts.add("undecided" if isinstance(error, GradientUndecided) else "wrong")
    if failures:
        rejected = {}  # against a wrong backward they say nothing
    missed = [name for name, found in rejected.items() if not found]
    failures += [f"{subject.name}: the wrong backward {name!r} passes every check" for name in missed]
    return Outcome(
        subject.kind,
        subject.name,
        cases=len(subject.trials),
        elements=sum(report.checked for report in reports),
        largest_error=max((report.largest_relative_error for report in reports if report.checked), default=None),
        mutants=len(rejected),
        rejected=sum(rejected.values()),
        seconds=time.perf_counter() - began,
        failures=tuple(failures),
        verdict="undecided" if verdicts == {"undecided"} else "wrong" if failures else "passed",
        undecided=sum(entry.undecided for report in reports for entry in report.inputs),
    )


def judge(trial: Trial, dtype: str, device: str, seed: int) -> tuple[GradientCheck, Report]:
    """The differences of one trial, and the report on its backward."""
    settings = {"seed": seed, "tolerance": tolerance(trial.tolerance, dtype), **trial.settings}
    for name in ("options", "cotangent"):
        if name in settings:
            settings[name] = converted(settings[name], dtype, device)
    forward, backward = trial.pair
    check = GradientCheck(forward, converted(trial.inputs, dtype, device), **settings)
    # Slips of an operation have names that tell something; "one element scaled by 1.001" is for `try_mutants`, and the
    # diagnosis has better words for it. The formulas are written for NumPy.
    named = trial.mutants if trial.reference is not None and device == "cpu" else {}
    return check, check.run(backward, mutants=named, reference=trial.reference)


def try_mutants(check: GradientCheck, trial: Trial, rejected: dict[str, bool]) -> None:
    """Notes for each mutant whether it was rejected, in this trial or an earlier one: then it is not tried again.

    It may be right in some trials (a slip in the mask where nothing is masked), but not in all.
    """
    backward = (trial.reference or trial.pair)[1]
    if trial.reference is not None and trial.reference != trial.pair:
        check = GradientCheck(trial.reference[0], trial.inputs, **trial.settings)
    for description, mutant in trial.mutants.items():
        if not rejected.get(description):
            report = check.run(lambda dy, cache, mutant=mutant: mutant(backward, dy, cache), diagnosis=False)
            rejected[description] = report.verdict == "wrong"


def converted(value: Any, dtype: str, device: str) -> Any:
    """The value with its floating-point arrays in `dtype` and all arrays on `device`; containers are searched."""
    if isinstance(value, Mapping):
        return {name: converted(item, dtype, device) for name, item in value.items()}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(converted(item, dtype, device) for item in value)
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f" and value.dtype != dtype:
        value = value.astype(dtype)
    if device == "cpu":
        return value
    import cupy

    return cupy.asarray(value)


def in_words(error: BaseException, trial: Trial) -> str:
    """What went wrong, for people: a report, a refusal, or an exception of the code under test with its line."""
    if isinstance(error, GradientFailure):
        return str(error)
    if isinstance(error, VacuousCheck):
        why = f"{error.reason}; {_way_out(error, trial)}" if error.setting and trial.written else str(error)
        return f"refused, because it would prove nothing: {why}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if NUMPY not in Path(frame.filename).parents]
    if VERIFY in Path(inside[-1].filename).parents:  # a complaint of the check about what it was given
        return str(error)
    where = [frame for frame in frames if frame.filename == trial.file] or inside
    place = f"{type(error).__name__} in {where[-1].name} ({Path(where[-1].filename).name}:{where[-1].lineno})"
    if isinstance(error, SystemExit):
        return f"{place}: the code ends the program instead of returning"
    return f"{place}: {' '.join(str(error).split())}".removesuffix(": ")


def _way_out(error: VacuousCheck, trial: Trial) -> str:
    """What a user's file must say to lift a refusal, with what it says already."""
    said = trial.settings.get(error.setting or "", ())
    values = (*((said,) if isinstance(said, str) else said), error.value)
    listed = f'("{values[0]}",)' if len(values) == 1 else "(" + ", ".join(f'"{value}"' for value in values) + ")"
    others = "..., " if set(trial.settings) - {error.setting} else ""
    return f'if this is meant, say so in the file: {trial.written} = {{{others}"{error.setting}": {listed}}}'
