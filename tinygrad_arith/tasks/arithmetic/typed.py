"""Numbers as people type them, `1011 + 110 =` or in decimal `13 + 6`, and as models answer them."""

import re

MOST_DIGITS = 1000  # of a number typed in decimal


def decimal_operands(text: str, symbol: str) -> tuple[int, int] | None:
    """The two operands of a text like `13 + 3 =`, read in decimal; None if it is no such text."""
    number = rf"\s*([0-9]{{1,{MOST_DIGITS}}})\s*"
    found = re.fullmatch(rf"{number}{re.escape(symbol)}{number}=?\s*", text)
    return None if found is None else (int(found[1]), int(found[2]))


def value_of_answer(answer: str, base: int, backwards: bool) -> int | None:
    """The value of what a model has answered, such as `00001.` or `01-.`; None if that is no number.

    backwards: whether the least significant digit comes first
    """
    found = re.fullmatch(r" ?([+-]?)([0-9]+)([+-]?)\.?", answer)
    if found is None or (found[1] and found[3]) or any(int(digit) >= base for digit in found[2]):
        return None
    value = int(found[2][::-1] if backwards else found[2], base)
    return -value if "-" in found[1] + found[3] else value


def split_operands(text: str, symbol: str, base: int, form: str) -> tuple[str, str]:
    """The two operands in a text like `1011 + 110 =`, spaces dropped. Raises ValueError for anything else.

    form: how a problem is written, for the errors
    """
    kind = {2: "a binary digit", 10: "a decimal digit"}.get(base, f"a digit of base {base}")
    digits = "0123456789"[:base]
    operands = [""]
    ended = False
    for position, character in enumerate(text.rstrip(), start=1):
        if character.isspace():
            continue
        if ended:
            raise ValueError(f"{character!r} at position {position} stands behind the '=', which ends a problem")
        if character in digits:
            operands[-1] += character
        elif character == symbol and len(operands) == 1:
            operands.append("")
        elif character == symbol:
            raise ValueError(f"a second {symbol!r} at position {position}: a problem has two operands")
        elif character == "=":
            ended = True
        else:
            allowed = "0 and 1" if base == 2 else f"0 to {base - 1}"
            raise ValueError(f"{character!r} at position {position} is not {kind}: allowed are {allowed}; {form}")
    if len(operands) == 1:
        raise ValueError(f"there is no {symbol!r} in {text.strip()!r}: {form}")
    return operands[0], operands[1]
