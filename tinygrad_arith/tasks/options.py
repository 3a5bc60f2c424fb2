"""The options that tasks share, as frozen dataclasses: a kind of task adds its own to one of them."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..options.option import Options, flag_name, option


@dataclass(frozen=True)
class TaskOptions(Options):
    """What every kind of task has. What is set here without being an option is one of some kinds.

    rows:            what a training row is: "whole", or "prefix" for models that predict one token of each row
    draws:           how training examples are drawn: "random", or "epochs"
    validation_size: examples kept for validation; 0: the task knows it once it is made
    """

    kind: str = option(
        "binary-addition",
        "what is learned: {kinds}, or FILE.py:Class for a task of your own",
        flag="task",
    )

    rows = "whole"
    draws = "random"
    validation_size = 0


@dataclass(frozen=True)
class ProblemOptions(TaskOptions):
    """And of tasks of problems with answers: what bears loss, and which problems are trained on.

    Kinds that have no options for them stand at `context` and what else is set here without being an option.
    """

    loss: str = option(
        "answer",
        "tokens that bear loss: those of the answer, all but padding, or every position with its padding too",
        choices=("answer", "all", "padding-too"),
    )
    position_offset: int = option(
        0, "largest random offset that training adds to a row's position ids", range=(0, 10_000)
    )
    train_size: int = option(
        0,
        "how many different problems to train on (100 of them are among 200); 0: all that are not kept for tests, of "
        "expressions 25 %, of modular addition 30 %",
        range=(0, 1_000_000),
        sizes=True,
    )
    draws: str = option(
        "random",
        "draw training problems (with --rows prefix: their prefixes, all as often) with replacement, or each once an "
        "epoch in an order drawn anew",
        choices=("random", "epochs"),
    )
    validation_size: int = option(
        0,
        "problems kept for validation; 0: 1,000, or a 16th of all pairs if that is less",
        range=(0, 1_000_000),
        sizes=True,
    )
    test_size: int = option(
        0,
        "problems kept for the test; 0: 10,000, or a quarter of all pairs if that is less",
        range=(0, 1_000_000),
        sizes=True,
    )
    validation: str = option(
        "own",
        "validation problems are kept for that alone, or are the first of the test's (nothing is chosen by them)",
        choices=("own", "test"),
    )
    split_seed: int = option(0, "decides which problems are kept", range=(0, 2**63))

    context = 0
    prompt_width = 0
    position_ids = "order"


@dataclass(frozen=True)
class RowOptions(ProblemOptions):
    """And of tasks with prompts of different lengths: how wide their rows are, and what a row is."""

    context: int = option(
        0, "positions of every batch; 0: as many as the longest sample needs", range=(0, 10_000), sizes=True
    )
    rows: str = option(
        "whole",
        "a training row is a whole sample with all its next tokens, or one prefix of it and its one next token",
        choices=("whole", "prefix"),
    )
    prompt_width: int = option(
        0,
        "pad the prompt before its = to so many tokens, for --rows prefix; 0: to the longest one",
        range=(0, 10_000),
        sizes=True,
    )

    def check(self) -> None:
        """A row that is one prefix has one next token, of the answer, and positions in the order of its tokens."""
        if self.rows == "whole":
            if self.prompt_width:
                raise ValueError(f"--prompt-width {self.prompt_width}: is for --rows prefix only")
            return
        for name, needed in self.needed_by_prefixes:
            if getattr(self, name) != needed:
                raise ValueError(f"{flag_name(name)} {getattr(self, name)}: must be {needed} with --rows prefix")

    needed_by_prefixes: ClassVar[tuple[tuple[str, Any], ...]] = (("loss", "answer"), ("position_offset", 0))
