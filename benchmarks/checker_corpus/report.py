"""What the checkers answered, counted: totals, strata, every error and every undecided case; JSON and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markdown_table import table

if TYPE_CHECKING:  # the corpus needs mpmath, its tables do not
    from .corpus import Case

STRATA = ("kind", "wrongness", "scale", "offset")
UNSURE = ("undecided", "refused")
REASON = 800  # characters of a reason: rivals print whole Jacobians


@dataclass(frozen=True)
class Answered:
    """What one checker said of one case, and the seconds it took."""

    checker: str
    case: Case
    verdict: str
    reason: str
    seconds: float

    @property
    def is_error(self) -> bool:
        """A wrong backward passed or a right one accused."""
        return (self.case.expected, self.verdict) in (("wrong", "passed"), ("right", "wrong"))

    @property
    def is_unsure(self) -> bool:
        """Undecided or refused, although float64 outputs can tell."""
        return self.verdict in UNSURE and self.case.truth.determined

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        truth = self.case.truth
        return {
            "checker": self.checker,
            "case": self.case.name,
            "expected": self.case.expected,
            "verdict": self.verdict,
            "determined": truth.determined,
            "error_over_tolerance": truth.error,
            "where": truth.where,
            "strata": self.case.strata,
            "reason": self.reason[:REASON],
        }


def counts(answers: Iterable[Answered]) -> dict[str, Any]:
    """The figures of these answers, all by one checker."""
    answers = list(answers)
    kinds = {name: [a for a in answers if a.case.expected == name] for name in ("right", "wrong", "within")}
    decidable = [a for a in answers if a.case.truth.determined and a.case.expected != "within"]
    return {
        **{name: len(found) for name, found in kinds.items()},
        "wrong_passed": sum(a.verdict == "passed" for a in kinds["wrong"]),
        "right_accused": sum(a.verdict == "wrong" for a in kinds["right"]),
        "undecided": sum(a.verdict == "undecided" for a in kinds["right"] + kinds["wrong"]),
        "refused": sum(a.verdict == "refused" for a in kinds["right"] + kinds["wrong"]),
        "within_passed": sum(a.verdict == "passed" for a in kinds["within"]),
        "determined": len(decidable),
        "unsure_of_determined": sum(a.is_unsure for a in decidable),
        "milliseconds_right": _milliseconds(kinds["right"]),
        "milliseconds_wrong": _milliseconds(kinds["wrong"]),
    }


def _milliseconds(answers: list[Answered]) -> float | None:
    return round(1e3 * statistics.median(a.seconds for a in answers), 2) if answers else None


def results(answers: list[Answered]) -> dict[str, Any]:
    """Totals and strata of each checker; every answer that is wrong or unsure, with its reason."""
    names = list(dict.fromkeys(a.checker for a in answers))
    return {
        "total": [{"checker": name, **counts(a for a in answers if a.checker == name)} for name in names],
        "strata": [
            {"checker": name, "by": by, "stratum": stratum, **counts(found)}
            for name in names
            for by in (*STRATA, "function")
            for stratum, found in _groups([a for a in answers if a.checker == name], by).items()
        ],
        "errors": [a.to_dict() for a in answers if a.is_error],
        "undecided": [a.to_dict() for a in answers if a.verdict in UNSURE and a.case.expected != "within"],
    }


def _groups(answers: list[Answered], by: str) -> dict[str, list[Answered]]:
    groups: dict[str, list[Answered]] = {}
    for answer in answers:
        if by in answer.case.strata:
            groups.setdefault(answer.case.strata[by], []).append(answer)
    return dict(sorted(groups.items()))


def in_words(found: dict[str, Any]) -> str:
    """The tables in Markdown."""
    lines = [totals(found["total"]), "", *_worst(found)]
    for by in STRATA:
        lines += ["", f"By {by}: wrong ones passed, right ones accused, undecided or refused though determined.", ""]
        lines.append(_by_stratum([row for row in found["strata"] if row["by"] == by]))
    return "\n".join(lines)


def _worst(found: dict[str, Any]) -> list[str]:
    """For each checker that may leave a case undecided, the stratum in which it does so most."""
    lines = []
    for name in (row["checker"] for row in found["total"] if row["unsure_of_determined"]):
        rows = [row for row in found["strata"] if row["checker"] == name and row["by"] in STRATA]
        most = max(rows, key=share)
        counted = f"{most['unsure_of_determined']} of {most['determined']}"
        lines.append(
            f'{name} leaves most undecided of {most["by"]} "{most["stratum"]}": {counted} ({share(most):.1%}).'
        )
    return lines


def totals(rows: list[dict[str, Any]]) -> str:
    """One line a checker."""
    right, wrong = rows[0]["right"], rows[0]["wrong"]
    header = ("checker", f"wrong ones passed, of {wrong}", f"right ones accused, of {right}")
    header += ("undecided", "refused", "either, though determined", "ms a check, right / wrong")
    return table(header, [_total(row) for row in rows])


def _total(row: dict[str, Any]) -> list[str]:
    counted = [str(row[name]) for name in ("wrong_passed", "right_accused", "undecided", "refused")]
    unsure = f"{row['unsure_of_determined']} of {row['determined']} ({share(row):.1%})"
    return [row["checker"], *counted, unsure, f"{row['milliseconds_right']:.3g} / {row['milliseconds_wrong']:.3g}"]


def share(row: dict[str, Any]) -> float:
    """Of the cases that float64 outputs determine, those that the checker left undecided or refused."""
    return row["unsure_of_determined"] / row["determined"] if row["determined"] else 0.0


def _by_stratum(rows: list[dict[str, Any]]) -> str:
    checkers, strata = (list(dict.fromkeys(row[name] for row in rows)) for name in ("checker", "stratum"))
    by_key = {(row["stratum"], row["checker"]): row for row in rows}
    lines = []
    for stratum in sorted(strata, key=_order):
        mine = [by_key[stratum, checker] for checker in checkers]
        cells = [f"{r['wrong_passed']}, {r['right_accused']}, {share(r):.0%}" for r in mine]
        lines.append([stratum, f"{mine[0]['right']} / {mine[0]['wrong']}", *cells])
    return table(("", "right / wrong", *checkers), lines)


def _order(stratum: str) -> tuple[float, str]:
    """Scales by their size, everything else by the alphabet."""
    words = stratum.split()
    if words[0] in ("below", "above"):
        return (-1e9 if words[0] == "below" else 1e9), stratum
    return (float(words[0]) if words[0].startswith("1e") else 0.0), stratum
