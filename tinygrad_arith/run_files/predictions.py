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
from ..files.reading import are_texts, expect, is_step
from ..nn import Module
from ..options.errors import as_user_error
from ..tasks.answering import AnsweringTask
from ..tasks.scoring import most_likely
from ..tasks.vocabulary import NO_TOKEN, PADDING
from .metrics import MetricsWriter, read_objects, write_objects

FILE_NAME = "predictions.jsonl"
SAMPLES = 8  # problems that are followed


class PredictionsWriter(MetricsWriter):
    """Appends what a model predicts for the first few of `problems`; a new file begins with these samples.

    samples: int64 (n, T), the prompts with their right answers, padded to the longest
    starts:  int64 (n,), where each answer begins
    """

    def __init__(self, path: Path, task: AnsweringTask, problems: Any):
        self.task, self.problems = task, problems[:SAMPLES]
        prompts = [task.prompt(self.problems[i : i + 1]).tokens[0] for i in range(len(self.problems))]
        answers, padding = task.answers(self.problems), task.vocabulary.padding  # (n, answer_length)
        self.starts = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        ends = self.starts + np.sum(answers != padding, axis=1)  # (n,)
        self.samples = np.full((len(prompts), np.max(ends, initial=0)), padding, dtype=np.int64)
        for row, prompt, answer, end in zip(self.samples, prompts, answers, ends, strict=True):
            row[:end] = np.append(prompt, answer)[:end]
        super().__init__(path)
        if path.stat().st_size == 0:
            header = {"tokens": self.samples.tolist(), "counted": self.counted().tolist()}
            self.append(header | {"vocabulary": list(task.vocabulary.tokens)})

    def append_prediction(self, step: int, model: Module) -> None:
        """Let the model predict, and write the line of this step."""
        self.append({"step": step, "predicted": self.likeliest(model).tolist()})

    def counted(self) -> np.ndarray:
        """Which of the predictions made after each token of the samples bear loss: bool (n, T)."""
        width = self.samples.shape[1]
        if self.task.rows == "whole":
            return to_width(self.task.batch(self.problems).targets, width) != -1
        followed = np.roll(self.samples, -1, axis=1) != self.task.vocabulary.padding  # (n, T)
        place = np.arange(width)
        return followed & (place >= self.starts[:, None] - 1) & (place < width - 1)

    def likeliest(self, model: Module) -> np.ndarray:
        """What a model finds likeliest after each token of the samples: int64 (n, T), -1 where it says nothing."""
        batch, width = self.task.batch(self.problems), self.samples.shape[1]
        with no_grad():
            logits = model(batch.tokens, positions=batch.positions, key_mask=batch.key_mask).data
        if self.task.rows == "whole":
            return to_width(most_likely(logits), width)
        answers = self.task.answer_predictions(logits, batch)  # (n, answer_length)
        predicted = np.full_like(self.samples, -1)  # (n, T)
        for row, start, answer in zip(predicted, self.starts, answers, strict=True):
            inside = answer[: width - start]
            row[start - 1 : start - 1 + len(inside)] = inside  # behind the prompt's last token comes the answer
        return predicted


def to_width(array: np.ndarray, width: int) -> np.ndarray:
    """The first `width` columns of (n, T'); columns that are missing hold -1."""
    missing = max(0, width - array.shape[1])
    return np.pad(array, ((0, 0), (0, missing)), constant_values=-1)[:, :width]


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


def read_predictions(path: Path) -> Predictions | None:
    """What a file holds, up to the first line that is torn; None if there is no file, or no evaluation in it yet.

    Raises UserError if it holds something else.
    """
    header, *rows = read_objects(path) or [{}]
    if not rows:
        return None
    with as_user_error(f"{path}: not a run's predictions: ", KeyError):
        return predictions_of(header, rows)


def predictions_of(header: dict[str, Any], rows: list[dict[str, Any]]) -> Predictions:
    """What the lines of a file tell; raises KeyError for what they lack, ValueError for what they may not be."""
    tokens, counted = array_of(header["tokens"], "tokens", "i"), array_of(header["counted"], "counted", "b")
    vocabulary = header["vocabulary"]
    if not are_texts(vocabulary):
        raise ValueError("its vocabulary is no list of texts")
    steps = [checked_step(row["step"], line) for line, row in enumerate(rows, start=2)]
    predicted = array_of([row["predicted"] for row in rows], "predicted", "i")
    if tokens.ndim != 2 or counted.shape != tokens.shape or predicted.shape != (len(steps), *tokens.shape):
        raise ValueError("its lines do not tell of the same tokens")
    if max(tokens.max(), predicted.max()) >= len(vocabulary) or tokens.min() < 0 or predicted.min() < -1:
        raise ValueError("it has tokens beyond its vocabulary")
    if PADDING in vocabulary and not (tokens != vocabulary.index(PADDING)).any(axis=1).all():
        raise ValueError("one of its samples is padding alone")
    return Predictions(tokens, counted, tuple(vocabulary), steps, predicted)


def array_of(values: Any, name: str, kind: str) -> np.ndarray:
    """Lists as an array of whole numbers ("i") or of truths ("b"), not empty; raises ValueError if they are not."""
    try:
        found = np.array(values)
    except ValueError:
        raise ValueError(f"{name} is of lists that are not equally long") from None
    if found.dtype.kind != kind or not found.size:
        raise ValueError(f"{name} is not of lists of {'whole numbers' if kind == 'i' else 'true and false'}")
    return found


def checked_step(step: Any, line: int) -> int:
    """The step of an evaluation; raises ValueError if it is none."""
    expect(f"line {line}: step", step, is_step(step), "a whole number below 1,000,000,000")
    return step


def trim_predictions(path: Path, last_step: int) -> None:
    """Drop the predictions past `last_step` and any torn line: a resumed run makes them again."""
    if path.is_file():
        lines = enumerate(read_objects(path), start=1)
        with as_user_error(f"{path}: not a run's predictions: "):
            kept = [row for line, row in lines if checked_step(row.get("step", 0), line) <= last_step]
        write_objects(path, kept)
