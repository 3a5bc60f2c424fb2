"""Tables in Markdown, as the pages and the results have them."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> str:
    """The first column starts at the left; the others end at the right, if they are `numbers`.

    A bar within a cell is not taken for the end of it.
    """
    rule = ["---", *["--:" if numbers else "---"] * (len(header) - 1)]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *escaped))
