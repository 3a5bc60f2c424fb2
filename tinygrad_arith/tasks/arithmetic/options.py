"""The options of tasks of two operands of digits."""

from dataclasses import dataclass
from typing import NamedTuple

from ...options.option import option
from ..options import RowOptions


class Stage(NamedTuple):
    """One stage of a curriculum: operands have at most `digits` digits in the steps before `until`."""

    digits: int
    until: int


@dataclass(frozen=True)
class NumberOptions(RowOptions):
    """How the numbers are written and drawn."""

    family = "numbers"

    digits: int = option(8, "digits of the longest operand: bits, in binary", range=(1, 1000))
    order: str = option(
        "reversed",
        "digits written least significant first, or plain; reversed-answer: operands plain, the answer reversed",
        choices=("reversed", "plain", "reversed-answer"),
    )
    padding: str = option(
        "zero",
        "zeros that fill up the numbers. zero: operands to --digits; longer: the shorter operand to the longer one; "
        "none: no zeros. With zero and longer, the result is filled up to the longest that such operands can have",
        choices=("zero", "longer", "none"),
    )
    spaces: bool = option(False, "write a + b = c. with spaces; the answer then begins with one")
    operands: str = option(
        "uniform",
        "draw values uniformly, or first a length in digits, then a value, which may be 0 or is positive",
        choices=("uniform", "by-length", "by-length-positive"),
    )
    curriculum: str = option(
        "", "operands grow: 3:2000,6:7000 means 3 digits until step 2000, 6 until 7000, then --digits"
    )
    position_ids: str = option(
        "order",
        "0, 1, 2, ...; coupled: digits of one significance share an id; abacus: a digit's place within its number",
        choices=("order", "coupled", "abacus"),
    )
    longest: int = option(0, "digits that the model has room for, for tests; 0: --digits", range=(0, 1000), sizes=True)

    sign = "last"
    carry_mix = 0.0
    carry_mix_steps = 0
    needed_by_prefixes = (("loss", "answer"), ("position_ids", "order"), ("position_offset", 0))

    def check(self) -> None:
        """The rules of lengths, of position ids, and of what is drawn."""
        super().check()
        if self.longest and self.longest < self.digits:
            raise ValueError(f"--longest {self.longest}: must be 0 or at least --digits {self.digits}")
        if self.rows == "prefix" and self.longest > self.digits:
            raise ValueError(f"--longest {self.longest}: must be --digits {self.digits} with --rows prefix")
        shorter = Stage(0, 0)
        for stage in self.stages if self.curriculum else ():
            if not shorter.digits < stage.digits < self.digits or stage.until <= shorter.until:
                raise ValueError(
                    f"--curriculum {self.curriculum}: digits and steps must rise from stage to stage, "
                    f"and digits stay below --digits {self.digits}"
                )
            shorter = stage
        if self.curriculum and self.draws == "epochs":
            raise ValueError(f"--curriculum {self.curriculum}: needs --draws random")
        if self.position_ids != "order" and self.order == "plain" and self.padding == "none":
            raise ValueError(
                f"--position-ids {self.position_ids}: with --order plain and --padding none the ids would tell how "
                "long the answer is; choose another --order or --padding"
            )
        if self.carry_mix_steps and not self.carry_mix:
            raise ValueError(f"--carry-mix-steps {self.carry_mix_steps}: is for --carry-mix only")
        if self.carry_mix and (self.train_size or self.draws == "epochs"):
            limit = f"--train-size {self.train_size}" if self.train_size else "--draws epochs"
            raise ValueError(f"--carry-mix {self.carry_mix}: makes new problems, which {limit} does not allow")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the curriculum, none where there is none. Raises ValueError if it is not written as one."""
        stages = []
        for part in self.curriculum.split(",") if self.curriculum else ():
            digits, _, until = part.strip().partition(":")
            if not (digits.isdecimal() and until.isdecimal()):
                raise ValueError(
                    f"--curriculum {self.curriculum}: must be written as DIGITS:STEP,DIGITS:STEP, such as 3:2000,6:7000"
                )
            stages.append(Stage(int(digits), int(until)))
        return tuple(stages)


@dataclass(frozen=True)
class SignOptions(NumberOptions):
    """And where results may be negative."""

    sign: str = option(
        "last", "where a difference has its + or -, behind or before its digits", choices=("last", "first")
    )


@dataclass(frozen=True)
class CarryOptions(NumberOptions):
    """And where carries, or borrows, are handed on."""

    carry_mix: float = option(
        0.0,
        "share of training problems that are given longer carry chains (differences: chains of borrows). In these, "
        "each pair of digits is changed with probability 0.4, so that a carry that comes to it goes on to the next one",
        range=(0.0, 1.0),
    )
    carry_mix_steps: int = option(0, "over so many steps that share falls to 0; 0: it stays", range=(0, 99_999_999))


@dataclass(frozen=True)
class SignAndCarryOptions(SignOptions, CarryOptions):
    """And where both is so."""
