"""How often a gradient checker is wrong: right and wrong backwards over all scales, the truth by mpmath.

    pip install -e '.[bench]'                                         # the rivals and mpmath
    python benchmarks/checker_errors.py --seed 1 --checkers ours --list
    python benchmarks/checker_errors.py --seed 1 --seed 2 --write     # the tables, in benchmarks/results/

A seed draws problems (`checker_corpus/`): a function, inputs at some scale and offset, its right backward and a wrong
one. Each checker judges both, in turns, with its defaults: ours as in `GradientCheck`, the rivals as in
`rivals_gradcheck.py`. What they say is counted by stratum. "Determined" is a case that float64 outputs can tell,
judged from rounding, curvature and tolerance by `checker_corpus/truth.py`, which knows no checker.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from checker_corpus.contestants import MAKERS, Checker, checkers
from checker_corpus.corpus import Case, Corpus
from checker_corpus.report import Answered, in_words, results
from environment import RESULTS, environment
from environment import in_words as machine_in_words

PACKAGES = ("numpy", "scipy", "mpmath", "torch", "jax", "jaxlib")


def asked(name: str, checker: Checker, case: Case) -> Answered:
    """One checker's answer to one case."""
    start = time.perf_counter()
    verdict, reason = checker(case)
    return Answered(name, case, verdict, reason, time.perf_counter() - start)


def measure(seeds: Iterable[int], count: int, found: dict[str, Checker]) -> tuple[list[Answered], Counter]:
    """All answers, the checkers in turns at each case; what was left out of the corpus, by its reason."""
    answers: list[Answered] = []
    left_out: Counter = Counter()
    for seed in seeds:
        corpus = Corpus(seed, count)
        for number, case in enumerate(corpus):
            if not answers:
                for name, checker in found.items():
                    asked(name, checker, case)  # warm: imports, traces
            answers += [asked(name, checker, case) for name, checker in found.items()]
            _show_progress(seed, number, 2 * count)
        left_out += corpus.left_out
    return answers, left_out


def _show_progress(seed: int, number: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rseed {seed}: case {number + 1} of about {total}", end="", file=sys.stderr, flush=True)


def listed(answers: list[Answered]) -> str:
    """Every error, and every case that was left undecided or refused, with what is needed to look into it."""
    lines = []
    for answer in answers:
        if not (answer.is_error or answer.verdict in ("undecided", "refused")) or answer.case.expected == "within":
            continue
        truth, what = answer.case.truth, f"{answer.case.expected} one {answer.verdict}"
        known = f"determined: {truth.determined}, {truth.error:.3g} of the tolerance at {truth.where}"
        lines += [f"{answer.checker}: {what}: {answer.case.name}", f"    {known}; {answer.case.strata}"]
        lines += [f"    | {line}" for line in answer.reason.splitlines()]
    return "\n".join(lines)


def write_results(found: dict[str, Any]) -> None:
    """JSON and Markdown, dated."""
    RESULTS.mkdir(exist_ok=True)
    measured = found["environment"]
    path = RESULTS / f"checker_errors_{measured['date']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    seeds = ", ".join(map(str, found["seeds"]))
    head = f"# How often gradient checkers are wrong\n\n`benchmarks/checker_errors.py`, seeds {seeds}"
    text = f"{head}\n\n{machine_in_words(measured)}\n\n{in_words(found)}\n"
    path.with_suffix(".md").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables; 1 if ours passes a wrong backward or accuses a right one."""
    parser = argparse.ArgumentParser(description="How often gradient checkers are wrong.")
    parser.add_argument("--seed", type=int, action="append", help="of a corpus; may be repeated (default: 1)")
    parser.add_argument(
        "--cases", type=int, default=400, help="right and as many wrong backwards a seed (default: 400)"
    )
    parser.add_argument("--checkers", nargs="+", choices=list(MAKERS), default=list(MAKERS), help="default: all")
    parser.add_argument("--list", action="store_true", help="every error and undecided case with its reason")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/checker_errors_*")
    options = parser.parse_args(arguments)
    seeds = options.seed or [1]
    contestants, missing = checkers(options.checkers)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        answers, left_out = measure(seeds, options.cases, contestants)
    found = {"environment": environment(PACKAGES), "seeds": seeds, "skipped": missing, "left_out": dict(left_out)}
    found |= results(answers)
    if options.list:
        print(listed(answers))
    print(json.dumps(found, indent=1) if options.json else "\n".join([in_words(found), *missing]))
    if options.write:
        write_results(found)
    return int(any(error["checker"] == MAKERS["ours"][0] for error in found["errors"]))


if __name__ == "__main__":
    sys.exit(main())
