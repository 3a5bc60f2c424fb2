"""The options of a task, as a frozen dataclass: flags, presets and `config.json` are all read against its fields."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

LARGEST_LISTED = 18  # up to this many bits in both operands together, all pairs are listed: 2**18 = 262,144
HELD_OUT_SHARE = 16  # beyond it, one pair in 16 belongs to the validation split and one in 16 to the test split


def task_option(default: Any, help: str, *, choices: tuple = (), range: tuple | None = None) -> Any:
    """A field with a default, its meaning, and the allowed values: a list of them, or an inclusive (low, high)."""
    return field(default=default, metadata={"help": help, "choices": choices, "range": range})


@dataclass(frozen=True)
class TaskConfig:
    """What is learned, how it is written, and how many problems are kept from training."""

    task: str = task_option("binary-addition", "what is learned", choices=("binary-addition",))
    digits: int = task_option(8, "digits of the longest operand: bits, in binary", range=(1, 64))
    order: str = task_option(
        "reversed", "digits written least significant first, or plain", choices=("reversed", "plain")
    )
    padding: str = task_option("zero", "zeros up to the full length, or none", choices=("zero", "none"))
    loss: str = task_option("answer", "tokens that bear loss: those of the answer, or all", choices=("answer", "all"))
    operands: str = task_option(
        "uniform", "draw values uniformly, or first a length in bits, then a value", choices=("uniform", "by-length")
    )
    validation_size: int = task_option(
        0, "problems kept for validation; 0: 1,000, or a 16th of all pairs if that is less", range=(0, 1_000_000)
    )
    test_size: int = task_option(
        0, "problems kept for the test; 0: 10,000, or a quarter of all pairs if that is less", range=(0, 1_000_000)
    )
    split_seed: int = task_option(0, "decides which problems are kept", range=(0, 2**63))

    def resolved(self) -> "TaskConfig":
        """The same options with the sizes of the held-out splits as numbers, where they were left to the task (0)."""
        pairs = 4**self.digits
        return replace(
            self,
            validation_size=self.validation_size or max(min(1_000, pairs // 16), 1),
            test_size=self.test_size or max(min(10_000, pairs // 4), 1),
        )

    def validate(self) -> "TaskConfig":
        """Check each value and whether the splits leave something to train on; returns self.

        Raises ValueError: one sentence that names the flag.
        """
        for option in fields(self):
            check_value(option.name, getattr(self, option.name), option.type, option.metadata)
        if self.listed:
            check_listed_sizes(self.resolved())
        else:
            check_hashed_sizes(self.resolved())
        return self

    @property
    def listed(self) -> bool:
        """Whether the operand pairs are few enough to list all of them."""
        return 2 * self.digits <= LARGEST_LISTED


def check_value(name: str, value: Any, kind: Any, rules: Any) -> None:
    """Raise ValueError unless `value` has the type of its field and is among its choices or in its range."""
    flag = "--" + name.replace("_", "-")
    if type(value) is not kind:
        raise ValueError(f"{flag} {value!r}: must be {'a whole number' if kind is int else 'a word'}")
    if rules["choices"] and value not in rules["choices"]:
        raise ValueError(f"{flag} {value}: must be one of {', '.join(rules['choices'])}")
    if rules["range"]:
        low, high = rules["range"]
        if not low <= value <= high:
            raise ValueError(f"{flag} {value}: must be {low} to {high}")


def check_listed_sizes(config: TaskConfig) -> None:
    """Raise ValueError if the held-out problems leave no pair for training."""
    pairs = 4**config.digits
    held_out = config.validation_size + config.test_size
    if held_out >= pairs:
        raise ValueError(
            f"--digits {config.digits}: has only {pairs:,} operand pairs, of which --validation-size "
            f"{config.validation_size} and --test-size {config.test_size} leave none for training: "
            f"together they must be below {pairs:,}"
        )


def check_hashed_sizes(config: TaskConfig) -> None:
    """Raise ValueError if a split would have to hold more than a quarter of the pairs that its hash gives it."""
    limit = 4**config.digits // HELD_OUT_SHARE // 4
    for name, size in (("validation", config.validation_size), ("test", config.test_size)):
        if size > limit:
            raise ValueError(f"--{name}-size {size}: must be at most {limit:,} for --digits {config.digits}")
