"""How `--help` is laid out: readable from 40 columns on."""

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator

NARROW = 60  # columns below which the explanation of a flag begins below the flag
PIECE = re.compile(r"[^\s,]+,? ?|, ?")  # of a flag with its value; a line may end after it


class HelpFormatter(argparse.HelpFormatter):
    """Paragraphs are filled to the width of the terminal; a flag that is too long for it is broken, and no word is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
        return "\n\n".join(filled(paragraph, width, indent, indent) for paragraph in paragraphs)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_usage(self, usage: str | None, actions: Iterable, groups: Iterable, prefix: str | None) -> str:
        if usage is None:
            return super()._format_usage(usage, actions, groups, prefix)  # type: ignore[arg-type]
        text = f"usage: {usage % {'prog': self._prog}}"
        return filled(text, self._width, "", "  ") + "\n\n"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        text = ", ".join(action.option_strings)
        if action.nargs != 0:
            text += " " + self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"\n{' ' * (self._current_indent + 2)}".join(broken(text, self._width - self._current_indent - 2))


def filled(text: str, width: int, first: str, other: str) -> str:
    """A paragraph in lines of that width, of which the first begins with `first` and every other one with `other`."""
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=other, break_on_hyphens=False)


def broken(text: str, width: int) -> Iterator[str]:
    """A flag with its value, in as many lines as it takes: they end after commas and spaces."""
    line = ""
    for piece in PIECE.findall(text):
        if line and len(line + piece.rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece
    yield line
