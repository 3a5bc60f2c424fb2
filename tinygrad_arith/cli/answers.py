"""A model's answer in one line, for people."""

from ..tasks.answering import AnsweringTask
from ..tasks.answers import Answer


def answer_in_words(answer: Answer, task: AnsweringTask) -> str:
    """`1011+1100=00001.   answer 16   13 + 3 = 16   right`: what was written, its value, the truth, the verdict."""
    parts = [f"{answer.prompt}{answer.answer}"]
    if task.typed_in_decimal:
        value = task.answer_value(answer.answer)
        parts.append("answer is no number" if value is None else f"answer {value}")
    parts += [answer.statement, "right" if answer.right else f"wrong: {answer.right_answer} is right"]
    return "   ".join(parts)
