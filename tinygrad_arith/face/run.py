"""A run as programs and notebooks see it: its options, how it went, its model, and what that answers."""

import os
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..comparisons.finished_runs import is_finished
from ..models.model import Model
from ..options.errors import as_user_error
from ..plots.run_data import attention_of
from ..run_files.metrics import FILE_NAME, checked_metrics
from ..run_files.result import read_result_file
from ..tasks import Task
from ..tasks.answering import AnsweringTask, answering
from ..tasks.answers import Sampling, sample_answers
from ..tasks.metrics import Metrics
from ..training.config import Config
from ..training.runs import RESULT_FILE, LoadedRun, load_run, read_record
from .arguments import speaking_of_arguments


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

    def __init__(self, path: "str | os.PathLike[str]", *, device: str = "auto", best: bool = False):
        self.path = Path(path)
        self.device, self.best = device, best
        self.config: Config = read_record(self.path).config

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @cached_property
    def loaded(self) -> LoadedRun:
        """The run with its task and model."""
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
        return checked_metrics(self.path, self.task.goal) if (self.path / FILE_NAME).exists() else []

    @property
    def result(self) -> dict[str, Any] | None:
        """How the model did on the test split, such as `test_exact_match`; None before the end of training."""
        return read_result_file(self.path / RESULT_FILE) if is_finished(self.path) else None

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
        task, found = self.answering, self.problem(problem)
        sampling = Sampling(temperature, top_k, seed, top_p, min_p)
        with speaking_of_arguments():
            said = sample_answers(self.model, task, found, sampling)[0]
        value = task.answer_value(said.answer)
        return Answer(said.answer, value, said.right, said.right_answer, said.prompt, said.statement)

    def attention(self, problem: str) -> tuple[np.ndarray, list[str]]:
        """Where the model looks while it answers a problem: shares (layers, NH, T, T), row = query, and the T tokens.

        Raises UserError for what is no problem of the task, or a model without attention.
        """
        maps, tokens, _ = attention_of(self.model, self.answering, self.problem(problem))
        return np.stack(maps), tokens

    def evaluate(self, split: str = "test", count: int | None = None) -> Metrics:
        """How the model does on a split, "test" or "validation", or on its first `count` examples."""
        with speaking_of_arguments(), as_user_error():
            return self.task.evaluate(self.model, split, count)

    def curves(self) -> Any:
        """Loss and goal metric over the training, a matplotlib figure."""
        from ..plots.training_curve import training_curve

        return training_curve(self.history, self.task.goal)

    @property
    def answering(self) -> AnsweringTask:
        """The task as one of problems with answers. Raises UserError where it is none."""
        return answering(self.task, f"{self.path}:")

    def problem(self, text: str) -> Any:
        """The problem that a text states. Raises UserError where it states none."""
        task = self.answering
        with as_user_error(f"problem {text!r}: "):
            return task.read(text).problem

    def facts(self) -> dict[str, str]:
        """The run in a few words."""
        config, result = self.config, self.result
        facts = {"path": str(self.path), "task": config.task.kind, "model": config.model.kind}
        if result is None:
            return facts | {"result": "not finished"}
        goal = f"test_{self.task.goal.name}"
        return facts | {"steps": f"{result['step']:,}", goal: f"{result[goal]:.4f}"}

    def __repr__(self) -> str:
        return f"Run({', '.join(f'{name}={text}' for name, text in self.facts().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(n)}</th><td>{escape(text)}</td></tr>" for n, text in self.facts().items())
        return f"<table>{rows}</table>"
