"""Names that Windows does not take for files, so that directories can be moved there and errors told in a sentence."""

import unicodedata
from collections.abc import Sequence
from pathlib import PurePath, PureWindowsPath

from ..options.system import on_windows

FORBIDDEN = frozenset('<>:"|?*')  # and what is not printable
NUMBERS = "123456789¹²³"
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", *(f"{port}{n}" for port in ("COM", "LPT") for n in NUMBERS)}


def fault_of_name(path: PurePath) -> str | None:
    """Why this system cannot make such a path, as the end of a sentence; None if it can, as far as names tell."""
    if not on_windows():
        return None
    windows = PureWindowsPath(str(path))
    parts = windows.parts[bool(windows.anchor) :]
    return next((f"Windows takes no name {fault}" for fault in map(fault_of_part, parts) if fault), None)


def fault_of_part(part: str) -> str | None:
    """What is wrong with one name of a path on Windows; None if nothing is."""
    wrong = sorted(letter for letter in part if letter in FORBIDDEN or not letter.isprintable())
    if wrong:
        return f"with {wrong[0]!r}"
    if part.partition(".")[0].rstrip().upper() in DEVICES:
        return f"like {part}, which is a device"
    if part != ".." and part[-1:] in (".", " "):
        return "that ends in a dot or a space"
    return None


def portable(name: str) -> str:
    """A name with a hyphen for each letter that some system does not take in the middle of a file's name."""
    taken = FORBIDDEN | {"/", "\\"}
    return "".join("-" if letter in taken or not letter.isprintable() else letter for letter in name)


def folded(name: str) -> str:
    """What two names have in common that are one file where case does not count, as on Windows and on macOS."""
    return unicodedata.normalize("NFC", name).casefold()


def told_apart(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that are the same file as one before them where case does not count."""
    taken: set[str] = set()
    found = []
    for name in names:
        numbered, count = name, 1
        while folded(numbered) in taken:
            count += 1
            numbered = f"{name}-{count}"
        taken.add(folded(numbered))
        found.append(numbered)
    return found
