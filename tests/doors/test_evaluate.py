"""The evaluate door: its tables, its JSON and its picture tell the same numbers."""

import json

import pytest

from tinygrad_arith.evaluate import main


@pytest.fixture
def evaluate(small_run, through_the_door):
    """A function from flags to (exit code, stdout, stderr)."""

    return lambda *flags, path=small_run: through_the_door(main, str(path), *flags)


def test_json_agrees_with_the_result_that_training_measured(evaluate, small_run):
    code, out, _ = evaluate("--json")
    values = json.loads(out)
    measured = json.loads((small_run / "result.json").read_text())
    assert code == 0
    assert (values["split"], values["count"]) == ("test", 16)
    assert values["correct"] == measured["test_correct"]
    assert values["exact_match"] == measured["test_exact_match"]
    assert values["interval_95"] == measured["interval_95"]
    for name in ("by_operand_length", "by_carry_chain"):
        assert sum(group["count"] for group in values[name]) == 16
        assert sum(group["correct"] for group in values[name]) == values["correct"]
    assert [group["count"] for group in values["by_answer_position"]] == [16] * 5
    assert sum(map(sum, values["by_operand_lengths"]["count"])) == 16


def test_the_tables_are_there_and_the_heat_map_too(evaluate, small_run):
    code, out, err = evaluate("--split", "validation")
    picture = small_run / "plots" / "length_heatmap_validation.png"
    assert (code, err) == (0, "")
    for words in ("by operand length", "by longest carry chain", "by place in the answer", "of 8 validation problems"):
        assert words in out
    assert str(picture) in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_count_takes_the_first_problems(evaluate):
    values = json.loads(evaluate("--json", "--count", "5")[1])
    assert values["count"] == 5


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--count", "17"], 1, "--count 17: the test split holds 16 problems"),
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
    assert evaluate(path=tmp_path / "gone") == (1, "", f"error: {tmp_path / 'gone'}: no such run directory\n")
