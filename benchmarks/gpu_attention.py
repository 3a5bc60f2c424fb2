"""Is our attention on the GPU as fast as FlashAttention-2, and what does each kernel variant bring?

    python benchmarks/gpu_attention.py                              # every shape, kernel variant and rival
    python benchmarks/gpu_attention.py --quick                      # three shapes, few samples
    python benchmarks/gpu_attention.py --only 16/12/1024/64 --only "192/4/32/32 float32"
    python benchmarks/gpu_attention.py --write                      # JSON, tables and picture in benchmarks/results/

Every kernel variant that accepts a shape and the backends of PyTorch's scaled_dot_product_attention (FlashAttention-2,
also deterministic, cuDNN, memory-efficient) compute causal self-attention on the same arrays, forward and backward.
Each is checked against the reference in float64 first (one of ours that is wrong is not timed, and the exit status is
1), then captured into a CUDA graph and replayed in turns with the others. Needs a GPU, CuPy and PyTorch.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from environment import RESULTS, environment, in_words
from gpu_rivals import report as reporting
from gpu_rivals.shapes import QUICK, SHAPES, Shape, find_shape

SAMPLES, QUICK_SAMPLES = 30, 7


def main(arguments: list[str] | None = None) -> int:
    """Parses, runs, prints, writes. Returns the exit status."""
    options = parse(arguments)

    def say(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    try:
        from gpu_rivals import contestants  # noqa: F401 -- CuPy and PyTorch
    except ImportError as error:
        print(f"needs CuPy, PyTorch and a GPU: {error}", file=sys.stderr)
        return 1
    report = describe(options)
    say(heading(report))
    for shape in options.only:
        say(f"\n{shape.name}")
        result = measure(shape, options.samples)
        report["shapes"].append(result)
        say("\n".join(reporting.lines(result)))
    if options.json:
        print(json.dumps(report, indent=2))
    if options.write:
        say(f"\nwritten to {write(report, RESULTS)}")
    return int(any(result["failed"] for result in report["shapes"]))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; ends the process with status 2 where it is misused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ", ".join(shape.name for shape in SHAPES)
    parser.add_argument(
        "--only",
        action="append",
        metavar="SHAPE",
        help=f"B/NH/T/HS (batch, heads, positions, head size); repeatable; default: {known}",
    )
    parser.add_argument("--samples", type=int, help=f"replays of each contestant (default {SAMPLES})")
    parser.add_argument("--quick", action="store_true", help="few shapes and samples: a look, not a result")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, all else to stderr")
    parser.add_argument("--write", action="store_true", help="write to benchmarks/results/")
    options = parser.parse_args(arguments)
    try:
        every = QUICK if options.quick else SHAPES
        options.only = [find_shape(name) for name in options.only] if options.only else list(every)
    except ValueError as error:
        parser.error(f"--only {error}")
    if options.samples is None:
        options.samples = QUICK_SAMPLES if options.quick else SAMPLES
    if options.samples < 1:
        parser.error("--samples: must be above 0")
    return options


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The head of the report: on which GPU, with which versions."""
    import torch

    found = environment(("numpy", "cupy-cuda12x", "cupy-cuda13x", "torch"))
    found["versions"] |= {"CUDA": torch.version.cuda, "cuDNN": str(torch.backends.cudnn.version())}
    gpu = torch.cuda.get_device_name()
    return {"benchmark": "gpu_attention", **found, "gpu": gpu, "samples": options.samples, "shapes": []}


def heading(report: dict[str, Any]) -> str:
    """One line for the head of a page."""
    return f"{report['gpu']}; {in_words(report)}; up to {report['samples']} samples each."


def measure(shape: Shape, samples: int) -> dict[str, Any]:
    """One shape from start to end."""
    from gpu_rivals.agreement import Referee
    from gpu_rivals.contestants import make_inputs, our_contestants, torch_contestants
    from gpu_rivals.timing import Lane, capture, in_short, take_turns

    with Lane() as lane:
        inputs = make_inputs(shape)
        ours, skipped = our_contestants(shape, inputs)
        result = {"shape": shape.name, "contestants": {}, "skipped": skipped, "failed": []}
        referee = Referee(inputs)
        taking_part = []
        for contestant in (*ours, *torch_contestants(shape, inputs)):
            errors = tried(result, contestant, "", functools.partial(checked, contestant, referee))
            if errors is not None:
                result["contestants"][contestant.name] = {"ours": contestant.ours, "errors": errors}
                taking_part.append(contestant)
        for direction in reporting.DIRECTIONS:
            replays = {}
            for contestant in taking_part:
                contestant.prepare()
                call = functools.partial(capture, getattr(contestant, direction), lane)
                replays[contestant.name] = tried(result, contestant, f", {direction}", call)
            replays = {name: replay for name, replay in replays.items() if replay is not None}
            for name, times in take_turns(replays, samples, lane).items():
                result["contestants"][name][direction] = in_short(times)
    return result


def checked(contestant: Any, referee: Any) -> dict[str, Any]:
    """The contestant's errors. Raises RuntimeError if it refuses the shape, or is one of ours and wrong."""
    from gpu_rivals.agreement import complaint

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says in warnings why a backend refuses
        errors = referee.errors(contestant.results(), contestant.precision)
    if contestant.ours and complaint(errors):
        raise RuntimeError(complaint(errors))
    return errors


def tried(result: dict[str, Any], contestant: Any, what: str, call: Callable[[], Any]) -> Any:
    """What the call returns; None, with the reason in the result, if it fails. Ours must not."""
    try:
        return call()
    except RuntimeError as error:
        name, (reason, *_) = contestant.name + what, str(error).splitlines() or ["no reason given"]
        result["skipped"][name] = reason
        result["failed"] += [name] if contestant.ours else []
        return None


def write(report: dict[str, Any], folder: Path) -> Path:
    """Writes dated JSON, the tables and the picture; returns the path of the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    dated = folder / f"gpu_attention_{report['date']}.json"
    dated.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    reporting.picture(report, folder / "gpu_attention.png")
    path = folder / "gpu_attention.md"
    path.write_text(reporting.markdown(report, heading(report)), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
