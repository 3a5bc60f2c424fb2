"""A model's answer in one line, for people."""

from ..tasks.answers import Answer


def answer_in_words(answer: Answer, value: str | None = None) -> str:
    """`1011+1100=00001.   13 + 3 = 16   right`: what was written, the truth, the verdict.

    value: of the answer, where that is told too
    """
    parts = [f"{answer.prompt}{answer.answer}", *([] if value is None else [f"answer {value}"]), answer.statement]
    return "   ".join([*parts, "right" if answer.right else f"wrong: {answer.right_answer} is right"])
