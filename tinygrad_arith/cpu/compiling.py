"""Compiled by Numba, with a cache on the disk that may fail: then this process compiles again, and says so once.

Numba by itself raises where it finds no folder to write to (a container under another user), where the disk is full,
and where a file of its cache cannot be read. A damaged file of machine code ends the process without a word, so what
is kept has a digest here.
"""

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature
from numba.misc.appdirs import AppDirs

from ..options.errors import warn

_told: list[str] = []  # what the user was told, once in a process


def compiled_by(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: `numba.njit(**options)`, with a cache that may fail."""

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(**options)(function)
        if not hasattr(compiled, "_cache"):  # NUMBA_DISABLE_JIT: it is the function itself
            return compiled
        try:
            compiled._cache = CarefulCache(function)
        except Exception as error:  # RuntimeError where there is no folder for it
            tell(error)
        return compiled

    return decorate


def tell(error: Exception) -> None:
    """Warn, the first time in this process, that what is compiled cannot be kept."""
    if _told:
        return
    reason = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        reason = ": ".join(filter(None, (error.filename, error.strerror)))
    elif "no locator available" in reason:
        reason = "there is no folder that it could write to"
    _told.append(reason)
    warn(
        f"Numba cannot keep what it compiles ({reason}), so every start compiles again and takes longer; "
        "set NUMBA_CACHE_DIR to a folder that this user may write to"
    )


def has_a_home() -> bool:
    """Whether this user has a folder for caches. One without a name and without HOME has none.

    For that one Numba would make a folder called `~` wherever the program was started.
    """
    return Path(AppDirs(appname="numba", appauthor=False).user_cache_dir).is_absolute()


class CheckedFiles(CompileResultCacheImpl):
    """What is compiled, as bytes with their digest."""

    _locator_classes = [  # noqa: RUF012
        place  # the user's folder, whose class has an underscore before its name up to Numba 0.61
        for place in CompileResultCacheImpl._locator_classes
        if place.__name__.lstrip("_") != "UserWideCacheLocator" or has_a_home()
    ]

    def reduce(self, result: Any) -> tuple[bytes, bytes]:
        """Its digest and its bytes."""
        kept = dumps(super().reduce(result))
        return hashlib.sha256(kept).digest(), kept

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        """What was compiled; raises ValueError where the bytes are not those that were written."""
        digest, kept = payload
        if hashlib.sha256(kept).digest() != digest:
            raise ValueError("damaged")
        return super().rebuild(target_context, pickle.loads(kept))


class CarefulCache(FunctionCache):
    """Numba's cache of one function, none of whose failures ends what the program does."""

    _impl_class = CheckedFiles

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept for this signature; None where nothing is, or nothing that can be used."""
        try:
            found = super().load_overload(sig, target_context)
            # Two processes that write at once may give one name to the code of two signatures.
            if found is None or tuple(found.signature.args) == tuple(normalize_signature(sig)[0]):
                return found
        except OSError as error:  # such as a file of another user
            tell(error)
            self.disable()
            return None
        except Exception:  # damaged: what is written next takes its place
            pass
        with suppress(Exception):
            self.flush()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for this signature, if it can be kept."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            tell(error)
            self.disable()
