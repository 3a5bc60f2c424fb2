"""Ask a trained model: `python -m tinygrad_arith.sample RUN`, by hand on a terminal or line by line from a pipe."""

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tinygrad_arith.cli.console import EXIT_FAILURE, fail, only_json, print_json
from tinygrad_arith.cli.flags import Parser, add_device_flag, make_parser, positive, some_path

if TYPE_CHECKING:
    from tinygrad_arith.tasks.answering import AnsweringTask
    from tinygrad_arith.tasks.answers import Answer, Sampling
    from tinygrad_arith.training.runs import LoadedRun

DESCRIPTION = """Let a trained model answer problems such as 1011+110=, written as it was trained on them.

On a terminal it asks for one problem after another; from a pipe or a file it answers one problem a line. Beside each
answer stands the problem with its true result in decimal, and whether the answer is right."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, load the run and answer; returns the exit code."""
    parser = make_sample_parser()
    args = parser.parse_args(argv)
    for name in ("top_k", "top_p", "min_p", "samples"):
        if getattr(args, name) is not None and args.temperature == 0:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"{flag}: needs a --temperature above 0; without one the most likely token is always taken")
    with only_json(args.json):
        return answer_all(args)


def answer_all(args: argparse.Namespace) -> int:
    """Load the run and answer what stands in the file, or comes from stdin; returns the exit code."""
    from tinygrad_arith.tasks.answers import Sampling
    from tinygrad_arith.training.runs import load_run

    run = load_run(args.run, args.device)
    answering_task(run)  # complain before anything is read
    given = {name: getattr(args, name) for name in ("top_p", "min_p", "samples") if getattr(args, name) is not None}
    sampling = Sampling(args.temperature, args.top_k, args.seed, **given)
    if args.file is None and sys.stdin.isatty():
        return converse(run, sampling, args.json)
    if args.file is None or str(args.file) == "-":
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace")  # a stray byte is a bad line, not the end of all
        return answer_lines(run, sampling, sys.stdin, args.json)
    with open(args.file, encoding="utf-8", errors="replace") as lines:
        return answer_lines(run, sampling, lines, args.json)


def answering_task(run: "LoadedRun") -> "AnsweringTask":
    """The run's task; raises UserError if there are no problems that its models answer."""
    from tinygrad_arith.tasks.answering import answering

    return answering(run.task, "sample")


def make_sample_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("sample", DESCRIPTION)
    parser.add_argument(
        "run", type=some_path, metavar="RUN", help="directory of the run, such as runs/binary-reversed-seed1"
    )
    parser.add_argument(
        "--file", type=some_path, metavar="FILE", help="read problems from this file, one a line; -: from stdin"
    )
    parser.add_argument(
        "--temperature",
        type=temperature,
        default=0.0,
        metavar="FLOAT",
        help="0: always the most likely token; above 0: draw from softmax(logits / temperature) (default: 0)",
    )
    parser.add_argument(
        "--top-k", type=positive, metavar="INT", help="draw among the so many most likely tokens only (default: all)"
    )
    parser.add_argument(
        "--top-p",
        type=share,
        metavar="FLOAT",
        help="draw among the most likely tokens that have this probability together (default: all)",
    )
    parser.add_argument(
        "--min-p",
        type=share,
        metavar="FLOAT",
        help="draw among the tokens that are at least so many times as likely as the most likely one (default: all)",
    )
    parser.add_argument(
        "--samples", type=positive, metavar="INT", help="answers to each problem, one below the other (default: 1)"
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="INT", help="of the draws (default: 0)")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    add_device_flag(parser)
    return parser


def temperature(text: str) -> float:
    """A finite number from 0 on."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, not {text}")
    return value


def share(text: str) -> float:
    """A number above 0, and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and at most 1, not {text}")
    return value


def seed(text: str) -> int:
    """A whole number that a random key can hold."""
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**64 - 1, not {text}")
    return int(text)


def converse(run: "LoadedRun", sampling: "Sampling", as_json: bool) -> int:
    """Ask for problems on the terminal until an empty line or the end of input."""
    task = answering_task(run)
    print(f"{run.path}, step {run.step}: {task.describe()}")
    example = task.text(task.problems("test", 1))[0].prompt
    print(f"Type a problem such as {example.strip()} and Enter; an empty line ends.")
    number = 0
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return 0
        if not line.strip():
            return 0
        number += 1
        try:
            for answer in answer_line(run, sampling, line, number):
                print_answer(answer, as_json)
        except ValueError as error:
            print(error)


def answer_lines(run: "LoadedRun", sampling: "Sampling", lines: Iterable[str], as_json: bool) -> int:
    """Answer one problem a line; blank lines are skipped, bad ones told on stderr. Returns 1 if any was bad."""
    code = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            answers = answer_line(run, sampling, line, number)
        except ValueError as error:
            fail(f"line {number}: {error}")
            code = EXIT_FAILURE
        else:
            for answer in answers:
                print_answer(answer, as_json, number)
    return code


def answer_line(run: "LoadedRun", sampling: "Sampling", line: str, number: int) -> "list[Answer]":
    """The model's answers to the problem in a line; ValueError with one sentence if it holds none."""
    from tinygrad_arith.tasks.answers import sample_answers

    task = answering_task(run)
    return sample_answers(run.model, task, task.parse(line), sampling, number)


def print_answer(answer: "Answer", as_json: bool, line: int | None = None) -> None:
    """Print an answer, for people or as JSON; at once, for a program that waits for it."""
    if as_json:
        number = {} if line is None else {"line": line}
        print_json(number | dataclasses.asdict(answer) | {"right": answer.right})
        return
    verdict = "right" if answer.right else f"wrong: {answer.right_answer} is right"
    print(f"{answer.prompt}{answer.answer}   {answer.statement}   {verdict}", flush=True)
