"""A model's answer to one problem."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backend import RandomKey
from ..generation import generate
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
    """How tokens are chosen: the most likely one at temperature 0, else drawn, among the `top_k` most likely if given.

    The draws depend on `seed` and on the number of the line that is answered, not on the lines before it.
    """

    temperature: float = 0.0
    top_k: int | None = None
    seed: int = 0


GREEDY = Sampling()


def sample_answer(
    model: Any, task: "AnsweringTask", problem: Any, sampling: Sampling = GREEDY, line: int = 0
) -> Answer:
    """What a model writes behind the prompt of one problem, up to its end mark or the longest answer's length."""
    vocabulary = task.vocabulary
    prompt = task.prompt(problem)
    tokens = generate(
        model,
        prompt.tokens,  # (1, Tp)
        task.answer_length,
        positions=prompt.positions,
        key_mask=prompt.key_mask,
        stop_token=vocabulary.end,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        key=RandomKey(sampling.seed, "sample", site=line) if sampling.temperature > 0 else None,
    )
    text = task.text(problem)[0]
    return Answer(task.statements(problem)[0], text.prompt, text.answer, vocabulary.decode(tokens[0]))


def as_preview(title: str, answers: Iterable[Answer]) -> Preview:
    """Answers as a table."""
    rows = [(a.statement, a.prompt, a.answer, "the same" if a.right else a.right_answer) for a in answers]
    return Preview(title, COLUMNS, rows)
