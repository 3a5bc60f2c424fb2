"""A model's answer to one problem."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import RandomKey
from ..generation import Sampler, generate, usual_samplers
from .metrics import Preview

if TYPE_CHECKING:
    from .answering import AnsweringTask

COLUMNS = ("true result", "prompt", "answer", "right answer")


@dataclass(frozen=True)
class Answer:
    """A problem with the model's answer to it."""

    statement: str  # in decimal, with the true result: `13 + 3 = 16`
    prompt: str
    right_answer: str
    answer: str

    @property
    def right(self) -> bool:
        """Whether the answer is right in full."""
        return self.answer == self.right_answer


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen: the most likely one at temperature 0, else drawn, from what the samplers leave.

    The draws depend on `seed` and on the number of the line that is answered, not on the lines before it.

    samples: answers to each problem
    """

    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    samples: int = 1

    def samplers(self) -> tuple[Sampler, ...]:
        """What is done with the logits; at temperature 0 nothing would change which is the likeliest."""
        if self.temperature == 0:
            return ()
        return usual_samplers(top_k=self.top_k, top_p=self.top_p, min_p=self.min_p, temperature=self.temperature)


GREEDY = Sampling()


def sample_answer(
    model: Any, task: "AnsweringTask", problem: Any, sampling: Sampling = GREEDY, line: int = 0
) -> Answer:
    """What a model writes behind the prompt of one problem, up to its end mark or the longest answer's length."""
    return sample_answers(model, task, problem, sampling, line)[0]


def sample_answers(model: Any, task: "AnsweringTask", problem: Any, sampling: Sampling, line: int = 0) -> list[Answer]:
    """The same, as many times as `sampling` says; the first is what it would be alone."""
    vocabulary = task.vocabulary
    prompt = task.prompt(problem)
    tokens = generate(
        model,
        prompt.tokens,  # (1, Tp)
        task.answer_length,
        positions=prompt.positions,
        key_mask=prompt.key_mask,
        stop_token=vocabulary.end,
        samplers=sampling.samplers(),
        samples=sampling.samples,
        key=RandomKey(sampling.seed, "sample", site=line) if sampling.temperature > 0 else None,
    )
    text = task.text(problem)[0]
    statement = task.statements(problem)[0]
    ends = [
        np.flatnonzero(row == vocabulary.end) for row in tokens
    ]  # samples that ended early are filled with the mark
    rows = [row[: end[0] + 1] if len(end) else row for row, end in zip(tokens, ends, strict=True)]
    return [Answer(statement, text.prompt, text.answer, vocabulary.decode(row)) for row in rows]


def as_preview(title: str, answers: Iterable[Answer]) -> Preview:
    """Answers as a table."""
    rows = [(a.statement, a.prompt, a.answer, "the same" if a.right else a.right_answer) for a in answers]
    return Preview(title, COLUMNS, rows)
