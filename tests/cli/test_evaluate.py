"""The evaluate command: its tables, its JSON and its picture tell the same numbers."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from tinygrad_arith.cli.evaluate import answers_to_show, main
from tinygrad_arith.training.runs import load_run


@pytest.fixture
def evaluate(small_run, call_command, blank_pictures):
    """A function from flags to (exit code, stdout, stderr); the heat map is blank."""

    return lambda *flags, path=small_run: call_command(main, str(path), *flags)


def test_json_agrees_with_the_result_that_training_measured(evaluate, small_run):
    code, out, _ = evaluate("--json")
    values = json.loads(out)
    measured = json.loads((small_run / "result.json").read_text(encoding="utf-8"))
    assert code == 0
    assert (values["split"], values["count"]) == ("test", 16)
    assert values["correct"] == measured["test_correct"]
    assert values["exact_match"] == measured["test_exact_match"]
    assert values["interval_95"] == measured["interval_95"]
    assert 0 < values["loss"] < 10
    for name in ("by_operand_length", "by_longest_carry_chain"):
        assert sum(group["count"] for group in values[name]) == 16
        assert sum(group["correct"] for group in values[name]) == values["correct"]
    assert [group["count"] for group in values["by_answer_position"]] == [16] * 5
    assert sum(map(sum, values["by_operand_lengths"]["count"])) == 16


def test_the_tables_are_there_and_the_heat_map_too(call_command, small_run):
    code, out, err = call_command(main, str(small_run), "--split", "validation")
    picture = small_run / "plots" / "length_heatmap_validation.png"
    assert (code, err) == (0, "")
    for words in ("by operand length", "by longest carry chain", "by place in the answer", "of 8 validation problems"):
        assert words in out
    assert str(picture) in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(picture.read_bytes()) > 5000  # not blank


@pytest.fixture
def without_room_for_pictures(small_run, tmp_path):
    """A copy of the run in which `plots` is a file."""
    directory = tmp_path / "run"
    shutil.copytree(small_run, directory, ignore=shutil.ignore_patterns("plots"))
    (directory / "plots").write_text("mine", encoding="utf-8")
    return directory


def test_a_picture_that_cannot_be_written_is_only_warned_of(evaluate, without_room_for_pictures):
    code, out, err = evaluate(path=without_room_for_pictures)
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("warning: the heat map over the operands' lengths: not written: ")
    assert "of 16 test problems" in out
    code, out, err = evaluate("--json", path=without_room_for_pictures)
    values = json.loads(out)
    assert (code, values["count"], "picture" in values) == (0, 16, False)


def test_answers_are_listed(evaluate, small_run):
    values = json.loads(evaluate("--json", "--show", "99")[1])
    shown = values["problems"]
    right = [problem["right"] for problem in shown]
    assert (len(shown), sum(right)) == (16, values["correct"])
    assert right == sorted(right)
    assert all(problem["right"] == (problem["answer"] == problem["right_answer"]) for problem in shown)
    out = evaluate("--show", "2")[1]
    assert "problems, wrong answers first" in out
    for problem in shown[:2]:
        assert f"| {problem['statement']} " in out
        assert f"| {problem['prompt']} | {problem['answer']} " in out
    assert not any(problem["statement"] in out for problem in shown[2:])
    assert "problems" not in json.loads(evaluate("--json")[1])


def test_wrong_answers_come_first(small_run):
    run = load_run(small_run)
    problems = run.task.problems("test", 4)
    found = run.task.evaluate(run.model, "test", 4)
    evaluation = dataclasses.replace(found, right=np.array([True, False, True, False]))
    statements = run.task.statements(problems)
    found = [answer.statement for answer in answers_to_show(run, run.task, evaluation, 3)]
    assert found == [statements[i] for i in (1, 3, 0)]


def test_a_count_takes_the_first_problems(evaluate):
    values = json.loads(evaluate("--json", "--count", "5")[1])
    assert values["count"] == 5


@pytest.mark.parametrize("name", ["expressions", "prefixes", "modular"])
def test_other_tasks_have_groups_of_their_own_and_no_heat_map(evaluate, other_runs, name):
    values = json.loads(evaluate("--json", path=other_runs[name])[1])
    titles = {"modular": ["times the modulus is taken off"]}.get(
        name, ["tokens of the expression", "multiplications", "digits of the answer"]
    )
    assert values["count"] == {"modular": 42}.get(name, 100)
    for title in titles:
        groups = values["by_" + title.replace(" ", "_")]
        assert sum(group["count"] for group in groups) == values["count"]
        assert sum(group["correct"] for group in groups) == values["correct"]
    assert not {"picture", "by_operand_lengths"} & {*values}
    code, out, err = evaluate(path=other_runs[name])
    assert (code, err) == (0, "")
    assert all(f"by {title}" in out for title in titles)
    assert "heat map" not in out
    assert "nats per counted token" in out


def test_longer_operands_than_those_trained_on(evaluate, other_runs):
    run = other_runs["coupled"]
    values = json.loads(evaluate("--json", "--digits", "5", path=run)[1])
    assert (values["digits"], values["count"]) == (5, 16)
    assert len(values["by_operand_lengths"]["count"]) == 5
    assert values["picture"] == str(run / "plots" / "length_heatmap_test_5_digits.png")
    assert (run / "plots" / "length_heatmap_test_5_digits.png").is_file()
    assert len(values["by_answer_position"]) == 7
    code, out, _ = evaluate("--digits", "6", path=run)
    assert (code, out) == (2, "")


def test_a_split_without_problems_is_no_measurement(evaluate, other_runs):
    found = evaluate("--digits", "1", "--split", "validation", path=other_runs["coupled"])
    assert found == (2, "", "error: --split validation: holds no problem of at most 1 digits; choose more --digits\n")


def test_a_task_without_digits_says_so(evaluate, other_runs):
    found = evaluate("--digits", "4", path=other_runs["expressions"])
    assert found == (2, "", "error: --digits 4: means nothing for --task expressions; leave it out\n")


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--count", "17"], 2, "--count 17: the test split holds 16 problems"),
        (["--count", "0"], 2, "--count: must be a whole number of at least 1, not 0"),
        (["--split", "train"], 2, "--split: invalid choice: 'train'"),
        (["--cuont", "3"], 2, "unknown flag --cuont; did you mean --count?"),
    ],
)
def test_bad_flags_are_one_sentence(evaluate, flags, code, sentence):
    found, out, err = evaluate(*flags)
    assert (found, out) == (code, "")
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_no_run_is_one_sentence(evaluate, tmp_path):
    assert evaluate(path=tmp_path / "gone") == (2, "", f"error: {tmp_path / 'gone'}: no such run directory\n")


def test_the_best_checkpoint_may_be_asked_for(evaluate, small_run, tmp_path):
    values = json.loads(evaluate("--best", "--json")[1])
    assert values["step"] == load_run(small_run, best=True).step
