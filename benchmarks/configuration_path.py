"""Through how many functions does a configuration go, from the command line to the model?

    python benchmarks/configuration_path.py             # the count
    python benchmarks/configuration_path.py --list      # and each function, in the order of its first call

Counted are the distinct functions of the package (no class bodies, no comprehensions) that are called from
`main(["--dry-run"])` of the train command until the first `GPT.__init__`, all modules being loaded. Who wants to follow
an option reads about so many.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import tinygrad_arith
import tinygrad_arith.cli.summary
import tinygrad_arith.tasks.arithmetic.operations
import tinygrad_arith.training.session
from tinygrad_arith.cli.train import main as train
from tinygrad_arith.models import GPT

PACKAGE = str(Path(tinygrad_arith.__file__).parent)


class Arrived(Exception):
    """The model is being made."""


def functions_on_the_way() -> list[str]:
    """The functions of the package that are called, each once, as `cli/train.py:main`."""
    found: dict[str, None] = {}

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        if event != "call" or not function or not code.co_filename.startswith(PACKAGE):
            return
        if code is GPT.__init__.__code__:
            raise Arrived
        place = Path(code.co_filename).relative_to(PACKAGE).as_posix()
        found.setdefault(f"{place}:{code.co_qualname}")

    sys.setprofile(seen)
    try:
        train(["--dry-run"])
    except Arrived:
        pass
    finally:
        sys.setprofile(None)
    return list(found)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print each function")
    listed = parser.parse_args().list
    found = functions_on_the_way()
    if listed:
        print("\n".join(found))
    print(f"{len(found)} functions")


if __name__ == "__main__":
    main()
