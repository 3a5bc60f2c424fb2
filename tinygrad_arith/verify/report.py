"""What a gradient check found: a report with one entry per input, and the error that is raised when one is wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .differences import Kink
from .evidence import Finding

__all__ = ["GradientMismatch", "InputReport", "Report"]

DIRECTIONS = 8  # along which a large gradient is compared
KINKS_LISTED = 5


@dataclass(frozen=True)
class InputReport:
    """The check of one gradient.

    `method` is "elements" (every element by central differences), "projection" (random directions and sampled
    elements, for large inputs), "sampled" (sampled elements only) or "none" (nothing could be compared: see
    `problem`). `largest_relative_error` is the largest absolute error over the largest entry of the true gradient.
    `where`, `analytic`, `numeric` and `step` belong to the worst element: the one of the largest error, or, where some
    are wrong, the one farthest beyond what the tolerance allows it. `wrong` counts elements and directions;
    `wrong_directions` of them are directions, and `slopes` is what the backward and the differences say along one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    method: str = "none"
    elements: int = 0
    checked: int = 0
    wrong: int = 0
    wrong_directions: int = 0
    slopes: tuple[float, float] | None = None
    largest_absolute_error: float = float("nan")
    largest_relative_error: float = float("nan")
    where: tuple[int, ...] = ()
    analytic: float = float("nan")
    numeric: float = float("nan")
    step: float = float("nan")
    region: str = ""
    kinks: tuple[Kink, ...] = ()
    problem: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """True if nothing is wrong with this gradient."""
        return self.problem is None and self.wrong == 0

    @property
    def ratio(self) -> float:
        """What the backward says over what the differences say, at the worst element; NaN where these say 0."""
        return self.analytic / self.numeric if self.numeric else float("nan")

    def with_findings(self, findings: tuple[Finding, ...]) -> InputReport:
        """The same entry with a diagnosis."""
        return replace(self, findings=findings)

    def explain(self) -> list[str]:
        """Lines that say what is wrong, where, and what it resembles; no lines if nothing is."""
        if self.passed:
            return []
        lines = [f"{self.name}: {self.problem}"] if self.problem else []
        wrong, looked_at = self.wrong - self.wrong_directions, self.checked - (self.method == "projection") * DIRECTIONS
        kind = "elements" if self.method == "elements" else "sampled elements"
        if wrong:
            ratio = f", ratio {self.ratio:.7g}" if self.numeric else ""
            lines += [
                f"{self.name}: {wrong} of {looked_at} {kind} {'is' if wrong == 1 else 'are'} wrong{self.region}",
                f"    at {_index_text(self.name, self.where)}: the backward says {self.analytic:.10g}, "
                f"the differences say {self.numeric:.10g}{ratio}",
            ]
        if self.slopes is not None:
            lines.append(
                f"{self.name}: along a random direction of length 1 the backward says {self.slopes[0]:.10g}, the "
                f"differences say {self.slopes[1]:.10g}"
                + ("" if wrong else f"; no single wrong element was found among the {looked_at} looked at")
            )
        lines += [f"    {'it' if i == 0 else 'or it'} {finding.text}" for i, finding in enumerate(self.findings)]
        return lines


@dataclass(frozen=True)
class Report:
    """The result of `check_gradients` and `check_module`: one `InputReport` per gradient.

    `str(report)` is a table for people, `report.to_dict()` plain values for JSON. `problem` is a fault that belongs
    to no single input (a wrong number of gradients, a written input, a backward that gives two answers).
    """

    name: str
    inputs: tuple[InputReport, ...]
    tolerance: str
    seed: int
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """True if every gradient is right."""
        return self.problem is None and all(entry.passed for entry in self.inputs)

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
        return asdict(self) | {"passed": self.passed}

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        lines = [f"gradient check of {self.name}: {verdict} ({self.checked} compared, seed {self.seed})"]
        if self.inputs:
            lines += _table([_HEADER, *(_cells(entry) for entry in self.inputs)])
        if self.problem:
            lines.append(self.problem)
        for entry in self.inputs:
            lines += entry.explain()
            lines += _kink_lines(entry)
        if not self.passed:
            lines.append(f"allowed: {self.tolerance}")
        return "\n".join(lines)


class GradientMismatch(AssertionError):
    """A gradient is wrong. The message says which, where, by how much and what it resembles; `.report` has it all."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The diagnosis of every wrong gradient, the likeliest first for each input."""
        return tuple(finding for entry in self.report.inputs for finding in entry.findings)


_HEADER = ("input", "shape", "checked", "largest error", "of largest", "at", "backward", "differences", "")


def _cells(entry: InputReport) -> tuple[str, ...]:
    verdict = "ok" if entry.passed else "WRONG"
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
        f"{entry.name}: {len(entry.kinks)} kinks, not counted: {', '.join(shown)}"
        + (f" and {rest} more" if rest else "")
    ]


def _index_text(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(str(int(np.int64(i))) for i in index)}]" if index else name
