"""How many problems a second does a model answer: in an evaluation, and writing its answers token by token?

    python benchmarks/answers.py [--device cpu|cuda] [--preset binary-reversed] [--rounds 5] [--json] [--write]

The model is the preset's with its initial weights: a gpt that reads whole samples without padding. Before the ways are
timed, in turns, both kinds of generation must give the same answers, and evaluation the same tokens as far as the
answers are right: it is given the right tokens before each one, not the model's own.

    evaluation          one forward pass over whole problems, as training and `evaluate` do it
    generation          one token after another with the key/value cache, as `sample` does it
    without the cache   the same, every token by a forward pass over all that stands before it
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from environment import RESULTS, environment, in_words

from tinygrad_arith.autograd import no_grad
from tinygrad_arith.backend import to_numpy
from tinygrad_arith.generation import generate
from tinygrad_arith.run_files.machine import gpu_names
from tinygrad_arith.training.build import initialize, make_model, make_task
from tinygrad_arith.training.presets import load_preset
from tinygrad_arith.training.threads import settle_process

PROBLEMS = 2_000
SHARED = 0.999  # of the tokens compared; rounding may tip a tie
EVALUATION, GENERATION, WITHOUT_CACHE = "evaluation", "generation", "without the cache"


def main(arguments: list[str] | None = None) -> int:
    """Parses, checks, times, prints, writes. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="binary-reversed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default cpu)")
    parser.add_argument("--rounds", type=int, default=5, help="turns for each way (default 5)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--write", action="store_true", help="write JSON and table to benchmarks/results/")
    options = parser.parse_args(arguments)
    try:
        result = measure(options.preset, options.rounds, options.device)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2) if options.json else table(result))
    if options.write:
        path = RESULTS / f"{result['benchmark']}_{result['date']}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(table(result) + "\n", encoding="utf-8")
    return 0


def measure(preset: str, rounds: int, device: str) -> dict[str, Any]:
    """Problems a second of each way. Raises ValueError if they disagree, or for a preset that this is not for."""
    settle_process(blas_threads=1)
    config = load_preset(preset).config.resolved()
    task = make_task(config.task)
    model = initialize(make_model(config, task), config, device)
    problems = task.problems("test", PROBLEMS)
    if not one_form(config, task, task.batch(problems)):
        needed = "this is for a gpt that reads whole samples without padding, such as binary-reversed"
        raise ValueError(f"--preset {preset}: {needed}")
    ways = make_ways(model, task, problems)
    check(ways, task.answers(problems))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    rates = {name: [len(problems) / value for value in values] for name, values in seconds.items()}
    measured = environment(["tinygrad_arith", "numpy", "numba", "mkl", "cupy-cuda13x"])
    place = {"benchmark": "cpu_answers"} if device == "cpu" else {"benchmark": "gpu_answers", "gpu": gpu_names()[0]}
    return {**place, **measured, "preset": preset, "problems": len(problems), "rates": rates}


def one_form(config: Any, task: Any, batch: Any) -> bool:
    """Whether all samples are as long, with the `=` at one place, for a model that needs to be told nothing else."""
    plain = config.model.kind == "gpt" and batch.positions is None and batch.key_mask is None
    return plain and bool((batch.tokens[:, -task.answer_length - 1] == task.vocabulary.ids["="]).all())


def check(ways: dict[str, Callable[[], np.ndarray]], right: np.ndarray) -> None:
    """Raise ValueError unless all ways say the same, as far as they are asked the same; right (n, answer_length)."""
    written = ways[GENERATION]()
    if not np.array_equal(written, ways[WITHOUT_CACHE]()):
        raise ValueError("generation with the cache and without it do not give the same answers")
    if not shared_tokens(ways[EVALUATION](), written, right) >= SHARED:
        raise ValueError("evaluation and generation do not give the same answers")


def shared_tokens(seen: np.ndarray, written: np.ndarray, right: np.ndarray) -> float:
    """The share of tokens that are the same in both, of those with nothing but right ones before them.

    seen, written, right: (n, answer_length), what evaluation and generation say and what is right
    """
    wrong_before = np.cumsum(written != right, axis=1) - (written != right)  # (n, answer_length)
    return float((seen == written)[wrong_before == 0].mean())


def make_ways(model: Any, task: Any, problems: Any) -> dict[str, Callable[[], np.ndarray]]:
    """Each way as a function that returns its answers, int64 (n, answer_length)."""
    batch = task.batch(problems)
    prompts = batch.tokens[:, : task.context - task.answer_length]  # (n, Tp)

    def one_by_one() -> np.ndarray:
        tokens = prompts
        with no_grad():
            for _ in range(task.answer_length):
                logits = to_numpy(model(tokens).array[:, -1])  # (n, V)
                tokens = np.concatenate([tokens, logits.argmax(axis=-1)[:, None]], axis=1)  # (n, Tp + 1, ...)
        return tokens[:, prompts.shape[1] :]

    return {
        EVALUATION: lambda: task.judge(model, problems).predictions,
        GENERATION: lambda: generate(model, prompts, task.answer_length),
        WITHOUT_CACHE: one_by_one,
    }


def table(result: dict[str, Any]) -> str:
    """The rates as Markdown."""
    head = (
        f"{in_words(result)}; {result['preset']}, {result['problems']:,} problems, {result.get('gpu', 'one thread')}."
    )
    lines = [head, "", "| way | problems a second, median (smallest to largest) |", "|---|--:|"]
    for name, rates in result["rates"].items():
        lines.append(f"| {name} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
