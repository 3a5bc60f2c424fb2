"""Ask a trained model: `python -m tinygrad_arith.sample RUN`, by hand on a terminal or line by line from a pipe."""

import argparse
import dataclasses
import itertools
import math
import sys
from collections.abc import Iterable, Sequence

from ..tasks.answering import AnsweringTask, answering
from ..tasks.answers import Answer, Sampling, sample_answers
from ..training.runs import LoadedRun, load_run
from .console import fail, only_json, print_json
from .flags import Parser, add_device_flag, checked, digits_only, make_parser, positive, some_path

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


def make_sample_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("sample", DESCRIPTION)
    parser.add_flag("run RUN", "directory of the run, such as runs/binary-reversed-seed1", some_path)
    parser.add_flag("--file FILE", "read problems from this file, one a line; -: from stdin", some_path)
    drawn = "0: always the most likely token; above 0: draw from softmax(logits / temperature)"
    temperature = checked(float, lambda value: 0 <= value < math.inf, "a number of at least 0")
    parser.add_flag("--temperature FLOAT", drawn, temperature, default="0")
    parser.add_flag("--top-k INT", "draw among the so many most likely tokens only (default: all)", positive)
    share = checked(float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
    together = "draw among the most likely tokens that have this probability together (default: all)"
    parser.add_flag("--top-p FLOAT", together, share)
    beside = "draw among the tokens that are at least so many times as likely as the most likely one (default: all)"
    parser.add_flag("--min-p FLOAT", beside, share)
    parser.add_flag("--samples INT", "answers to each problem, one below the other (default: 1)", positive)
    seed = checked(digits_only, lambda value: value < 2**64, "a whole number from 0 to 2**64 - 1")
    parser.add_flag("--seed INT", "of the draws", seed, default=0)
    parser.add_flag("--json", "answer with one JSON object a line")
    add_device_flag(parser)
    return parser


def answer_all(args: argparse.Namespace) -> int:
    """Load the run and answer what stands in the file, or comes from stdin; returns the exit code."""
    run = load_run(args.run, args.device)
    given = {name: getattr(args, name) for name in ("top_p", "min_p", "samples") if getattr(args, name) is not None}
    sampling = Sampling(args.temperature, args.top_k, args.seed, **given)
    asked = Asked(run, answering(run.task, "sample"), sampling, args.json)
    if args.file is None and sys.stdin.isatty():
        return converse(asked)
    if args.file is None or str(args.file) == "-":
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace")  # a stray byte is a bad line, not the end of all
        return answer_lines(asked, sys.stdin)
    with open(args.file, encoding="utf-8", errors="replace") as lines:
        return answer_lines(asked, lines)


@dataclasses.dataclass(frozen=True)
class Asked:
    """The model that is asked, how it answers, and how its answers are printed."""

    run: LoadedRun
    task: AnsweringTask
    sampling: Sampling
    as_json: bool

    def answers(self, line: str, number: int) -> list[Answer]:
        """The model's answers to the problem in a line; ValueError with one sentence if it holds none."""
        return sample_answers(self.run.model, self.task, self.task.parse(line), self.sampling, number)

    def print(self, answer: Answer, line: int | None = None) -> None:
        """Print an answer, for people or as JSON; at once, for a program that waits for it."""
        if self.as_json:
            number = {} if line is None else {"line": line}
            print_json(number | dataclasses.asdict(answer) | {"right": answer.right})
            return
        verdict = "right" if answer.right else f"wrong: {answer.right_answer} is right"
        print(f"{answer.prompt}{answer.answer}   {answer.statement}   {verdict}", flush=True)


def converse(asked: Asked) -> int:
    """Ask for problems on the terminal until an empty line or the end of input."""
    run, task = asked.run, asked.task
    print(f"{run.path}, step {run.step}: {task.describe()}")
    example = task.text(task.problems("test", 1))[0].prompt
    print(f"Type a problem such as {example.strip()} and Enter; an empty line ends.")
    for number in itertools.count(1):
        try:
            line = input("> ")
        except EOFError:
            print()
            break
        if not line.strip():
            break
        try:
            for answer in asked.answers(line, number):
                asked.print(answer)
        except ValueError as error:
            print(error)
    return 0


def answer_lines(asked: Asked, lines: Iterable[str]) -> int:
    """Answer one problem a line; blank lines are skipped, bad ones told on stderr. Returns 1 if any was bad."""
    code = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            answers = asked.answers(line, number)
        except ValueError as error:
            code = fail(f"line {number}: {error}")
        else:
            for answer in answers:
                asked.print(answer, number)
    return code
