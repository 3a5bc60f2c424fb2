"""A run as programs and notebooks see it: its options, how it went, its model, and what that answers."""

import os
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..comparisons.finished_runs import is_finished
from ..models.model import Model
from ..options.arguments import number, one_of, place, shown, text, truth, whole
from ..options.errors import UserError, as_user_error
from ..plots.run_data import attention_of
from ..run_files.metrics import FILE_NAME, checked_metrics
from ..run_files.result import read_result_file
from ..saved_models import DEVICES
from ..tasks import Task
from ..tasks.answering import AnsweringTask, answering
from ..tasks.answers import Sampling, sample_answers
from ..tasks.metrics import Metrics
from ..tasks.splits import HELD_OUT
from ..training.config import Config
from ..training.runs import CONFIG_FILE, RESULT_FILE, LoadedRun, load_run, read_record
from .arguments import for_programs, speaking_of_arguments
from .names_elsewhere import of_run

LONGEST_SHOWN = 200  # characters of a problem in a sentence about it
LARGEST_SEED = 2**32 - 1  # of the keys of random numbers
A_PROBLEM = 'a text, such as "13+3"'


@dataclass(frozen=True)
class Answer:
    """What a model wrote behind a problem.

    text:      as the model writes it, with the end mark
    value:     the number that it means; None where it means none
    right:     whether it is right in full
    right_text: what would be
    prompt:    the problem as the model reads it
    statement: the problem with its true result, in decimal
    """

    text: str
    value: int | None
    right: bool
    right_text: str
    prompt: str
    statement: str


class Run:
    """A run on disk. Raises UserError, one sentence, where there is none.

    device: of the model: "cpu", "cuda", or "auto", the GPU if there is one
    best:   the model of the checkpoint that did best at the goal of its task, and not of the newest one
    """

    @for_programs
    def __init__(self, path: "str | os.PathLike[str]", *, device: str = "auto", best: bool = False):
        given = place("path", path)
        self.device, self.best = one_of("device", device, DEVICES), truth("best", best)
        self.path = Path(os.path.abspath(given))  # the same directory when the program goes to another one
        self.config: Config = read_record(given).config

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @cached_property
    def loaded(self) -> LoadedRun:
        """The run with its task and model."""
        with speaking_of_arguments(self):
            return load_run(self.path, self.device, best=self.best)

    @property
    def model(self) -> Model:
        """The trained model, for inference."""
        return self.loaded.model

    @property
    def task(self) -> Task:
        """What it was trained on."""
        return self.loaded.task

    @property
    def step(self) -> int:
        """The training step that the model is of."""
        return self.loaded.step

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was measured, a dict for each step: `step`, `loss`, ..., and the goal metric where it was evaluated."""
        self.require_there()
        return checked_metrics(self.path, self.task.goal) if (self.path / FILE_NAME).exists() else []

    @property
    def result(self) -> dict[str, Any] | None:
        """How the model did on the test split, such as `test_exact_match`; None before the end of training."""
        self.require_there()
        return read_result_file(self.path / RESULT_FILE) if is_finished(self.path) else None

    @property
    def is_there(self) -> bool:
        """Whether the directory still holds the run."""
        return (self.path / CONFIG_FILE).is_file()

    def require_there(self) -> None:
        """Raise UserError if the run was deleted or moved."""
        if not self.is_there:
            raise UserError(f"{self.path}: the run is not there any more")

    @for_programs
    def answer(
        self,
        problem: str,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        min_p: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """The model's answer to one problem, such as "13+3" in decimal, or as the task writes it.

        The other arguments say how tokens are drawn; by default the likeliest is taken. Raises UserError for what is no
        problem of the task.
        """
        sampling = Sampling(
            number("temperature", temperature, lambda v: v >= 0, "a number, 0 or above"),
            None if top_k is None else whole("top_k", top_k, 1),
            whole("seed", seed, 0, LARGEST_SEED),
            number("top_p", top_p, lambda v: 0 < v <= 1, "a number above 0, and at most 1"),
            number("min_p", min_p, lambda v: 0 <= v <= 1, "a number from 0 to 1"),
        )
        task, found = self.answering, self.problem(problem)
        said = sample_answers(self.model, task, found, sampling)[0]
        value = task.answer_value(said.answer)
        return Answer(said.answer, value, said.right, said.right_answer, said.prompt, said.statement)

    @for_programs
    def attention(self, problem: str) -> tuple[np.ndarray, list[str]]:
        """Where the model looks while it answers a problem: shares (layers, NH, T, T), row = query, and the T tokens.

        Raises UserError for what is no problem of the task, or a model without attention.
        """
        maps, tokens, _ = attention_of(self.model, self.answering, self.problem(problem))
        return np.stack(maps), tokens

    @for_programs
    def evaluate(self, split: str = "test", count: int | None = None) -> Metrics:
        """How the model does on a split, "test" or "validation", or on its first `count` examples."""
        split = one_of("split", split, HELD_OUT)
        count = None if count is None else whole("count", count, 1)
        with as_user_error():
            return self.task.evaluate(self.model, split, count)

    @for_programs
    def curves(self) -> Any:
        """Loss and goal metric over the training, a matplotlib figure."""
        from ..plots.training_curve import training_curve

        return training_curve(self.history, self.task.goal)

    @property
    def answering(self) -> AnsweringTask:
        """The task as one of problems with answers. Raises UserError where it is none."""
        return answering(self.task, f"{self.path}:")

    def problem(self, problem: str) -> Any:
        """The problem that a text states. Raises UserError where it states none."""
        problem, task = text("problem", problem, A_PROBLEM), self.answering
        told = repr(problem) if len(problem) <= LONGEST_SHOWN else shown(problem)
        with as_user_error(f"problem {told}: "):
            return task.read(problem).problem

    def facts(self) -> dict[str, str]:
        """The run in a few words."""
        config = self.config
        facts = {"path": str(self.path), "task": config.task.kind, "model": config.model.kind}
        if not self.is_there:
            return facts | {"result": "not there any more"}
        result = self.result
        if result is None:
            return facts | {"result": "not finished"}
        goal = f"test_{self.task.goal.name}"
        return facts | {"steps": f"{result['step']:,}", goal: f"{result[goal]:.4f}"}

    def __getattr__(self, name: str) -> NoReturn:  # of what is not there
        if hasattr(type(self), name):  # a property, in which something else was not there
            object.__getattribute__(self, name)
        raise AttributeError(of_run(name), name=name, obj=self)

    def __repr__(self) -> str:
        return f"Run({', '.join(f'{name}={text}' for name, text in self.facts().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(n)}</th><td>{escape(text)}</td></tr>" for n, text in self.facts().items())
        return f"<table>{rows}</table>"
