"""How many problems are trained on and kept, and how wide rows are, from what the options leave to the task."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from .options import ProblemOptions

LARGEST_LISTED = 2**18  # up to so many problems, 262,144, all of them are listed
HELD_OUT_SHARE = 16  # beyond it, one in 16 belongs to the validation split and one in 16 to the test split


def settled(task: Any, options: Any, count: int | None = None) -> Any:
    """The same options with sizes that were left to the task (0) as numbers.

    task:  the class of the task
    count: how many problems it has; None: it says so itself

    Raises ValueError if the splits leave nothing to train on, or an option needs more problems, or fewer, than there
    are.
    """
    count = task.problem_count(options) if count is None else count
    test_size = options.test_size or max(min(10_000, count // 4), 1)
    validation_size = options.validation_size or max(min(1_000, count // 16), 1)
    if options.validation == "test" and not options.validation_size:
        validation_size = min(validation_size, test_size)
    share = Fraction(str(task.train_share))  # 0.3 as it is written; and a count may be too large for a float
    train_size = options.train_size or int(count * share)
    sizes: dict[str, Any] = {"train_size": train_size, "validation_size": validation_size, "test_size": test_size}
    if hasattr(options, "longest"):
        sizes["longest"] = options.longest or options.digits
    found = replace(options, **sizes)
    if found.validation == "test" and found.validation_size > found.test_size:
        raise ValueError(
            f"--validation-size {found.validation_size}: larger than the --test-size {found.test_size}, "
            "from which --validation test takes it"
        )
    size = f"--{task.size_flag} {getattr(options, 'kind' if task.size_flag == 'task' else task.size_flag)}"
    if task.lists_all or count <= LARGEST_LISTED:
        check_listed_sizes(found, count, size, task.problems_are)
    else:
        check_hashed_sizes(found, count, size)
    return found


def check_listed_sizes(options: Any, count: int, size: str, problems: str) -> None:
    """Raise ValueError if the held-out problems leave no problem for training, or fewer than `train_size`."""
    own = options.validation == "own"
    held_out = options.test_size + (options.validation_size if own else 0)
    if getattr(options, "operands", "") == "by-length-positive":
        raise ValueError(
            f"--operands by-length-positive: needs more problems than the {count:,} of {size}, which are all listed, "
            "those with a 0 among them"
        )
    if held_out >= count:
        kept = f"--validation-size {options.validation_size} and " if own else ""
        raise ValueError(
            f"{size}: has only {count:,} {problems}, of which {kept}--test-size {options.test_size} "
            f"leave{'' if own else 's'} none for training: {'together they' if own else 'it'} must be below {count:,}"
        )
    if options.train_size > count - held_out:
        raise ValueError(
            f"--train-size {options.train_size}: only {count - held_out:,} {problems} are left for training"
        )


def check_hashed_sizes(options: ProblemOptions, count: int, size: str) -> None:
    """Raise ValueError if a split would have to hold more than a quarter of the problems that its hash gives it."""
    if options.draws == "epochs" and not options.train_size:
        raise ValueError(f"--draws epochs: {size} has too many problems for that; give a --train-size")
    limit = count // HELD_OUT_SHARE // 4
    sizes = {"validation": options.validation_size, "test": options.test_size, "train": options.train_size}
    for name, chosen in sizes.items():
        most = limit * (HELD_OUT_SHARE - 2) if name == "train" else limit
        if chosen > most:
            raise ValueError(f"--{name}-size {chosen}: must be at most {most:,} for {size}")


def kept_sizes(options: ProblemOptions) -> dict[str, int]:
    """How many problems are kept for each split alone: none for a validation that is the first of the test's."""
    return {"test": options.test_size, "validation": options.validation_size if options.validation == "own" else 0}


def at_least(flag: str, chosen: int, needed: int, where: str) -> int:
    """The chosen size, or the one that is needed where it was left open (0); raises ValueError if it is too small."""
    if chosen and chosen < needed:
        raise ValueError(f"--{flag} {chosen}: must be at least {needed}, the tokens {where}")
    return chosen or needed
