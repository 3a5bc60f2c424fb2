"""The options of a task, as a frozen dataclass: flags, presets and `config.json` are all read against its fields."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from ..options.option import check_defaults, check_options, did_you_mean, flag_name, option

LARGEST_LISTED = 2**18  # up to so many pairs of operands, 262,144, all of them are listed
HELD_OUT_SHARE = 16  # beyond it, one pair in 16 belongs to the validation split and one in 16 to the test split

BASES = {"binary": 2, "decimal": 10}
NUMBER_TASKS = tuple(f"{base}-{name}" for base in BASES for name in ("addition", "subtraction", "multiplication"))
TASKS = (*NUMBER_TASKS, "expressions", "modular-addition")
EXPRESSION_COUNTS = (10, 400, 640_000)  # distinct expressions of depth 0, 1 and 2
TRAIN_SHARES = {"expressions": 0.25, "modular-addition": 0.3}  # trained on where no size is given, as published

# Options that mean something for some kinds of tasks only: elsewhere they must keep their defaults.
FOR_NUMBERS = (
    *("digits", "padding", "spaces", "sign", "operands", "carry_mix", "carry_mix_steps", "curriculum", "position_ids"),
    "longest",
)
FOREIGN = {  # by the kind of task
    "numbers": ("depth", "modulus"),
    "expressions": (*FOR_NUMBERS, "modulus"),
    "modular-addition": (*FOR_NUMBERS, "depth", "order", "rows", "prompt_width", "context"),
    "pairs": (*FOR_NUMBERS, "depth", "modulus", "order"),
}
OWN_SIZES = ("train_size", "validation_size", "test_size", "context", "prompt_width", "longest")  # of one task
SIZES = {"numbers": "digits", "expressions": "depth", "modular-addition": "modulus", "pairs": "task"}  # what decides


class Stage(NamedTuple):
    """One stage of a curriculum: operands have at most `digits` digits in the steps before `until`."""

    digits: int
    until: int


@dataclass(frozen=True)
class TaskConfig:
    """What is learned, how it is written, and how many problems are kept from training."""

    task: str = option(
        "binary-addition", f"what is learned: {', '.join(TASKS)}, or FILE.py:Class for a task of your own"
    )
    digits: int = option(8, "digits of the longest operand: bits, in binary", range=(1, 1000))
    order: str = option(
        "reversed",
        "digits written least significant first, or plain; reversed-answer: operands plain, the answer reversed",
        choices=("reversed", "plain", "reversed-answer"),
    )
    padding: str = option(
        "zero",
        "zeros up to the full length, up to that of the longer operand (the result as long as such operands can make "
        "it), or none",
        choices=("zero", "longer", "none"),
    )
    spaces: bool = option(False, "write a + b = c. with spaces; the answer then begins with one")
    sign: str = option(
        "last", "where a difference has its + or -, behind or before its digits", choices=("last", "first")
    )
    loss: str = option(
        "answer",
        "tokens that bear loss: those of the answer, all but padding, or every position with its padding too",
        choices=("answer", "all", "padding-too"),
    )
    operands: str = option(
        "uniform",
        "draw values uniformly, or first a length in digits, then a value, which may be 0 or is positive",
        choices=("uniform", "by-length", "by-length-positive"),
    )
    carry_mix: float = option(
        0.0,
        "share of training problems with long chains of carries or borrows: each of their digit pairs is, with "
        "probability 0.4, made one that hands them on (digits that add up to base - 1, or that are equal)",
        range=(0.0, 1.0),
    )
    carry_mix_steps: int = option(0, "over so many steps that share falls to 0; 0: it stays", range=(0, 99_999_999))
    curriculum: str = option(
        "", "operands grow: 3:2000,6:7000 means 3 digits until step 2000, 6 until 7000, then --digits"
    )
    position_ids: str = option(
        "order",
        "0, 1, 2, ...; coupled: digits of one significance share an id; abacus: a digit's place within its number",
        choices=("order", "coupled", "abacus"),
    )
    position_offset: int = option(
        0, "largest random offset that training adds to a row's position ids", range=(0, 10_000)
    )
    longest: int = option(0, "digits that the model has room for, for tests; 0: --digits", range=(0, 1000))
    context: int = option(0, "positions of every batch; 0: as many as the longest sample needs", range=(0, 10_000))
    rows: str = option(
        "whole",
        "a training row is a whole sample with all its next tokens, or one prefix of it and its one next token",
        choices=("whole", "prefix"),
    )
    prompt_width: int = option(
        0, "pad the prompt before its = to so many tokens, for --rows prefix; 0: to the longest one", range=(0, 10_000)
    )
    depth: int = option(2, "of expressions", range=(0, 2))
    modulus: int = option(113, "of modular addition", range=(2, 250))
    train_size: int = option(
        0,
        "distinct problems to train on, a larger number holding a smaller one's; 0: all, but 25 % of the expressions "
        "and 30 % of modular addition",
        range=(0, 1_000_000),
    )
    draws: str = option(
        "random",
        "draw training problems (with --rows prefix: their prefixes, all as often) with replacement, or each once an "
        "epoch in an order drawn anew",
        choices=("random", "epochs"),
    )
    validation_size: int = option(
        0, "problems kept for validation; 0: 1,000, or a 16th of all pairs if that is less", range=(0, 1_000_000)
    )
    test_size: int = option(
        0, "problems kept for the test; 0: 10,000, or a quarter of all pairs if that is less", range=(0, 1_000_000)
    )
    validation: str = option(
        "own",
        "validation problems are kept for that alone, or are the first of the test's (nothing is chosen by them)",
        choices=("own", "test"),
    )
    split_seed: int = option(0, "decides which problems are kept", range=(0, 2**63))

    def resolved(self) -> "TaskConfig":
        """The same options with sizes that were left to the task (0) as numbers: of the splits, `longest`."""
        problems = self.problem_count
        test_size = self.test_size or max(min(10_000, problems // 4), 1)
        validation_size = self.validation_size or max(min(1_000, problems // 16), 1)
        if self.validation == "test" and not self.validation_size:
            validation_size = min(validation_size, test_size)
        longest = self.longest or (self.digits if self.of_numbers else 0)
        train_size = self.train_size or int(problems * TRAIN_SHARES.get(self.task, 0))
        return replace(
            self, train_size=train_size, validation_size=validation_size, test_size=test_size, longest=longest
        )

    def validate(self) -> "TaskConfig":
        """Check each value, how they fit together, and whether the splits leave something to train on; returns self.

        Raises ValueError: one sentence that names the flag.
        """
        check_options(self)
        check_task_name(self.task)
        check_meaningful(self)
        check_lengths(self)
        check_position_ids(self)
        check_rows(self)
        check_draws(self)
        if self.listed:
            check_listed_sizes(self.resolved())
        else:
            check_hashed_sizes(self.resolved())
        return self

    @property
    def kind(self) -> str:
        """What the problems are: "numbers", "expressions", "modular-addition" or "pairs".

        Raises ValueError if it is a user's task that cannot be loaded.
        """
        if self.task in TASKS:
            return "numbers" if self.task in NUMBER_TASKS else self.task
        from .user_tasks import load_task_class  # a user's file is run only where its task is asked for

        return load_task_class(self.task).kind

    @property
    def of_numbers(self) -> bool:
        """Whether a problem is two operands of digits: the task is one of ours, or a user's own."""
        return self.kind == "numbers"

    @property
    def digest(self) -> str | None:
        """What tells whether a user's task of listed pairs is still the same; None for all others."""
        if self.task in TASKS:
            return None
        from .user_tasks import digest_of_user_task

        return digest_of_user_task(self.task)

    @property
    def base(self) -> int:
        """The base of the operands' digits. Raises ValueError if it is a user's task that cannot be loaded."""
        if self.task in TASKS:
            return BASES.get(self.task.partition("-")[0], 10)
        from .user_tasks import load_task_class  # a user's file is run only where its task is asked for

        return load_task_class(self.task).base

    @property
    def problem_count(self) -> int:
        """How many distinct problems the task has, of training and held out together."""
        if self.task == "expressions":
            return EXPRESSION_COUNTS[self.depth]
        if self.task == "modular-addition":
            return self.modulus**2
        if not self.of_numbers:
            from .user_tasks import count_problems

            return count_problems(self.task)
        return self.base ** (2 * self.digits)

    @property
    def listed(self) -> bool:
        """Whether the problems are few enough to list all of them."""
        return not self.of_numbers or self.problem_count <= LARGEST_LISTED

    @property
    def held_out_count(self) -> int:
        """How many problems are kept from training; only for resolved options."""
        return self.test_size + (self.validation_size if self.validation == "own" else 0)

    @property
    def size_flag(self) -> str:
        """The flag that decides how many problems there are, with its value."""
        name = SIZES[self.kind]
        return f"--{name} {getattr(self, name)}"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the curriculum, none where there is none. Raises ValueError if it is not written as one."""
        return parse_curriculum(self.curriculum) if self.curriculum else ()


def check_task_name(name: str) -> None:
    """Raise ValueError unless it is one of our tasks or looks like a user's `FILE.py:Class`."""
    file, colon, cls = name.rpartition(":")
    if name not in TASKS and not (colon and file.endswith(".py") and cls.isidentifier()):
        meant = did_you_mean(name, TASKS)
        raise ValueError(f"--task {name}: must be one of {', '.join(TASKS)}, or FILE.py:Class{meant}")


def check_meaningful(config: TaskConfig) -> None:
    """Raise ValueError if an option was changed that means nothing for this task."""
    check_defaults(config, FOREIGN[config.kind], f"--task {config.task}")


def check_lengths(config: TaskConfig) -> None:
    """The rules of `operands`, `longest` and `curriculum`."""
    if config.operands == "by-length-positive" and config.listed:
        raise ValueError(
            f"--operands by-length-positive: needs more problems than the {config.problem_count:,} of "
            f"{config.size_flag}, which are all listed, those with a 0 among them"
        )
    if config.longest and config.longest < config.digits:
        raise ValueError(f"--longest {config.longest}: must be 0 or at least --digits {config.digits}")
    digits, until = 0, 0
    for stage in config.stages:
        if not digits < stage.digits < config.digits or stage.until <= until:
            raise ValueError(
                f"--curriculum {config.curriculum}: digits and steps must rise from stage to stage, "
                f"and digits stay below --digits {config.digits}"
            )
        digits, until = stage


def parse_curriculum(text: str) -> tuple[Stage, ...]:
    """The stages in a text like `3:2000,6:7000`; ValueError for any other."""
    stages = []
    for part in text.split(","):
        digits, _, until = part.strip().partition(":")
        if not (digits.isdecimal() and until.isdecimal()):
            raise ValueError(f"--curriculum {text}: must be written as DIGITS:STEP,DIGITS:STEP, such as 3:2000,6:7000")
        stages.append(Stage(int(digits), int(until)))
    return tuple(stages)


def check_position_ids(config: TaskConfig) -> None:
    """Ids told by significance need answers whose length is known before they are written."""
    if config.position_ids != "order" and config.order == "plain" and config.padding == "none":
        raise ValueError(
            f"--position-ids {config.position_ids}: with --order plain and --padding none the ids would tell how long "
            "the answer is; choose another --order or --padding"
        )


def check_rows(config: TaskConfig) -> None:
    """A row that is one prefix has one next token, of the answer, and positions as in the order of its tokens."""
    if config.rows == "whole":
        if config.prompt_width:
            raise ValueError(f"--prompt-width {config.prompt_width}: is for --rows prefix only")
        return
    for name, needed in (("loss", "answer"), ("position_ids", "order"), ("position_offset", 0)):
        if getattr(config, name) != needed:
            raise ValueError(f"{flag_name(name)} {getattr(config, name)}: must be {needed} with --rows prefix")
    if config.longest > config.digits:
        raise ValueError(f"--longest {config.longest}: must be --digits {config.digits} with --rows prefix")


def check_draws(config: TaskConfig) -> None:
    """The rules that bind what is drawn to what it is drawn from."""
    if config.draws == "epochs":
        if not (config.listed or config.train_size):
            raise ValueError(f"--draws epochs: {config.size_flag} has too many problems for that; give a --train-size")
        if config.curriculum:
            raise ValueError(f"--curriculum {config.curriculum}: needs --draws random")
    if config.carry_mix_steps and not config.carry_mix:
        raise ValueError(f"--carry-mix-steps {config.carry_mix_steps}: is for --carry-mix only")
    if config.carry_mix and (config.train_size or config.draws == "epochs"):
        limit = f"--train-size {config.train_size}" if config.train_size else "--draws epochs"
        raise ValueError(f"--carry-mix {config.carry_mix}: makes new problems, which {limit} does not allow")


def check_listed_sizes(config: TaskConfig) -> None:
    """Raise ValueError if the held-out problems leave no problem for training, or fewer than `train_size`."""
    count, held_out = config.problem_count, config.held_out_count
    check_validation_of_test(config)
    kind = "operand pairs" if config.of_numbers else "problems"
    own = config.validation == "own"
    if held_out >= count:
        kept = f"--validation-size {config.validation_size} and " if own else ""
        raise ValueError(
            f"{config.size_flag}: has only {count:,} {kind}, of which {kept}--test-size {config.test_size} "
            f"leave{'' if own else 's'} none for training: {'together they' if own else 'it'} must be below {count:,}"
        )
    if config.train_size > count - held_out:
        raise ValueError(f"--train-size {config.train_size}: only {count - held_out:,} {kind} are left for training")


def check_hashed_sizes(config: TaskConfig) -> None:
    """Raise ValueError if a split would have to hold more than a quarter of the pairs that its hash gives it."""
    check_validation_of_test(config)
    limit = config.problem_count // HELD_OUT_SHARE // 4
    sizes = {"validation": config.validation_size, "test": config.test_size, "train": config.train_size}
    for name, size in sizes.items():
        most = limit * (HELD_OUT_SHARE - 2) if name == "train" else limit
        if size > most:
            raise ValueError(f"--{name}-size {size}: must be at most {most:,} for {config.size_flag}")


def check_validation_of_test(config: TaskConfig) -> None:
    """Raise ValueError if validation is to take more problems from the test split than that holds."""
    if config.validation == "test" and config.validation_size > config.test_size:
        raise ValueError(
            f"--validation-size {config.validation_size}: larger than the --test-size {config.test_size}, "
            "from which --validation test takes it"
        )
