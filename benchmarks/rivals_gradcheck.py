"""Which gradient checker rejects which wrong backward, and what a check costs: ours beside the others'.

    pip install -e '.[bench]'                        # a rival that is missing is skipped visibly
    python benchmarks/rivals_gradcheck.py            # the table
    python benchmarks/rivals_gradcheck.py --write    # and the results in benchmarks/results/

Each checker gets the same forwards, wrong backwards and float64 inputs (`wrong_backwards.py`), with its defaults:

- ours: `check_gradients`.
- torch: `torch.autograd.gradcheck` on an `autograd.Function` around the pair (eps 1e-6, atol 1e-5, rtol 1e-3: every
  element of the Jacobian), and its `fast_mode=True`, the one PyTorch's own operator tests turn on (one projection).
- jax: `jax.test_util.check_grads(order=1, modes=["rev"])` on a `custom_vjp` around the pair (one projection, 1e-5).
- ones: the scheme of teaching frameworks, `y.sum().backward()` against central differences, rtol 1e-4, atol 1e-5,
  parameters at their initial ones and zeros.

A fault counts as rejected if the checker raises or returns false, for whatever reason (JAX hands out read-only arrays,
so writing to the cotangent raises there). The right backward must pass. Times include what a checker does around the
pair: JAX traces it, a checker that fails prepares its message.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from environment import RESULTS, environment, in_words
from wrong_backwards import KINDS, Problem, as_tuple, kind, problems

from tinygrad_arith.verify import check_gradients

Checker = Callable[[Problem, Callable], bool]  # does it accept this backward?


def ours(problem: Problem, backward: Callable) -> bool:
    """`tinygrad_arith.verify.check_gradients`."""
    check_gradients(problem.forward, backward, problem.arrays)
    return True


def ones_cotangent(problem: Problem, backward: Callable) -> bool:
    """The gradient of y.sum() against central differences at the initial parameters."""
    arrays = tuple(array.copy() for array in problem.initial)
    y, cache = problem.forward(*arrays)
    gradients = as_tuple(backward(np.ones_like(y), cache))
    accepted = True
    for array, gradient in zip(arrays, gradients, strict=True):
        numeric = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            numeric[index] = _central_difference(lambda: problem.forward(*arrays)[0].sum(), array, index, 1e-4)
        accepted = accepted and np.allclose(gradient, numeric, rtol=1e-4, atol=1e-5)
    return bool(accepted)


def _central_difference(function: Callable[[], float], array: np.ndarray, index: tuple, step: float) -> float:
    original = array[index]
    array[index] = original + step
    upper = function()
    array[index] = original - step
    lower = function()
    array[index] = original
    return (upper - lower) / (2 * step)


def torch_checker(fast_mode: bool) -> Checker:
    """`torch.autograd.gradcheck`; ImportError without PyTorch."""
    import torch

    torch.set_num_threads(1)

    class Pair(torch.autograd.Function):
        @staticmethod
        def forward(ctx, problem, backward, *tensors):
            out, ctx.saved = problem.forward(*(tensor.detach().numpy() for tensor in tensors))
            ctx.pair_backward = backward
            return torch.from_numpy(np.array(out))

        @staticmethod
        def backward(ctx, dy):
            gradients = as_tuple(ctx.pair_backward(dy.numpy(), ctx.saved))
            return None, None, *(torch.from_numpy(np.array(gradient)) for gradient in gradients)

    def accepts(problem: Problem, backward: Callable) -> bool:
        tensors = tuple(torch.tensor(array, requires_grad=True) for array in problem.arrays)
        return torch.autograd.gradcheck(
            lambda *given: Pair.apply(problem, backward, *given), tensors, fast_mode=fast_mode
        )

    return accepts


def jax_checker() -> Checker:
    """`jax.test_util.check_grads`; ImportError without JAX."""
    import jax
    from jax import test_util

    jax.config.update("jax_enable_x64", True)
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # it logs what it also raises

    def accepts(problem: Problem, backward: Callable) -> bool:
        def host_forward(*arrays):
            return problem.forward(*map(np.asarray, arrays))[0]

        def host_backward(dy, *arrays):
            cache = problem.forward(*map(np.asarray, arrays))[1]
            return tuple(map(np.asarray, as_tuple(backward(np.asarray(dy), cache))))

        def like(arrays):
            return tuple(jax.ShapeDtypeStruct(array.shape, "float64") for array in arrays)

        out = jax.ShapeDtypeStruct(host_forward(*problem.arrays).shape, "float64")

        @jax.custom_vjp
        def function(*arrays):
            return jax.pure_callback(host_forward, out, *arrays)

        function.defvjp(
            lambda *arrays: (function(*arrays), arrays),
            lambda arrays, dy: jax.pure_callback(host_backward, like(arrays), dy, *arrays),
        )
        test_util.check_grads(function, problem.arrays, order=1, modes=["rev"])
        return True

    return accepts


def checkers() -> tuple[dict[str, Checker], list[str]]:
    """Those that can run here, and a line for each that cannot."""
    makers: dict[str, Callable[[], Checker]] = {
        "check_gradients (ours)": lambda: ours,
        "torch.autograd.gradcheck": lambda: torch_checker(fast_mode=False),
        "torch gradcheck, fast_mode": lambda: torch_checker(fast_mode=True),
        "jax.test_util.check_grads": jax_checker,
        "ones cotangent, initial parameters": lambda: ones_cotangent,
    }
    found, missing = {}, []
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            missing.append(f"skipped: {name} ({error})")
    return found, missing


def timed(checker: Checker, problem: Problem, backward: Callable) -> tuple[bool, float]:
    """Whether the checker accepts this backward, and the seconds that took."""
    start = time.perf_counter()
    try:
        accepted = checker(problem, backward)
    except Exception:
        accepted = False
    return accepted, time.perf_counter() - start


def compare(found: dict[str, Checker], repeats: int) -> dict[str, Any]:
    """Rows per operation and checker; every fault that a checker accepts; median times over all operations."""
    rows, accepted_faults, right_rejected = [], [], []
    times: dict[str, dict[str, list[float]]] = {name: {"right": [], "wrong": []} for name in found}
    for problem in problems():
        for name, checker in found.items():
            timed(checker, problem, problem.backward)  # warm: imports, traces
            right = [timed(checker, problem, problem.backward) for _ in range(repeats)]
            right_rejected += [f"{name}: {problem.name}"] if not all(ok for ok, _ in right) else []
            wrong = {fault: timed(checker, problem, backward) for fault, backward in problem.faults.items()}
            missed = [fault for fault, (accepted, _) in wrong.items() if accepted]
            accepted_faults += [{"checker": name, "operation": problem.name, "fault": fault} for fault in missed]
            times[name]["right"] += [seconds for _, seconds in right]
            times[name]["wrong"] += [seconds for _, seconds in wrong.values()]
            rows.append(_row(problem, name, right, wrong))
    total = [_total(name, rows, times[name]) for name in found]
    return {"total": total, "operations": rows, "accepted_faults": accepted_faults, "right_rejected": right_rejected}


def _row(problem: Problem, name: str, right: list, wrong: dict) -> dict[str, Any]:
    by_kind = {each: [not accepted for fault, (accepted, _) in wrong.items() if kind(fault) == each] for each in KINDS}
    return {
        "operation": problem.name,
        "checker": name,
        "faults": len(wrong),
        "rejected": sum(map(sum, by_kind.values())),
        "faults_by_kind": {each: len(rejected) for each, rejected in by_kind.items()},
        "rejected_by_kind": {each: sum(rejected) for each, rejected in by_kind.items()},
        "milliseconds_right": _milliseconds([seconds for _, seconds in right]),
        "milliseconds_wrong": _milliseconds([seconds for _, seconds in wrong.values()]),
    }


def _total(name: str, rows: list[dict[str, Any]], times: dict[str, list[float]]) -> dict[str, Any]:
    mine = [row for row in rows if row["checker"] == name]
    return {
        "checker": name,
        "faults": sum(row["faults"] for row in mine),
        "rejected": sum(row["rejected"] for row in mine),
        "faults_by_kind": {each: sum(row["faults_by_kind"][each] for row in mine) for each in KINDS},
        "rejected_by_kind": {each: sum(row["rejected_by_kind"][each] for row in mine) for each in KINDS},
        "milliseconds_right": _milliseconds(times["right"]),
        "milliseconds_wrong": _milliseconds(times["wrong"]),
    }


def _milliseconds(seconds: list[float]) -> float:
    return round(1e3 * statistics.median(seconds), 2)


def report(results: dict[str, Any]) -> str:
    """Tables in Markdown: totals, rejected per operation, the faults that each checker accepted."""
    total, names = results["total"], [row["checker"] for row in results["total"]]
    counts = [f"{each} ({total[0]['faults_by_kind'][each]})" for each in KINDS]
    heads = ["checker", f"rejected, of {total[0]['faults']}", *counts, "ms, right backward", "ms, wrong backward"]
    lines = ["Wrong backwards rejected, and the median time of a check:", "", *_head(heads)]
    for row in total:
        times = (row["milliseconds_right"], row["milliseconds_wrong"])
        lines.append(_line([row["checker"], row["rejected"], *row["rejected_by_kind"].values(), *times]))
    lines += ["", "Rejected; median milliseconds for the right backward / for wrong ones:", ""]
    lines += _head(["operation", "faults", *names])
    for operation in dict.fromkeys(row["operation"] for row in results["operations"]):
        mine = [row for row in results["operations"] if row["operation"] == operation]
        cells = [f"{r['rejected']}; {r['milliseconds_right']:.3g} / {r['milliseconds_wrong']:.3g}" for r in mine]
        lines.append(_line([operation, mine[0]["faults"], *cells]))
    for name in names:
        accepted = [f"{a['operation']}: {a['fault']}" for a in results["accepted_faults"] if a["checker"] == name]
        lines += ["", f"Accepted by {name}: {'; '.join(accepted) or 'none'}."]
    lines += [f"The right backward is rejected by {entry}" for entry in results["right_rejected"]]
    return "\n".join([*lines, *results["skipped"]])


def _head(cells: list[str]) -> list[str]:
    return [_line(cells), f"|---|{'--:|' * (len(cells) - 1)}"]


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def write_results(results: dict[str, Any]) -> None:
    """JSON, dated, and Markdown."""
    RESULTS.mkdir(exist_ok=True)
    measured = results["environment"]
    path = RESULTS / f"rivals_gradcheck_{measured['date']}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    head = "# Gradient checkers on the same wrong backwards\n\n`python benchmarks/rivals_gradcheck.py --write`"
    text = f"{head}\n\n{in_words(measured)}\n\n{report(results)}\n"
    (RESULTS / "rivals_gradcheck.md").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Prints the tables; 1 if ours accepts a fault or any checker rejects a right backward."""
    parser = argparse.ArgumentParser(description="Gradient checkers on the same wrong backwards.")
    parser.add_argument("--repeats", type=int, default=5, help="timed checks of each right backward (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/rivals_gradcheck*")
    options = parser.parse_args(arguments)
    found, missing = checkers()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        results = compare(found, options.repeats)
    results = {"environment": environment(("numpy", "scipy", "torch", "jax", "jaxlib")), "skipped": missing, **results}
    print(json.dumps(results, indent=1) if options.json else report(results))
    if options.write:
        write_results(results)
    missed_by_us = [a for a in results["accepted_faults"] if "ours" in a["checker"]]
    return 1 if missed_by_us or results["right_rejected"] else 0


if __name__ == "__main__":
    sys.exit(main())
