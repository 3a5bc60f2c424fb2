"""Problems of two numbers as people type them: `1011 + 110 =`."""


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
