"""A user's Python file as a module: always what the file says now."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any


class SourceLoader(SourceFileLoader):
    """Compiles the file each time and leaves nothing beside it.

    Python keeps what it compiled under the size of a file and the second in which it was written: of a file that was
    changed twice within a second, a sign for a sign, it would run the code of before.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it is now."""
        return self.source_to_code(self.get_data(self.path), self.path)


def spec_of(name: str, file: Path) -> ModuleSpec | None:
    """By what a file can be loaded as a module of that name; None if its name does not end in `.py`."""
    if file.suffix != ".py":
        return None
    return importlib.util.spec_from_file_location(name, file, loader=SourceLoader(name, str(file)))


def new_module(spec: ModuleSpec) -> Any:
    """The module, known to Python, before it is run: dataclasses and pickle look there for their own."""
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    return module
