"""`predictions.jsonl`: a few validation problems, and what the model predicts at each of their positions."""

import json

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.metrics import write_objects
from tinygrad_arith.run_files.predictions import PredictionsWriter, read_predictions, trim_predictions
from tinygrad_arith.tasks import Batch, Vocabulary, build_task, task_options

TASK = build_task(task_options(digits=4, padding="none", validation_size=20, test_size=9))


class NextToken:
    """A stand-in for a model: it predicts the token that follows in its input."""

    def __call__(self, ids, positions=None, key_mask=None):
        return Tensor(np.eye(7, dtype=np.float32)[np.roll(ids, -1, axis=1)])  # (B, T, V)


def write(path, steps):
    writer = PredictionsWriter(path, TASK, TASK.problems("validation", 20))
    for step in steps:
        writer.append_prediction(step, NextToken())
    writer.sync()
    writer.close()


def test_the_first_problems_are_followed_from_evaluation_to_evaluation(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write(path, [10, 20])
    write(path, [30])  # a resumed run goes on in the same file
    found = read_predictions(path)
    tokens = found.tokens
    texts = TASK.text(TASK.problems("validation", 8))
    assert ["".join(found.vocabulary[token] for token in row).rstrip("_") for row in tokens] == [
        p + a for p, a in texts
    ]
    assert (tokens != TASK.vocabulary.padding).any(axis=0).all()  # no column of padding alone
    assert found.steps == [10, 20, 30]
    expected = np.broadcast_to(tokens[:, 1:], (3, 8, tokens.shape[1] - 1))
    np.testing.assert_array_equal(found.predicted[:, :, :-1], expected)
    answers = TASK.answers(TASK.problems("validation", 8))
    assert found.counted.sum() == (answers != TASK.vocabulary.padding).sum()
    np.testing.assert_array_equal(tokens[:, 1:][found.counted[:, :-1]], answers[answers != TASK.vocabulary.padding])


@pytest.mark.parametrize("torn", [b"", b'{"step": 50, "pred'])
def test_trimming_keeps_the_samples(tmp_path, torn):
    path = tmp_path / "predictions.jsonl"
    write(path, [10, 20, 30])
    path.write_bytes(path.read_bytes() + torn)
    trim_predictions(path, 20)
    assert read_predictions(path).steps == [10, 20]
    trim_predictions(path, 0)
    assert read_predictions(path) is None
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["tokens", "counted", "vocabulary"]


def test_no_file_is_no_predictions(tmp_path):
    trim_predictions(tmp_path / "predictions.jsonl", 3)
    assert read_predictions(tmp_path / "predictions.jsonl") is None


class PrefixTask:
    """The answers of two problems, `1+1=2.` and `1=1.`, each row a prefix of four tokens with one next token."""

    rows, answer_length, context = "prefix", 2, 6
    vocabulary = Vocabulary(("_", "1", "2", "+", "=", "."))

    def prompt(self, problem):
        return Batch(self.vocabulary.encode(("1+1=", "1=")[problem[0]])[None], None)

    def answers(self, problems):
        return np.array([self.vocabulary.encode(("2.", "1.")[i]) for i in problems])

    def batch(self, problems):
        return Batch(np.zeros((2 * len(problems), 6), dtype=np.int64), None)

    def answer_predictions(self, logits, batch):
        return logits.argmax(axis=-1).reshape(-1, 2)


def test_rows_of_one_prefix_say_nothing_about_the_prompt(tmp_path):
    task = PrefixTask()
    writer = PredictionsWriter(tmp_path / "p.jsonl", task, np.arange(2))
    writer.append_prediction(5, lambda ids, **rest: Tensor(np.eye(6, dtype=np.float32)[[[5], [1], [2], [3]]]))
    writer.close()
    found = read_predictions(tmp_path / "p.jsonl")
    assert [task.vocabulary.decode(row) for row in found.tokens] == ["1+1=2.", "1=1.__"]
    assert found.predicted.tolist() == [[[-1, -1, -1, 5, 1, -1], [-1, 2, 3, -1, -1, -1]]]
    assert found.counted.tolist() == [[False] * 3 + [True] * 2 + [False], [False, True, True] + [False] * 3]


def test_an_answer_that_is_never_read_is_predicted_all_the_same(tmp_path):
    """Modular addition: the row is `a b =`, and 0 is a number like any other, not padding."""
    task = build_task(task_options("modular-addition", modulus=5, validation_size=4, test_size=4))
    problems = task.problems("test", 4)
    writer = PredictionsWriter(tmp_path / "p.jsonl", task, problems)
    writer.append_prediction(5, lambda ids, **rest: Tensor(np.eye(6, dtype=np.float32)[np.full((4, 3), 2)]))
    writer.close()
    found = read_predictions(tmp_path / "p.jsonl")
    np.testing.assert_array_equal(found.tokens[:, 3], task.answers(problems)[:, 0])
    assert found.predicted.tolist() == [[[2, 2, 2, -1]] * 4]
    assert found.counted.tolist() == [[False, False, True, False]] * 4


@pytest.mark.parametrize(
    ("header", "row", "complaint"),
    [
        ({"tokens": [[1, 2]]}, {"step": 1}, "KeyError: 'counted'"),
        (
            {"tokens": [[1, 2]], "counted": [[True]], "vocabulary": ["a", "b"]},
            {"step": 1, "predicted": [[1, 1]]},
            "same tokens",
        ),
        (
            {"tokens": [[1]], "counted": [[True]], "vocabulary": ["a", "b"]},
            {"step": 1, "predicted": [[2]]},
            "its vocabulary",
        ),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path, header, row, complaint):
    path = tmp_path / "predictions.jsonl"
    write_objects(path, [header, row])
    with pytest.raises(UserError, match=f"{path}: not a run's predictions: .*{complaint}"):
        read_predictions(path)
