"""How exact is each operation in float32, beside PyTorch's on the same inputs?

    pip install -e '.[parity]'                         # PyTorch
    python benchmarks/float32_errors.py                # the table, and what is beyond the limit
    python benchmarks/float32_errors.py --only layernorm rmsnorm
    python benchmarks/float32_errors.py --write        # JSON and table in benchmarks/results/

The inputs (`float32_cases.py`) are drawn from a fixed seed: ordinary ones, large offsets, sums of a million terms,
scales near the ends of float32's range; small ones several times, and the largest error counts. Errors are those of the
output and of every gradient against the reference in float64, in units in the last place of the largest entry (for
element-wise functions, of each element). Ours may be at most
twice PyTorch's, or 2; the exit status is 1 if one is more.

Three ways of ours: the reference, the passes in NumPy (with NumPy's GEMM), and the passes in Numba (with MKL's
GEMM where it is installed). An operation that has no fast implementation has the reference's figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, environment, in_words
from float32_cases import SEED, Case, cases, ulps
from markdown_table import table

from tinygrad_arith.cpu import gemm, operations, passes_numpy
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.ops.registry import choose, forget_plans, reference_backward, reference_only

PATHS = ("reference", "NumPy", "Numba")
LEAST_LIMIT, FACTOR = 2.0, 2.0


def main(arguments: list[str] | None = None) -> int:
    """Parses, measures, prints, writes. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="OPERATION", help="these operations only")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", action="store_true", help="write JSON and table to benchmarks/results/")
    options = parser.parse_args(arguments)
    try:
        wanted = (draws for draws in cases() if not options.only or draws[0].operation in options.only)
        rows = [row for draws in wanted for row in measure(draws)]
    except ImportError as error:
        parser.error(f"{error}: pip install -e '.[parity]'")
    report = {
        "benchmark": "float32_errors",
        **environment(("numpy", "numba", "mkl", "torch")),
        "seed": SEED,
        "limit": {"factor": FACTOR, "least_ulp": LEAST_LIMIT},
        "rows": rows,
    }
    over = [row for row in rows if row["over"]]
    print(json.dumps(report, indent=2) if options.json else markdown(report))
    for row in over:
        print(f"beyond the limit: {described(row)}", file=sys.stderr)
    if options.write:
        write(report, RESULTS)
    return 1 if over else 0


def measure(draws: list[Case]) -> list[dict[str, Any]]:
    """A row for the output and for each gradient of a case: the largest error of its draws."""
    rows: list[dict[str, Any]] = []
    for each in zip(*map(errors_of, draws), strict=True):
        worst = {way: max(errors[way] for _, errors in each) for way in each[0][1]}
        limit = max(FACTOR * worst["PyTorch"], LEAST_LIMIT)
        over = [path for path in PATHS if path in worst and not worst[path] <= limit]
        rows.append({"operation": draws[0].operation, "situation": draws[0].situation, "of": each[0][0]} | worst)
        rows[-1]["over"] = over
    return rows


def errors_of(case: Case) -> list[tuple[str, dict[str, float]]]:
    """The output, then each gradient: its name, and the error of each of our ways and of PyTorch in ulp."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        exact, dy = run_exactly(case)
        found = {path: run_ours(case, dy, path) for path in PATHS if path != "Numba" or has_numba()}
        found["PyTorch"] = run_torch(case, dy)
        names = ("y", *(f"d{name}" for name in OPERATIONS[case.operation].inputs[: len(case.arrays)]))
        return [
            (name, {way: ulps(arrays[index], exact[index], case.by_element) for way, arrays in found.items()})
            for index, name in enumerate(names)
        ]


def run_exactly(case: Case) -> tuple[list[np.ndarray], np.ndarray]:
    """Output and gradients by the reference in float64, and the cotangent that all are given, in float32."""
    operation = OPERATIONS[case.operation]
    out, cache = operation.forward(*case.arguments(tuple(a.astype(np.float64) for a in case.arrays)), **case.options)
    rng = np.random.default_rng([SEED, zlib.crc32(case.arrays[0].tobytes())])  # another one for each draw
    dy = (case.dy_scale * (rng.normal(size=np.shape(out)) + 0.5)).astype(np.float32)
    gradients = reference_backward(operation)(np.asarray(dy, np.float64)[()], cache, needs=(True,) * len(case.arrays))
    return [out, *gradients], dy


def run_ours(case: Case, dy: np.ndarray, path: str) -> list[np.ndarray]:
    """Output and gradients in float32 by one of our ways."""
    operation = OPERATIONS[case.operation]
    names = operation.forward.__code__.co_varnames
    with one_way(path):
        given = dict(zip(names, case.arguments(case.arrays), strict=False)) | case.options
        forward, backward = choose(operation, given)
        out, cache = forward(**given)
        backward = backward or reference_backward(operation)
        return [np.array(out), *backward(dy.copy()[()], cache, needs=(True,) * len(case.arrays))]


@contextlib.contextmanager
def one_way(path: str) -> Iterator[None]:
    """Inside, operations run by this way."""
    users = [module for module in vars(operations).values() if hasattr(module, "passes")]
    before, by_mkl = [module.passes for module in users], gemm._by_mkl
    try:
        for module in users:
            module.passes = passes_numpy if path == "NumPy" else numba_passes() if path == "Numba" else module.passes
        if path == "NumPy":
            gemm._by_mkl = None
        forget_plans()
        with reference_only(path == "reference"):
            yield
    finally:
        gemm._by_mkl = by_mkl
        for module, passes in zip(users, before, strict=True):
            module.passes = passes


def numba_passes() -> Any:
    """Numba's passes. ImportError without Numba."""
    from tinygrad_arith.cpu import passes_numba

    return passes_numba


def has_numba() -> bool:
    """Whether Numba is installed."""
    try:
        numba_passes()
    except ImportError:
        return False
    return True


def run_torch(case: Case, dy: np.ndarray) -> list[np.ndarray]:
    """Output and gradients by PyTorch in float32."""
    import torch

    tensors = tuple(torch.tensor(array, requires_grad=True) for array in case.arrays)
    given = tuple(torch.from_numpy(item) if isinstance(item, np.ndarray) else item for item in case.given)
    arguments = (*given, *tensors) if case.first else (*tensors, *given)
    out = case.torch(*arguments, **case.options)
    out.backward(torch.from_numpy(np.asarray(dy)).reshape(out.shape))
    return [out.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors)]


def described(row: dict[str, Any]) -> str:
    """A row in words."""
    errors = ", ".join(f"{path} {number(row[path])}" for path in (*PATHS, "PyTorch") if path in row)
    return f"{row['operation']}, {row['situation']}, {row['of']}: {errors}"


def number(error: float | None) -> str:
    """An error in ulp; None is what JSON has for infinity."""
    if error is None or not math.isfinite(error):
        return "not finite"
    return f"{error:.1f}" if error < 1000 else f"{error:.1e}"


def markdown(report: dict[str, Any]) -> str:
    """The table: the worst of the output and of the gradients of each case."""
    paths = [path for path in (*PATHS, "PyTorch") if any(path in row for row in report["rows"])]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in report["rows"]:
        groups.setdefault((row["operation"], row["situation"]), []).append(row)
    lines = []
    for (operation, situation), rows in groups.items():
        outputs = [number(rows[0][path]) for path in paths]
        worst = [[math.inf if row[path] is None else row[path] for row in rows[1:]] for path in paths]
        gradients = [number(max(errors, default=0.0)) for errors in worst]
        lines.append([f"{operation}, {situation}", *outputs, *gradients])
    header = ["ulp", *(f"y: {path}" for path in paths), *(f"gradients: {path}" for path in paths)]
    return table(header, lines)


def write(report: dict[str, Any], folder: Path) -> None:
    """JSON, where an error that is not finite is null, and the table."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"float32_errors_{report['date']}.json"
    finite = [{k: None if v == math.inf else v for k, v in row.items()} for row in report["rows"]]
    path.write_text(json.dumps(report | {"rows": finite}, indent=1) + "\n", encoding="utf-8")
    text = f"{in_words(report)}; seed {report['seed']}.\n\n{markdown(report)}\n"
    path.with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
