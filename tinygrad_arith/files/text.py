"""Text that somebody hands in, as bytes: UTF-8, with or without the byte order mark that editors on Windows write."""

import codecs

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
IN_UTF_16 = "it is in UTF-16, as PowerShell's > writes it; save it as UTF-8"


class InUtf16(ValueError):
    """A text that is in UTF-16. What it says is the end of a sentence."""


def decoded(data: bytes) -> str:
    """The text of bytes in UTF-8, without a byte order mark.

    Raises InUtf16 where they are in UTF-16, and UnicodeDecodeError, a ValueError too, where in anything else.
    """
    if is_utf_16(data):
        raise InUtf16(IN_UTF_16)
    return data.decode("utf-8-sig")


def is_utf_16(data: bytes) -> bool:
    """Whether the first bytes of a text are those of UTF-16: its mark, or an ASCII letter and a zero byte."""
    return data.startswith(UTF_16_MARKS) or (0 in data[:2] and data[:2] != b"\0\0" and len(data) > 1)


def check_source(data: bytes) -> None:
    """Raise InUtf16 where a Python file is in UTF-16. (Python itself takes a mark of UTF-8, and any encoding
    that the file's first lines name.)
    """
    if is_utf_16(data):
        raise InUtf16(IN_UTF_16)
