"""The mutation score of the gradient checks: is every slip in every backward of `ops` noticed by its own checks?

    python benchmarks/mutation_score.py                  # all operations
    python benchmarks/mutation_score.py --op layernorm   # one
    python benchmarks/mutation_score.py --write          # commits the tables to benchmarks/results/

Every line of every `*_backward`, and of the helpers that it runs, is changed in every way of `mutations.py`, one change
at a time; `mutated_operations.py` runs the operation's checks on each. A mutant is killed if a check rejects it or it
raises. Survivors that are equivalent are listed with their reasons in `equivalent_mutants.toml` and subtracted; any
other survivor, and any entry there that matches none, ends the program with exit status 1.

Why not a library: cosmic-ray and mutmut mutate whole files and run a test command on each copy, so a helper that the
forward shares would change in both and agree with itself, and the differences would be computed again for each of
thousands of mutants. Here only the backward's copy changes and the differences are computed once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import tomllib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the arrays are small and the processes are as many as the cores

from environment import RESULTS, environment, in_words
from mutated_operations import backward_functions, judge, operation_mutants
from mutations import Mutant

from tinygrad_arith.ops import OPERATIONS

EQUIVALENT_FILE = Path(__file__).resolve().parent / "equivalent_mutants.toml"


@dataclass(frozen=True)
class Equivalent:
    """One mutant of the list: `function` is "module.function" within `ops`; no operations means any."""

    function: str
    before: str
    after: str
    reason: str
    operations: tuple[str, ...] = ()

    def concerns(self, operation: str) -> bool:
        """May this mutant arise in this operation?"""
        names = {f"{f.__module__.rsplit('.', 1)[1]}.{f.__name__}" for f in backward_functions(operation)}
        return self.function in names and operation in (self.operations or (operation,))

    def describes(self, operation: str, mutant: Mutant) -> bool:
        """Is this the mutant?"""
        same = (self.function, self.before, self.after) == (place(mutant), mutant.before, mutant.after)
        return same and operation in (self.operations or (operation,))


@dataclass(frozen=True)
class Outcome:
    """The mutants of one operation and the verdict on each: how it was rejected, or None."""

    operation: str
    mutants: list[Mutant]
    verdicts: list[str | None]
    seconds: float

    def survivors(self) -> list[Mutant]:
        return [mutant for mutant, verdict in zip(self.mutants, self.verdicts, strict=True) if verdict is None]


def place(mutant: Mutant) -> str:
    """ "linear.linear_backward"."""
    return f"{mutant.module.rsplit('.', 1)[1]}.{mutant.function}"


def equivalents() -> list[Equivalent]:
    """The committed list."""
    found = []
    for entry in tomllib.loads(EQUIVALENT_FILE.read_text(encoding="utf-8"))["mutant"]:
        afters = entry["after"] if isinstance(entry["after"], list) else [entry["after"]]
        operations = tuple(entry.get("operations", ()))
        found += [Equivalent(entry["function"], entry["before"], a, entry["reason"], operations) for a in afters]
    return found


def score(operation: str) -> Outcome:
    """All mutants of one operation, judged."""
    start = time.perf_counter()
    mutants = operation_mutants(operation)
    return Outcome(operation, mutants, judge(operation, mutants), time.perf_counter() - start)


def score_all(operations: Iterable[str], workers: int) -> list[Outcome]:
    """Each operation in a process of its own, the one with most to do first."""
    names = list(operations)
    if workers == 1 or len(names) == 1:
        return [score(name) for name in names]
    by_work = sorted(names, key=lambda name: (name != "attention_blockwise", name != "attention"))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        outcomes = {outcome.operation: outcome for outcome in pool.map(score, by_work)}
    return [outcomes[name] for name in names]


def summarize(outcomes: list[Outcome], known: list[Equivalent]) -> dict[str, Any]:
    """Rows per operation, totals, the unexplained survivors and the entries of the list that match none."""
    rows, unexplained, used = [], [], set()
    for outcome in outcomes:
        equivalent = 0
        for mutant in outcome.survivors():
            matches = {entry for entry in known if entry.describes(outcome.operation, mutant)}
            used |= matches
            equivalent += bool(matches)
            if not matches:
                unexplained.append({"operation": outcome.operation, **_shown(mutant)})
        rows.append(_row(outcome, equivalent))
    stale = [e for e in known if e not in used and any(e.concerns(outcome.operation) for outcome in outcomes)]
    total = {key: sum(row[key] for row in rows) for key in ("mutants", "killed", "by_exception", "equivalent")}
    distinct = len({(place(mutant), mutant.source) for outcome in outcomes for mutant in outcome.mutants})
    return {
        "operations": rows,
        "total": total,
        "distinct_mutants": distinct,
        "score": total["killed"] / max(total["mutants"] - total["equivalent"], 1),
        "unexplained": unexplained,
        "stale_entries": [f"{entry.function}: {entry.before} -> {entry.after}" for entry in stale],
    }


def _row(outcome: Outcome, equivalent: int) -> dict[str, Any]:
    killed = [verdict for verdict in outcome.verdicts if verdict is not None]
    return {
        "operation": outcome.operation,
        "mutants": len(outcome.mutants),
        "killed": len(killed),
        "by_exception": sum(verdict != "mismatch" for verdict in killed),
        "equivalent": equivalent,
        "survived": len(outcome.mutants) - len(killed) - equivalent,
        "seconds": round(outcome.seconds, 2),
    }


def _shown(mutant: Mutant) -> dict[str, Any]:
    file = mutant.module.replace(".", "/") + ".py"
    shown = {"file": file, "line": mutant.line, "function": mutant.function, "kind": mutant.kind}
    return {**shown, "before": mutant.before, "after": mutant.after}


def table(summary: dict[str, Any]) -> str:
    """The rows as a Markdown table, with the totals below."""
    lines = [
        "| operation | mutants | killed | of these by an exception | equivalent | survived |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    total = {"operation": "**all**", **summary["total"], "survived": len(summary["unexplained"])}
    for row in (*summary["operations"], total):
        numbers = (row[key] for key in ("mutants", "killed", "by_exception", "equivalent", "survived"))
        lines.append(f"| {row['operation']} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def report(summary: dict[str, Any]) -> str:
    """The table, the score, and what is wrong, if anything."""
    lines = [table(summary), ""]
    lines.append(
        f"{summary['score']:.2%} of the mutants that are not equivalent were killed, in {summary['seconds']:.0f} s "
        f"({summary['distinct_mutants']} distinct mutants; those of a shared helper count for each operation)."
    )
    for s in summary["unexplained"]:
        lines += [f"SURVIVED {s['operation']} {s['file']}:{s['line']} ({s['kind']})"]
        lines += [f"  - {s['before']}", f"  + {s['after']}"]
    lines += [f"{EQUIVALENT_FILE.name}: matches no survivor: {entry}" for entry in summary["stale_entries"]]
    return "\n".join(lines)


def write_results(summary: dict[str, Any]) -> None:
    """The summary as JSON, dated, and the table as Markdown."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(summary, indent=1) + "\n"
    (RESULTS / f"mutation_score_{summary['environment']['date']}.json").write_text(text, encoding="utf-8")
    measured = in_words(summary["environment"])
    head = f"# Mutation score of the gradient checks\n\n`python benchmarks/mutation_score.py --write`\n\n{measured}\n"
    reasons = "The equivalent ones, each with its reason: `benchmarks/equivalent_mutants.toml`."
    (RESULTS / "mutation_score.md").write_text(f"{head}\n{report(summary)}\n\n{reasons}\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Prints the report; 1 if a mutant survives unexplained or the list of equivalent ones is out of date."""
    parser = argparse.ArgumentParser(description="The mutation score of the gradient checks of tinygrad_arith.ops.")
    parser.add_argument("--op", action="append", choices=list(OPERATIONS), metavar="NAME", help="only this operation")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: the cores)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/mutation_score*")
    options = parser.parse_args(arguments)
    if options.write and options.op:
        parser.error("--write is for all operations, not with --op")
    start = time.perf_counter()
    summary = summarize(score_all(options.op or OPERATIONS, options.workers), equivalents())
    summary = {"environment": environment(), "seconds": round(time.perf_counter() - start, 1), **summary}
    print(json.dumps(summary, indent=1) if options.json else report(summary))
    if options.write:
        write_results(summary)
    return 1 if summary["unexplained"] or summary["stale_entries"] else 0


if __name__ == "__main__":
    sys.exit(main())
