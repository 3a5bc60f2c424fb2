"""`predictions.jsonl`: what the model predicts for the same few validation problems, at each evaluation.

The first line holds the samples: `tokens` (n, T), token ids of prompts with their right answers, padded; `counted`
(n, T), whether the prediction made after each token bears loss; `vocabulary`, the tokens by id. Each further line is an
evaluation: its `step`, and `predicted` (n, T), the likeliest token after each position given the right ones up to it,
which is to be the token at the next position; -1 where nothing is predicted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..files.reading import are_texts, is_step, shown
from ..nn import Module
from ..options.errors import UserError
from ..tasks.answering import AnsweringTask
from ..tasks.scoring import most_likely
from ..tasks.vocabulary import NO_TOKEN, PADDING
from .metrics import MetricsWriter, read_objects, write_objects

FILE_NAME = "predictions.jsonl"
SAMPLES = 8  # problems that are followed


class PredictionsWriter(MetricsWriter):
    """Appends what a model predicts for the first few of `problems`; a new file begins with these samples."""

    def __init__(self, path: Path, task: AnsweringTask, problems: Any):
        self.task, self.problems = task, problems[:SAMPLES]
        self.samples, self.starts = whole_samples(task, self.problems)  # (n, T), (n,)
        super().__init__(path)
        if path.stat().st_size == 0:
            counted = counted_predictions(task, self.problems, self.samples, self.starts)  # (n, T)
            header = {"tokens": self.samples.tolist(), "counted": counted.tolist()}
            self.append(header | {"vocabulary": list(task.vocabulary.tokens)})

    def append_prediction(self, step: int, model: Module) -> None:
        """Let the model predict, and write the line of this step."""
        predicted = likeliest_tokens(model, self.task, self.problems, self.samples, self.starts)  # (n, T)
        self.append({"step": step, "predicted": predicted.tolist()})


@dataclass(frozen=True)
class Predictions:
    """A file, read: for `n` samples of `T` tokens at `E` evaluations."""

    tokens: np.ndarray  # int64 (n, T)
    counted: np.ndarray  # bool (n, T)
    vocabulary: tuple[str, ...]
    steps: list[int]  # (E,)
    predicted: np.ndarray  # int64 (E, n, T)

    def sample(self, index: int) -> "SamplePredictions":
        """One of the samples, as text and without the padding at its end."""
        padding = self.vocabulary.index(PADDING) if PADDING in self.vocabulary else NO_TOKEN
        length = int(np.flatnonzero(self.tokens[index] != padding)[-1]) + 1
        predicted = [self.text(row[index, :length]) for row in self.predicted]
        return SamplePredictions(self.text(self.tokens[index, :length]), predicted, self.counted[index, :length])

    def text(self, ids: np.ndarray) -> list[str]:
        """The tokens of ids (n,); nothing ("") for -1."""
        return [self.vocabulary[token] if token >= 0 else "" for token in ids]


@dataclass(frozen=True)
class SamplePredictions:
    """What was predicted for one sample of `T` tokens at `E` evaluations."""

    tokens: list[str]  # (T,)
    predicted: list[list[str]]  # (E, T), after each token; "" where nothing is predicted
    counted: np.ndarray  # bool (T,), whether that prediction bears loss


def whole_samples(task: AnsweringTask, problems: Any) -> tuple[np.ndarray, np.ndarray]:
    """The prompts with their right answers, int64 (n, T), padded to the longest; where each answer begins (n,)."""
    prompts = [task.prompt(problems[i : i + 1]).tokens[0] for i in range(len(problems))]
    starts = np.array([len(prompt) for prompt in prompts], dtype=np.int64)  # (n,)
    answers, padding = task.answers(problems), task.vocabulary.padding  # (n, answer_length)
    ends = starts + np.sum(answers != padding, axis=1)  # (n,)
    samples = np.full((len(prompts), np.max(ends, initial=0)), padding, dtype=np.int64)  # (n, T)
    for row, prompt, answer, end in zip(samples, prompts, answers, ends, strict=True):
        row[:end] = np.append(prompt, answer)[:end]
    return samples, starts


def counted_predictions(task: AnsweringTask, problems: Any, samples: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which of the predictions made after each token of the samples (n, T) bear loss: bool (n, T)."""
    if task.rows == "whole":
        return to_width(task.batch(problems).targets, samples.shape[1]) != -1
    followed = np.roll(samples, -1, axis=1) != task.vocabulary.padding  # (n, T)
    place = np.arange(samples.shape[1])
    return followed & (place >= starts[:, None] - 1) & (place < samples.shape[1] - 1)


def likeliest_tokens(
    model: Module, task: AnsweringTask, problems: Any, samples: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """What a model finds likeliest after each token of the samples (n, T): int64 (n, T), -1 where it says nothing."""
    batch, width = task.batch(problems), samples.shape[1]
    with no_grad():
        logits = model(batch.tokens, positions=batch.positions, key_mask=batch.key_mask).data
    if task.rows == "whole":
        return to_width(most_likely(logits), width)
    answers = task.answer_predictions(logits, batch)  # (n, answer_length)
    predicted = np.full_like(samples, -1)  # (n, T)
    for row, start, answer in zip(predicted, starts, answers, strict=True):
        inside = answer[: width - start]
        row[start - 1 : start - 1 + len(inside)] = inside  # behind the prompt's last token comes the answer
    return predicted


def to_width(array: np.ndarray, width: int) -> np.ndarray:
    """The first `width` columns of (n, T'); columns that are missing hold -1."""
    missing = max(0, width - array.shape[1])
    return np.pad(array, ((0, 0), (0, missing)), constant_values=-1)[:, :width]


def read_predictions(path: Path) -> Predictions | None:
    """What a file holds, up to the first line that is torn; None if there is no file, or no evaluation in it yet.

    Raises UserError if it holds something else.
    """
    header, *rows = read_objects(path) or [{}]
    if not rows:
        return None
    try:
        return predictions_of(header, rows)
    except KeyError as error:
        raise UserError(f"{path}: not a run's predictions: {type(error).__name__}: {error}") from error
    except ValueError as error:
        raise UserError(f"{path}: not a run's predictions: {error}") from error


def predictions_of(header: dict[str, Any], rows: list[dict[str, Any]]) -> Predictions:
    """What the lines of a file tell; raises KeyError for what they lack, ValueError for what they may not be."""
    found = Predictions(
        tokens=array_of(header["tokens"], "tokens", "i"),
        counted=array_of(header["counted"], "counted", "b"),
        vocabulary=vocabulary_of(header["vocabulary"]),
        steps=[step_of(row, line) for line, row in enumerate(rows, start=2)],
        predicted=array_of([row["predicted"] for row in rows], "predicted", "i"),
    )
    check_predictions(found)
    return found


def vocabulary_of(values: Any) -> tuple[str, ...]:
    """The tokens by id; raises ValueError if they are no texts."""
    if not are_texts(values):
        raise ValueError("its vocabulary is no list of texts")
    return tuple(values)


def array_of(values: Any, name: str, kind: str) -> np.ndarray:
    """Lists as an array of whole numbers ("i") or of truths ("b"), not empty; raises ValueError if they are not."""
    try:
        found = np.array(values)
    except ValueError:
        raise ValueError(f"{name} is of lists that are not equally long") from None
    if found.dtype.kind != kind or not found.size:
        raise ValueError(f"{name} is not of lists of {'whole numbers' if kind == 'i' else 'true and false'}")
    return found


def step_of(row: dict[str, Any], line: int) -> int:
    """The step of an evaluation; raises ValueError if it is none."""
    if not is_step(row["step"]):
        raise ValueError(f"line {line}: step is {shown(row['step'])}, not a whole number below 1,000,000,000")
    return row["step"]


def check_predictions(found: Predictions) -> None:
    """Raise ValueError unless the parts of a file fit each other."""
    tokens, predicted = found.tokens, found.predicted
    expected = (len(found.steps), *tokens.shape)
    if tokens.ndim != 2 or found.counted.shape != tokens.shape or predicted.shape != expected:
        raise ValueError("its lines do not tell of the same tokens")
    if max(tokens.max(), predicted.max()) >= len(found.vocabulary) or tokens.min() < 0 or predicted.min() < -1:
        raise ValueError("it has tokens beyond its vocabulary")
    if PADDING in found.vocabulary and not (tokens != found.vocabulary.index(PADDING)).any(axis=1).all():
        raise ValueError("one of its samples is padding alone")


def trim_predictions(path: Path, last_step: int) -> None:
    """Drop the predictions past `last_step` and any torn line: a resumed run makes them again."""
    if not path.is_file():
        return
    rows = read_objects(path)
    try:
        kept = [row for line, row in enumerate(rows, start=1) if "step" not in row or step_of(row, line) <= last_step]
    except ValueError as error:
        raise UserError(f"{path}: not a run's predictions: {error}") from error
    write_objects(path, kept)
