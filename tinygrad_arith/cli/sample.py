"""Ask a trained model: `python -m tinygrad_arith.sample`, one problem, by hand on a terminal, or line by line."""

import argparse
import codecs
import contextlib
import dataclasses
import io
import itertools
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..files.text import IN_UTF_16, is_utf_16
from ..options.errors import MisuseError, UserError
from ..options.words import shortened
from ..tasks.answering import AnsweringTask, answering
from ..tasks.answers import Answer, Sampling, sample_answers
from ..tasks.reading import Reading
from ..training.runs import LoadedRun, load_run, newest_run
from .answers import answer_in_words
from .console import EXIT_INTERRUPTED, fail, only_json, print_json, warn
from .flags import (
    Parser,
    add_best_flag,
    add_device_flag,
    checked,
    digits_only,
    make_parser,
    not_empty,
    positive,
    some_path,
)

DESCRIPTION = """Let a trained model answer problems such as 13+3 or, written as it was trained on them, 1011+1100=.

A problem may stand on the command line. Without one you are asked for one after another on a terminal, and from a pipe
or a file each line is answered. Without RUN the newest run in runs/ answers. Beside each answer stands the problem with
its true result in decimal, and whether the answer is right.

A problem in the digits of the task's base is read as the task writes numbers: where that is in bits with the least
significant one first, 10+11 is 1 + 3. With any other digit, as in 13+3, it is decimal; with --decimal always. The value
of its answer then stands there too, in decimal."""

HOW_TO_ASK = "Type a problem such as {} and Enter; an empty line ends."
FAREWELLS = ("quit", "exit", "q", "quit()", "exit()", ":q")  # typed by those who want to leave
CALLS_FOR_HELP = ("help", "?", "h", "help()")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, load the run and answer; returns the exit code."""
    parser = make_sample_parser()
    args = parser.parse_args(argv)
    for name in ("top_k", "top_p", "min_p", "samples"):
        if getattr(args, name) is not None and args.temperature == 0:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"{flag}: needs a --temperature above 0; without one the most likely token is always taken")
    path, problem = run_and_problem([word for word in (args.run, *args.problem) if word is not None])
    if problem is not None and args.file is not None:
        parser.error(f"--file: not with a problem on the command line, which is {shortened(problem)}")
    with only_json(args.json):
        asked = ask_run(args, path, problem)
        return answer_source(asked, args.file) if problem is None else answer_one(asked, problem)


def make_sample_parser() -> Parser:
    """All flags of this command."""
    parser = make_parser("sample", DESCRIPTION)
    parser.intermixed = True
    run = "directory of the run, such as runs/binary-reversed-seed1 (default: the newest in runs/)"
    parser.add_flag("run RUN", run, not_empty, nargs="?")
    typed = "a problem, such as 13+3, to be answered alone; the first word is RUN if there is something of that name"
    parser.add_flag("problem PROBLEM", typed, some_problem, nargs="*")
    parser.add_flag("--decimal", "read every problem in decimal (default: see above)")
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
    add_best_flag(parser)
    add_device_flag(parser)
    return parser


def some_problem(text: str) -> str:
    """A problem, as the type of an argument; an empty one is mostly a shell's variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be a problem, such as 13+3, but is empty")
    return text


def run_and_problem(words: Sequence[str]) -> tuple[Path | None, str | None]:
    """The run and the problem among the arguments; None for what is not named.

    The first word is the run if there is something of that name, else the problem begins with it.
    """
    if words and (os.path.exists(words[0]) or looks_like_a_path(words[0])):
        return Path(words[0]), " ".join(words[1:]) or None
    return None, " ".join(words) or None


def looks_like_a_path(word: str) -> bool:
    """Whether a word is meant as a run, though there is none: it names something in a folder that is there."""
    folder, name = os.path.split(word)
    return bool(folder and name and os.path.isdir(folder)) and any(letter.isalpha() for letter in word)


def ask_run(args: argparse.Namespace, path: Path | None, problem: str | None) -> "Asked":
    """The model that is to answer, loaded. Raises UserError if there is none."""
    if path is None:
        path = newest_run("RUN" if problem is None else f"{shortened(problem)}: no run of that name, and none to ask")
    run = load_run(path, args.device, best=args.best)
    task = answering(run.task, "sample")
    if args.decimal and not task.typed_in_decimal:
        warn("--decimal: has no effect on this task, whose problems are written in one way")
    given = {name: getattr(args, name) for name in ("top_p", "min_p", "samples") if getattr(args, name) is not None}
    sampling = Sampling(args.temperature, args.top_k, args.seed, **given)
    return Asked(run, task, sampling, args.json, args.decimal)


def answer_source(asked: "Asked", file: Path | None) -> int:
    """Answer what stands in a file, or comes from stdin; returns the exit code."""
    if file is None and sys.stdin.isatty():
        return converse(asked)
    if file is None or str(file) == "-":
        if not hasattr(sys.stdin, "buffer"):  # no file of the system, as in a notebook
            return answer_lines(asked, sys.stdin)
        return answer_lines(asked, lines_of(sys.stdin.buffer, "stdin", sys.stdin.encoding))
    with open(file, "rb") as lines:
        return answer_lines(asked, lines_of(lines, str(file)))


def lines_of(source: Iterable[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a text as they come, without a byte order mark; with one, they are in UTF-8. A stray byte makes a
    bad line, and is not the end of all. Raises UserError, which begins with the name, where the text is in UTF-16.
    """
    for number, line in enumerate(source):
        if number == 0 and is_utf_16(line):
            raise UserError(f"{name}: {IN_UTF_16}")
        if number == 0 and line.startswith(codecs.BOM_UTF8):
            line, encoding = line.removeprefix(codecs.BOM_UTF8), "utf-8"
        yield from io.StringIO(line.decode(encoding, errors="replace"), newline=None)  # whatever its newlines are


@dataclasses.dataclass(frozen=True)
class Asked:
    """The model that is asked, how it answers, and how its answers are printed."""

    run: LoadedRun
    task: AnsweringTask
    sampling: Sampling
    as_json: bool
    decimal: bool

    def read(self, text: str) -> Reading:
        """The problem in a text; ValueError with one sentence if it holds none."""
        return self.task.read(text, self.decimal and self.task.typed_in_decimal)

    def answers(self, reading: Reading, number: int) -> list[Answer]:
        """The model's answers to a problem; their draws depend on its number."""
        return sample_answers(self.run.model, self.task, reading.problem, self.sampling, number)

    def print(self, answer: Answer, reading: Reading, line: int | None = None) -> None:
        """Print an answer, for people or as JSON; at once, for a program that waits for it.

        Where the problem was typed in decimal, the answer's value is told in decimal too.
        """
        value = self.task.answer_value(answer.answer) if reading.decimal else None
        if not self.as_json:
            told = ("is no number" if value is None else str(value)) if reading.decimal else None
            print(answer_in_words(answer, told), flush=True)
            return
        number = {} if line is None else {"line": line}
        more = {"answer_value": value} if reading.decimal else {}
        print_json(number | dataclasses.asdict(answer) | {"right": answer.right} | more)

    def print_all(self, reading: Reading, number: int) -> None:
        """Print how a problem was read, where that may surprise, and the answers to it."""
        if reading.note and not self.as_json:
            print(f"{reading.note}{' (--decimal reads it in decimal)' * (not reading.decimal)}")
        for answer in self.answers(reading, number):
            self.print(answer, reading)


def answer_one(asked: Asked, problem: str) -> int:
    """Answer the problem of the command line. Raises MisuseError if it is none."""
    try:
        reading = asked.read(problem)
    except ValueError as error:
        told = f"{shortened(problem)}: no run of that name, and no problem for {asked.run.path}"
        raise MisuseError(f"{told}: {error}") from error
    asked.print_all(reading, 1)
    return 0


def converse(asked: Asked) -> int:
    """Ask for problems on the terminal until an empty line, `quit`, the end of input or Ctrl-C; returns the exit code.

    A word that is a problem of the task is one, whatever else it may mean.
    """
    with contextlib.suppress(ImportError):  # Windows has none, but a terminal that does as much
        import readline  # noqa: F401  # `input` has line editing and a history from then on

    run, task = asked.run, asked.task
    print(f"{run.path}, step {run.step}: {task.describe()}")
    print(HOW_TO_ASK.format(example_of(task)))
    try:
        for number in itertools.count(1):
            line = input("> ")
            if not line.strip():
                break
            try:
                asked.print_all(asked.read(line), number)
            except ValueError as error:
                if line.strip().lower() in FAREWELLS:
                    break
                print(HOW_TO_ASK.format(example_of(task)) if line.strip().lower() in CALLS_FOR_HELP else error)
    except EOFError:
        print()
    except KeyboardInterrupt:
        print()
        return EXIT_INTERRUPTED
    return 0


def example_of(task: AnsweringTask) -> str:
    """A problem as people may type it."""
    problem = task.problems("test", 1)
    written = task.text(problem)[0].prompt.strip()
    if not task.typed_in_decimal:
        return written
    return f"{written} or, in decimal, {task.statements(problem)[0].partition(' = ')[0].replace(' ', '')}"


def answer_lines(asked: Asked, lines: Iterable[str]) -> int:
    """Answer one problem a line; blank lines are skipped, bad ones told on stderr. Returns 1 if any was bad."""
    code = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            reading = asked.read(line)
        except ValueError as error:
            code = fail(f"line {number}: {error}")
        else:
            for answer in asked.answers(reading, number):
                asked.print(answer, reading, number)
    return code
