"""What a gradient check found: a report with one entry per input, and the error that is raised when one is wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from .differences import Kink
from .evidence import Finding

__all__ = ["GradientFailure", "GradientMismatch", "GradientUndecided", "InputReport", "Report", "Verdict"]

Verdict = Literal["passed", "wrong", "undecided"]

DIRECTIONS = 8  # along which a large gradient is compared
KINKS_LISTED = 5


@dataclass(frozen=True)
class InputReport:
    """The check of one gradient.

    `method` is "elements" (every element by central differences), "projection" (random directions and sampled
    elements, for large inputs), "sampled" (sampled elements only) or "none" (nothing could be compared: see
    `problem`). `largest_relative_error` is the largest absolute error over the largest entry of the true gradient.
    `where`, `analytic`, `numeric` and `step` belong to the worst element: the one of the largest error, or, where some
    are wrong or undecided, the one farthest beyond what the tolerance allows it. There the differences are known up to
    `known_to`, and the tolerance asks for `asked`. `wrong` and `undecided` count elements and directions;
    `wrong_directions` and `undecided_directions` of them are directions, and `slopes` is what the backward and the
    differences say along a wrong one. `why_undecided` says what hides the answer and what would show it.
    `at_kink` is the kink at the worst element, where its answer lies beyond both sides.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    method: str = "none"
    elements: int = 0
    checked: int = 0
    wrong: int = 0
    wrong_directions: int = 0
    undecided: int = 0
    undecided_directions: int = 0
    undecided_is_allowed: bool = False
    slopes: tuple[float, float] | None = None
    largest_absolute_error: float = float("nan")
    largest_relative_error: float = float("nan")
    where: tuple[int, ...] = ()
    analytic: float = float("nan")
    numeric: float = float("nan")
    step: float = float("nan")
    known_to: float = float("nan")
    asked: float = float("nan")
    why_undecided: str = ""
    region: str = ""
    kinks: tuple[Kink, ...] = ()
    at_kink: Kink | None = None
    problem: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """ "wrong" if one element is; "undecided" if none is, but rounding hides whether one is."""
        if self.problem is not None or self.wrong:
            return "wrong"
        return "undecided" if self.undecided and not self.undecided_is_allowed else "passed"

    @property
    def passed(self) -> bool:
        """True if nothing is wrong with this gradient, and nothing undecided that the caller did not allow."""
        return self.verdict == "passed"

    @property
    def ratio(self) -> float:
        """What the backward says over what the differences say, at the worst element; NaN where these say 0."""
        return self.analytic / self.numeric if self.numeric else float("nan")

    def with_findings(self, findings: tuple[Finding, ...]) -> InputReport:
        """The same entry with a diagnosis."""
        return replace(self, findings=findings)

    @property
    def looked_at(self) -> int:
        """How many single elements were compared."""
        return self.checked - (self.method == "projection") * DIRECTIONS

    def explain(self) -> list[str]:
        """Lines that say what is wrong or undecided, where, and what it resembles; no lines if nothing is."""
        lines = [f"{self.name}: {self.problem}"] if self.problem else []
        if self.verdict == "wrong":
            lines += self._explain_wrong()
        elif self.undecided:
            lines += self._explain_undecided()
        return lines

    def _explain_wrong(self) -> list[str]:
        lines, wrong = [], self.wrong - self.wrong_directions
        if wrong:
            hidden = self.undecided - self.undecided_directions
            others = f"; {hidden} {_are(hidden)} undecided" if hidden else ""
            lines += [
                f"{self.name}: {wrong} of {self.looked_at} {self._kind} {_are(wrong)} wrong{self.region}{others}",
                f"    at {_index_text(self.name, self.where)}: the backward says {self.analytic:.10g}, {self._said}",
            ]
        if self.slopes is not None:
            lines.append(
                f"{self.name}: along a random direction the backward says {self.slopes[0]:.10g}, the "
                f"differences say {self.slopes[1]:.10g}"
                + ("" if wrong else f"; no single wrong element was found among the {self.looked_at} looked at")
            )
        return lines + [f"    {'it' if i == 0 else 'or it'} {finding.text}" for i, finding in enumerate(self.findings)]

    @property
    def _said(self) -> str:
        """What the differences say at the worst element."""
        if self.at_kink is not None:
            left, right = self.at_kink.left, self.at_kink.right
            return f"at a kink whose slopes are {left:.4g} to the left and {right:.4g} to the right"
        ratio = f", ratio {self.ratio:.7g}" if self.numeric else ""
        return f"the differences say {self.numeric:.10g}{ratio}"

    def _explain_undecided(self) -> list[str]:
        lines, elements = [], self.undecided - self.undecided_directions
        allowed = " (allowed)" if self.undecided_is_allowed else ""
        if elements:
            lines += [
                f"{self.name}: {elements} of {self.looked_at} {self._kind} {_are(elements)} undecided{allowed}",
                f"    at {_index_text(self.name, self.where)}: the backward says {self.analytic:.10g}, the differences "
                f"say {self.numeric:.10g}, give or take {self.known_to:.1e}"
                + (f"; to decide it takes {self.asked:.1e}" if self.asked else ""),
            ]
        else:
            directions = f"{self.undecided_directions} of {DIRECTIONS} random directions"
            lines.append(f"{self.name}: {directions} {_are(self.undecided_directions)} undecided{allowed}")
        return [*lines, f"    {self.why_undecided}"]

    @property
    def _kind(self) -> str:
        return "elements" if self.method == "elements" else "sampled elements"


@dataclass(frozen=True)
class Report:
    """The result of `check_gradients` and `check_module`: one `InputReport` per gradient.

    `str(report)` is a table for people, `report.to_dict()` plain values for JSON. `problem` is a fault that belongs
    to no single input (a wrong number of gradients, a written input, a backward that gives two answers). `notes` say
    what was done to an input before it was checked.
    """

    name: str
    inputs: tuple[InputReport, ...]
    tolerance: str
    seed: int
    problem: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """ "wrong" if one gradient is, else "undecided" if one is, else "passed"."""
        verdicts = [entry.verdict for entry in self.inputs]
        if self.problem is not None or "wrong" in verdicts:
            return "wrong"
        return "undecided" if "undecided" in verdicts else "passed"

    @property
    def passed(self) -> bool:
        """True if every gradient is right. An undecided one is not."""
        return self.verdict == "passed"

    def raise_unless_passed(self) -> None:
        """Raises `GradientMismatch` or `GradientUndecided` by the verdict."""
        if self.verdict == "wrong":
            raise GradientMismatch(self)
        if self.verdict == "undecided":
            raise GradientUndecided(self)

    @property
    def largest_relative_error(self) -> float:
        """The largest error over all inputs, each relative to the largest entry of its gradient."""
        return max((e.largest_relative_error for e in self.inputs if e.checked), default=0.0)

    @property
    def checked(self) -> int:
        """The number of elements (and directions) compared."""
        return sum(entry.checked for entry in self.inputs)

    def __getitem__(self, name: str) -> InputReport:
        for entry in self.inputs:
            if entry.name == name:
                return entry
        raise KeyError(f"no gradient of {name!r} in this report; it has {', '.join(e.name for e in self.inputs)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        entries = [asdict(entry) | {"verdict": entry.verdict} for entry in self.inputs]
        return asdict(self) | {"inputs": entries, "verdict": self.verdict, "passed": self.passed}

    def __str__(self) -> str:
        verdict = {"wrong": "FAILED", "undecided": "UNDECIDED"}.get(self.verdict, "passed")
        lines = [f"gradient check of {self.name}: {verdict} ({self.checked} compared, seed {self.seed})"]
        if self.inputs:
            lines += _table([_HEADER, *(_cells(entry) for entry in self.inputs)])
        if self.problem:
            lines.append(self.problem)
        for entry in self.inputs:
            lines += entry.explain()
            lines += _kink_lines(entry)
        lines += self.notes
        if not self.passed:
            lines.append(f"allowed: {self.tolerance}")
        return "\n".join(lines)


class GradientFailure(AssertionError):
    """A gradient check that did not pass. The message says why and where; `.report` has it all."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The diagnosis of every wrong gradient, the likeliest first for each input."""
        return tuple(finding for entry in self.report.inputs for finding in entry.findings)


class GradientMismatch(GradientFailure):
    """A gradient is wrong. The message says which, where, by how much and what it resembles."""


class GradientUndecided(GradientFailure):
    """No gradient is seen to be wrong, but rounding hides whether one is. The message says what would decide it."""


_HEADER = ("input", "shape", "checked", "largest error", "of largest", "at", "backward", "differences", "")


def _cells(entry: InputReport) -> tuple[str, ...]:
    verdict = {"wrong": "WRONG", "undecided": "undecided"}.get(entry.verdict, "ok")
    how = f"{entry.checked}/{entry.elements}" if entry.method == "elements" else f"{entry.checked} {entry.method}"
    if not entry.checked:
        return (entry.name, str(entry.shape), "0", "", "", "", "", "", verdict)
    return (
        entry.name,
        str(entry.shape),
        how,
        f"{entry.largest_absolute_error:.1e}",
        f"{entry.largest_relative_error:.1e}",
        str(entry.where),
        f"{entry.analytic:+.6e}",
        f"{entry.numeric:+.6e}",
        verdict,
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows padded to columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _kink_lines(entry: InputReport) -> list[str]:
    if not entry.kinks:
        return []
    shown = [
        f"{_index_text(entry.name, kink.index)} (slopes {kink.left:.4g} left, {kink.right:.4g} right)"
        for kink in entry.kinks[:KINKS_LISTED]
    ]
    rest = len(entry.kinks) - len(shown)
    return [
        f"{entry.name}: {len(entry.kinks)} kink{'s' * (len(entry.kinks) > 1)}, not counted: {', '.join(shown)}"
        + (f" and {rest} more" if rest else "")
    ]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _index_text(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(str(int(np.int64(i))) for i in index)}]" if index else name
