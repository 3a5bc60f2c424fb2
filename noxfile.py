"""The steps that check this project, each once: `nox` runs those of `SESSIONS`, `nox -s lint` one, `nox --list` lists.

What is where:
    noxfile.py                what a step installs and runs; each has a fresh environment of its own
    .ci/run                   what a stranger would do: the README's two commands to the letter, then `nox`
    .github/workflows/ci.yml  on which systems, and with which Pythons, that happens; it names sessions only
    .pre-commit-config.yaml   what is quick enough for each commit
"""

import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent
SESSIONS = ["lint", "rejects", "fast", "kernels", "parity", "wheel"]  # the README's commands run the tests
TORCH = "torch==2.13.0"  # the release whose figures the tests of parity were held against

nox.needs_version = ">=2024.4.15"
nox.options.sessions = SESSIONS


@nox.session(python=["3.11", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """All tests, with the newest release of every dependency; arguments behind `--` go to pytest."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """All tests, with the oldest release that `pyproject.toml` allows of every dependency that it names."""
    session.install("uv")
    where = ("--python", session.virtualenv.location)
    session.run("uv", "pip", "install", "--resolution", "lowest-direct", *where, "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint, format and types."""
    session.install(".[test,dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "check", "--preview", "--select", "PLW1514", ".")  # text in the system's own encoding
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def rejects(session: nox.Session) -> None:
    """A failing test fails: a gradient that is wrong by a factor of 1.0005 is rejected."""
    session.install(".[test]")
    test = ("tests/fixtures/known_to_fail.py", "-q", "-n", "0", "-p", "no:cacheprovider")
    said = session.run("python", "-m", "pytest", *test, success_codes=[1], silent=True)
    if "GradientMismatch" not in said:
        session.error(f"the test failed for another reason than its gradient:\n{said}")


@nox.session
def fast(session: nox.Session) -> None:
    """The fast extra: MKL's GEMM beside NumPy's."""
    session.install(".[test,fast]")
    session.run("python", "-m", "pytest", "-q", "tests/cpu", "tests/training/test_workers.py", *session.posargs)


@nox.session
def kernels(session: nox.Session) -> None:
    """Every kernel compiles for Ampere and Hopper, without spills; what the GPU tests import exists."""
    session.install(".[test,kernels]")
    session.run("python", "-m", "pytest", "-q", "tests/kernels", "tests/test_imports.py", *session.posargs)


@nox.session
def parity(session: nox.Session) -> None:
    """Cross-checks of every gradient against PyTorch, in 16 bits and with MKL too."""
    session.install(".[test,fast,kernels,parity]", TORCH)
    session.run("python", "-m", "pytest", "-q", "tests/parity", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """The source archive and the wheel made from it: what is in them, and the commands from another directory."""
    built, elsewhere = (Path(session.create_tmp()).resolve() / name for name in ("dist", "elsewhere"))
    for directory in (built, elsewhere):
        shutil.rmtree(directory, ignore_errors=True)
    elsewhere.mkdir()
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", str(built), str(ROOT))
    (archive,), (made,) = built.glob("*.tar.gz"), built.glob("*.whl")
    session.run("python", "-m", "twine", "check", "--strict", str(archive), str(made))
    session.install(str(made))  # without extras: it must do with what it asks for
    session.run("python", str(ROOT / ".ci" / "installed.py"), str(elsewhere))
    session.install(f"tinygrad_arith[test] @ {made.as_uri()}")
    files = {"TINYGRAD_ARITH_WHEEL": str(made), "TINYGRAD_ARITH_SDIST": str(archive)}
    session.run("python", "-m", "pytest", "-q", "-n", "0", "tests/test_packaging.py", env=files)
