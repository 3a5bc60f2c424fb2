"""The sample command: from a pipe, from a file, on a terminal; bad lines, bad flags."""

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_arith.cli.sample import main
from tinygrad_arith.tasks.answers import sample_answer
from tinygrad_arith.training.runs import load_run


@pytest.fixture
def ask(small_run, monkeypatch, call_command):
    """A function from flags and the text on stdin to (exit code, stdout, stderr)."""

    def run(*flags, stdin="", terminal=False, path=small_run):
        source = io.StringIO(stdin)
        source.isatty = lambda: terminal
        monkeypatch.setattr("sys.stdin", source)
        return call_command(main, str(path), *flags)

    return run


def test_a_pipe_is_answered_line_by_line_with_the_true_sum(ask):
    code, out, err = ask(stdin="110+1=\n111+111\n")
    first, second = out.splitlines()
    assert code == 0
    assert err == ""
    assert first.startswith("110+100=")
    assert "   3 + 1 = 4   " in first
    assert "   7 + 7 = 14   " in second
    assert first.endswith("right")


def test_right_and_wrong_are_told_truly(ask):
    pairs = [(a, b) for a in range(8) for b in range(8)]
    lines = [f"{a:03b}"[::-1] + "+" + f"{b:03b}"[::-1] + "=" for a, b in pairs]
    code, out, _ = ask("--json", stdin="\n".join(lines))
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["line"] for answer in answers] == list(range(1, 65))
    for (a, b), line, answer in zip(pairs, lines, answers, strict=True):
        assert answer["prompt"] == line
        assert answer["statement"] == f"{a} + {b} = {a + b}"
        assert answer["right_answer"] == f"{a + b:04b}"[::-1] + "."
        assert answer["right"] == (answer["answer"] == answer["right_answer"])


def test_bad_lines_are_told_on_stderr_and_the_others_answered(ask):
    code, out, err = ask(stdin="1+1=\n\n1x+3=\n1111+1=\n1+10=\n12+3=\n")
    assert code == 1
    assert len(out.splitlines()) == 2
    assert err.splitlines() == [
        "error: line 3: 'x' at position 2 is not a digit: write 7+3",
        "error: line 4: the first operand has 4 digits: this model adds numbers of at most 3",
        "error: line 6: the first operand is 12: this model adds numbers of at most 3 bits, which are up to 7",
    ]


def test_a_file_gives_what_the_pipe_gives(ask, tmp_path):
    problems = tmp_path / "problems.txt"
    problems.write_text("1+1=\n110+11=\n", encoding="utf-8")
    from_pipe = ask(stdin=problems.read_text(encoding="utf-8"))
    assert ask("--file", str(problems)) == from_pipe
    assert ask("--file", "-", stdin=problems.read_text(encoding="utf-8"), terminal=True) == from_pipe


def test_draws_depend_on_seed_and_line_and_on_nothing_else(ask):
    hot = ("--temperature", "5")
    problems = "11+1=\n" * 30
    _, once, _ = ask(*hot, stdin=problems)
    _, again, _ = ask(*hot, stdin="1+1=\n" + problems.split("\n", 1)[1])
    assert once.splitlines()[1:] == again.splitlines()[1:]
    assert len(set(once.splitlines())) > 5
    assert ask(*hot, "--seed", "1", stdin=problems)[1] != once


def test_top_1_is_greedy_at_any_temperature(ask):
    problems = "110+11=\n" * 5
    assert ask("--temperature", "9", "--top-k", "1", stdin=problems) == ask(stdin=problems)


def test_a_narrow_top_p_and_a_high_min_p_are_greedy(ask):
    problems = "110+11=\n" * 5
    for flag, value in (("--top-p", "1e-6"), ("--min-p", "1")):
        assert ask("--temperature", "9", flag, value, stdin=problems) == ask(stdin=problems)


def test_samples_stand_one_below_the_other_and_the_first_is_the_one_without(ask):
    hot = ("--temperature", "9")
    _, once, _ = ask(*hot, stdin="11+1=\n1+1=\n")
    code, out, err = ask(*hot, "--samples", "6", stdin="11+1=\n1+1=\n")
    assert (code, err) == (0, "")
    assert out.splitlines()[::6] == once.splitlines()
    assert len(out.splitlines()) == 12
    assert len(set(out.splitlines()[:6])) > 1
    _, as_json, _ = ask(*hot, "--samples", "6", "--json", stdin="11+1=\n1+1=\n")
    assert [json.loads(line)["line"] for line in as_json.splitlines()] == [1] * 6 + [2] * 6


def test_a_terminal_is_asked_until_an_empty_line(ask, monkeypatch):
    typed = iter(["11+1=", "2+-1=", ""])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    code, out, err = ask(terminal=True)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "Type a problem such as" in lines[1]
    assert "3 + 1 = 4" in lines[2]
    assert lines[3].startswith("'-' at position 3: the numbers of this model have no sign")


def test_the_end_of_input_ends_a_conversation(ask, monkeypatch):
    def end(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    assert ask(terminal=True)[0] == 0


def test_ctrl_c_ends_a_conversation_without_a_word(ask, monkeypatch):
    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    code, out, err = ask(terminal=True)
    assert (code, err) == (130, "")
    assert out.endswith("an empty line ends.\n\n")


@pytest.mark.skipif(importlib.util.find_spec("readline") is None, reason="this platform has no readline")
def test_a_line_can_be_edited_and_asked_again_on_a_terminal(small_run):
    import pty

    parent, child = pty.openpty()
    command = [sys.executable, "-m", "tinygrad_arith.sample", str(small_run)]
    choices = {"TERM": "xterm", "TINYGRAD_ARITH_CPU": "numpy"}  # which is sooner loaded
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=os.environ | choices)
    os.close(child)

    def until(text):
        found = b""
        while text not in found:
            found += os.read(parent, 1000)
        return found

    until(b"> ")
    os.write(parent, b"4+1\x01\x042\n")  # to the start of the line, one character less, and another one
    assert b"2 + 1 = 3" in until(b"> ")
    os.write(parent, b"\x1b[A\n")  # the line before
    assert b"2 + 1 = 3" in until(b"> ")
    os.write(parent, b"\x04")  # the end of input
    assert process.wait(timeout=60) == 0
    os.close(parent)


# Problems in decimal, on the command line, of the newest run


def test_a_decimal_problem_is_asked_as_the_task_writes_it(ask):
    code, out, err = ask("6+3")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "6+3 is read in decimal; written 011+110="
    answer = out.splitlines()[1]
    assert answer.startswith("011+110=")
    written = answer.removeprefix("011+110=").partition(".")[0]
    assert f"   answer {int(written[::-1], 2)}   6 + 3 = 9   " in answer


def test_what_may_be_read_in_two_ways_is_read_as_written_and_says_so(ask):
    code, out, _ = ask("01", "+", "1")  # 1 + 1 in decimal
    note = (
        "01 + 1 is read as the model writes numbers, least significant bit first: 2 + 1 (--decimal reads it in decimal)"
    )
    assert (code, out.splitlines()[0]) == (0, note)
    code, out, _ = ask("01+1", "--decimal")
    assert (code, out.splitlines()[0]) == (0, "01+1 is read in decimal; written 100+100=")
    code, out, _ = ask("110+1")  # which has one reading only: 110 is too large
    assert (code, len(out.splitlines())) == (0, 1)


def test_a_line_is_one_line_and_its_answer_has_a_value_where_it_was_decimal(ask):
    code, out, _ = ask("--json", stdin="6+3\n01+1\n")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [answer["statement"] for answer in answers] == ["6 + 3 = 9", "2 + 1 = 3"]
    assert answers[0]["right"] == (answers[0]["answer_value"] == 9)
    assert "answer_value" not in answers[1]
    first, second = ask(stdin="6+3\n01+1\n")[1].splitlines()
    assert ("   answer " in first, "   answer " in second) == (True, False)
    assert "line" not in json.loads(ask("6+3", "--json")[1])


def test_the_newest_run_is_asked_unless_another_is_named(call_command, small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call_command(main, "1+2")
    assert (code, out) == (1, "")
    none = "there is no run in runs/; name the run's directory"
    assert err == f"error: 1+2: no run of that name, and none to ask: {none}\n"
    shutil.copytree(small_run, tmp_path / "runs" / "a")
    code, out, err = call_command(main, "1+2")
    assert (code, err) == (0, "")
    assert out == call_command(main, str(small_run), "1+2")[1] == call_command(main, "--seed", "3", "runs/a", "1+2")[1]
    assert out == call_command(main, "runs/a", "--seed", "3", "1+2")[1]


def test_no_run_and_no_problem_is_misuse(call_command, small_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_run, tmp_path / "runs" / "a")
    code, out, err = call_command(main, "runs/b")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {Path('runs', 'b')}: no such run directory")
    code, out, err = call_command(main, "runs/b", "1+2")
    assert (code, out, err.startswith(f"error: {Path('runs', 'b')}: no such run")) == (2, "", True)
    code, _, err = call_command(main, "a", "1+2")
    assert (code, "'a' at position 1 is not a digit" in err) == (2, True)
    assert call_command(main, "runs/a", "")[::2] == (
        2,
        "error: PROBLEM: must be a problem, such as 13+3, but is empty (--help lists every flag)\n",
    )
    assert "1 - 2" not in call_command(main, "--", "-1+2")[2]
    assert "the numbers of this model have no sign" in call_command(main, "--", "-1+2")[2]
    code, _, err = call_command(main, "1+2", "--file", "x")
    assert (code, err.startswith("error: --file: not with a problem on the command line, which is 1+2")) == (2, True)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--temperature", "-1"], "--temperature: must be a number of at least 0, not -1"),
        (["--temperature", "inf"], "--temperature: must be a number of at least 0, not inf"),
        (["--top-k", "2"], "--top-k: needs a --temperature above 0"),
        (["--top-k", "0", "--temperature", "1"], "--top-k: must be a whole number of at least 1, not 0"),
        (["--top-p", "0.5"], "--top-p: needs a --temperature above 0"),
        (["--min-p", "0.5"], "--min-p: needs a --temperature above 0"),
        (["--samples", "2"], "--samples: needs a --temperature above 0"),
        (["--top-p", "1.5", "--temperature", "1"], "--top-p: must be a number above 0 and at most 1, not 1.5"),
        (["--min-p", "x", "--temperature", "1"], "--min-p: must be a number above 0 and at most 1, not x"),
        (["--samples", "0", "--temperature", "1"], "--samples: must be a whole number of at least 1, not 0"),
        (["--seed", "x"], "--seed: must be a whole number from 0 to 2**64 - 1, not x"),
        (["--temprature", "1"], "unknown flag --temprature; did you mean --temperature?"),
    ],
)
def test_misuse_is_one_sentence_and_exit_code_2(ask, flags, sentence):
    code, out, err = ask(*flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "problem", "line"),
    [
        ("expressions", " (3*4)", "(3*4)={answer}   (3*4) = 12   {verdict}"),
        ("prefixes", "3 * 4 =", "3*4={answer}   3*4 = 12   {verdict}"),
        ("modular", "5+12", "5 12 = {answer}   5 + 12 = 4 (mod 13)   {verdict}"),
    ],
)
def test_other_tasks_are_asked_in_their_own_words(ask, other_runs, name, problem, line):
    code, out, err = ask("--json", stdin=problem, path=other_runs[name])
    assert (code, err) == (0, "")
    answer = json.loads(out)
    right = {"expressions": "12.", "prefixes": "12.", "modular": "4"}[name]
    assert (answer["right_answer"], answer["right"]) == (right, answer["answer"] == right)
    assert 1 <= len(answer["answer"]) <= 3
    verdict = "right" if answer["right"] else f"wrong: {right} is right"
    assert ask(stdin=problem, path=other_runs[name])[1] == line.format(**answer, verdict=verdict) + "\n"


@pytest.mark.parametrize("name", ["coupled", "expressions", "prefixes", "modular"])
def test_greedy_answers_are_right_where_the_evaluation_says_so(other_runs, name):
    run = load_run(other_runs[name])
    count = min(40, run.task.config.test_size)
    problems = run.task.problems("test", count)
    evaluation = run.task.judge(run.model, problems)
    answers = [sample_answer(run.model, run.task, problems[i : i + 1]) for i in range(count)]
    assert [answer.right for answer in answers] == evaluation.right.tolist()
    first = [run.task.vocabulary.encode(answer.answer)[0] for answer in answers]
    assert first == evaluation.predictions[:, 0].tolist()  # nothing wrong stands before the first token


def test_the_example_is_one_of_the_task(ask, other_runs):
    _, out, _ = ask(terminal=True, stdin="\n", path=other_runs["modular"])
    assert re.search(r"Type a problem such as \d+ \d+ = and Enter", out)


def test_no_run_and_no_file_are_one_sentence(ask, tmp_path):
    assert ask(path=tmp_path) == (1, "", f"error: {tmp_path}: not a run: it lacks config.json\n")
    code, _, err = ask(path="")
    assert (code, err.startswith("error: RUN: must be a path, but is empty")) == (2, True)
    code, _, err = ask("--file", str(tmp_path / "nowhere.txt"))
    assert code == 1
    assert err.startswith("error: ")
    assert err.count("\n") == 1
