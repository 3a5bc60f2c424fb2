"""What a model answers while it is trained."""

import sys
from typing import TYPE_CHECKING, Any

from ..tasks.answering import AnsweringTask
from ..tasks.answers import sample_answer
from ..training.reporter import Reporter
from .answers import answer_in_words
from .progress import BarReporter

if TYPE_CHECKING:  # it loads the libraries of the CPU, which --help does without
    from ..training.trainer import Session

SHOWN = 3  # problems


class PreviewReporter(Reporter):
    """Shows, at every `every`-th evaluation, the model's answers to the first few validation problems.

    On a terminal they stand over the bar, if that is how `progress` shows the training; otherwise on stderr, so that a
    pipe gets the lines of the training alone.
    """

    def __init__(self, session: "Session", task: AnsweringTask, every: int, progress: Reporter):
        training = session.record.config.training
        self.session, self.task, self.progress = session, task, progress
        self.steps_between = every * training.eval_every
        self.problems = task.problems("validation", min(SHOWN, training.eval_size))

    def stepped(self, row: dict[str, Any]) -> None:
        """Show the answers, if it is time."""
        if row["step"] % self.steps_between:
            return
        lines = [f"  step {row['step']}: {line}" for line in self.answers()]
        try:
            if isinstance(self.progress, BarReporter):
                self.progress.show_above("\n".join(lines))
            else:
                print("\n".join(lines), file=sys.stderr, flush=True)
        except OSError as error:
            self.output_error = error

    def answers(self) -> list[str]:
        """The answers of the model as it is now, a line each."""
        problems = [self.problems[i : i + 1] for i in range(len(self.problems))]
        return [answer_in_words(sample_answer(self.session.model, self.task, one)) for one in problems]
