"""Numbers as people type them, `1011 + 110 =` or in decimal `13 + 6`, and as models answer them."""

import re

from ...options.words import shortened

MOST_DIGITS = 1000  # of a number typed in decimal
SIGNS = "+-\u2212"  # the last is the minus sign of books
OPERATORS = SIGNS + "*/^%\u00d7\u00f7"  # and its signs for products and quotients


def decimal_operands(text: str, symbol: str) -> tuple[int, int] | None:
    """The two operands of a text like `13 + 3 =`, read in decimal; None if it is no such text."""
    number = rf"\s*([0-9]{{1,{MOST_DIGITS}}})\s*"
    found = re.fullmatch(rf"{number}{re.escape(symbol)}{number}=?\s*", text)
    return None if found is None else (int(found[1]), int(found[2]))


def check_decimal(text: str, symbol: str, form: str, does: str) -> None:
    """Raise ValueError, one sentence, which says why a text is not what `decimal_operands` reads.

    form: how a problem is written, `write 13+3`; does: what a model does with numbers, `adds`
    """
    check_form(text, symbol, does)
    typed = text.strip().removesuffix("=").rstrip()
    written, operands = f"{shortened(typed)!r} is no problem in decimal", typed.split(symbol)
    for name, operand in zip(("first", "second"), operands, strict=False):
        words = operand.split()
        if len(operands) == 2 and not words:
            raise ValueError(f"the {name} operand is empty: {form}")
        if len(words) > 1 and all(word.isdecimal() for word in words):
            raise ValueError(f"{written}: a number has no space inside; one problem at a time, {form}")
        if words and words[0].isdecimal() and len(words[0]) > MOST_DIGITS:
            raise ValueError(f"the {name} operand has {len(words[0]):,} digits: at most {MOST_DIGITS:,} are read")
    for position, character in enumerate(typed, start=1):
        if not (character.isspace() or character == symbol or character in "0123456789"):
            raise ValueError(f"{character!r} at position {position} is not a digit: {form}")
    raise ValueError(f"{written}: {form}")


def value_of_answer(answer: str, base: int, backwards: bool) -> int | None:
    """The value of what a model has answered, such as `00001.` or `01-.`; None if that is no number.

    backwards: whether the least significant digit comes first
    """
    found = re.fullmatch(r" ?([+-]?)([0-9]+)([+-]?)\.?", answer)
    if found is None or (found[1] and found[3]) or any(int(digit) >= base for digit in found[2]):
        return None
    value = int(found[2][::-1] if backwards else found[2], base)
    return -value if "-" in found[1] + found[3] else value


def check_form(text: str, symbol: str, does: str) -> None:
    """Raise ValueError, one sentence, unless a text holds one problem of two operands, whatever their digits are.

    does: what a model does with numbers: `adds`
    """
    operators, begun, ended = 0, False, False  # begun: whether this operand has a digit, or what stands for one
    for position, character in enumerate(text.rstrip(), start=1):
        here = f"{character!r} at position {position}"
        if character.isspace():
            continue
        if ended:
            raise ValueError(f"{here} stands behind the '=', which ends a problem")
        if character in ".,":
            raise ValueError(f"{here}: this model {does} whole numbers")
        if character == symbol and operators:
            raise ValueError(f"a second {symbol!r} at position {position}: a problem has two operands")
        if character in SIGNS and character != symbol and not begun:
            raise ValueError(f"{here}: the numbers of this model have no sign")
        if character in OPERATORS and character != symbol:
            raise ValueError(f"{here}: this model {does}, and between its two numbers stands {symbol!r}")
        operators += character == symbol
        begun, ended = character != symbol, character == "="


def split_operands(text: str, symbol: str, base: int, form: str, does: str = "takes") -> tuple[str, str]:
    """The two operands in a text like `1011 + 110 =`, spaces dropped. Raises ValueError for anything else.

    form: how a problem is written, for the errors
    does: see `check_form`
    """
    check_form(text, symbol, does)
    kind = {2: "a binary digit", 10: "a decimal digit"}.get(base, f"a digit of base {base}")
    digits = "0123456789"[:base]
    operands = [""]
    for position, character in enumerate(text.rstrip(), start=1):
        if character in digits:
            operands[-1] += character
        elif character == symbol:
            operands.append("")
        elif not (character.isspace() or character == "="):
            allowed = "0 and 1" if base == 2 else f"0 to {base - 1}"
            raise ValueError(f"{character!r} at position {position} is not {kind}: allowed are {allowed}; {form}")
    if len(operands) == 1:
        raise ValueError(f"there is no {symbol!r} in {shortened(text.strip())!r}: {form}")
    return operands[0], operands[1]
