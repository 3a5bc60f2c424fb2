"""The commands of an installed wheel, in a directory without the checkout: `python .ci/installed.py DIRECTORY`.

They run as processes with the Python that runs this, so that nothing of the checkout is imported by accident.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = "--digits 3 --test-size 8 --validation-size 8 --eval-size 8 --steps 20 --warmup 5 --batch 16 --out wheel-run"
WHERE = "import tinygrad_arith; print(tinygrad_arith.__file__)"
COMMANDS = (  # what is typed after `python -m tinygrad_arith.`, and into it
    ("train --list-presets", None),
    ("train --dry-run", None),
    (f"train {TINY}", None),
    ("sample wheel-run", "101+110=\n"),
    ("evaluate wheel-run --json", None),
    ("peek --show 1", None),
)


def python(*arguments: str, elsewhere: Path, typed: str | None = None) -> str:
    """What a Python says there; raises `CalledProcessError` if it fails."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=elsewhere, input=typed, text=True, check=True, stdout=subprocess.PIPE).stdout


def main() -> None:
    """Every command once, none from the checkout."""
    elsewhere = Path(sys.argv[1])
    place = Path(python("-c", WHERE, elsewhere=elsewhere).strip())
    if place.is_relative_to(ROOT / "tinygrad_arith"):
        raise SystemExit(f"{place} is the checkout, not an installed wheel")
    print("installed in", place.parent)
    for line, typed in COMMANDS:
        module, *arguments = line.split()
        said = python("-m", f"tinygrad_arith.{module}", *arguments, elsewhere=elsewhere, typed=typed)
        print(f"{line}: {len(said.splitlines())} lines")


if __name__ == "__main__":
    main()
