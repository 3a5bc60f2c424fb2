"""Runs on disk that nothing was trained for: what is gathered from many of them can then be known beforehand.

And the examples of CONTRIBUTING.md, and in how many processes the tests run.
"""

import dataclasses
import gc
import hashlib
import importlib.util
import json
import os
import re
import signal
import tempfile
from pathlib import Path

import pytest

# Before NumPy is loaded, here and in the processes that tests start: two threads of a BLAS that wait for each other
# while all cores are busy take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tinygrad_arith.backend import available_cores
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.presets import DEFAULT_PRESET
from tinygrad_arith.training.runs import RunRecord, write_record

OPTIONS = {"task": {"digits": 3, "validation_size": 8, "test_size": 8}, "training": {"steps": 20, "batch": 8}}
OPTIONS |= {"model": {"d_model": 16, "layers": 1, "heads": 2}, "optimizer": {"warmup": 5}}
FENCE = re.compile(r"```\w+\n(.*?)```", re.DOTALL)


def pytest_xdist_auto_num_workers(config):
    """One process for some tests by name, where more would not pay, and where there is a GPU that they would share."""
    some = any("::" in argument for argument in config.args) or config.option.keyword
    if some or importlib.util.find_spec("cupy") is not None:
        return 0
    return available_cores()


def pytest_configure(config):
    """Where no compiled files may lie beside the sources, the tests' processes find them elsewhere: else each compiles
    the whole package, which takes as long as all the rest of its start.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        folder = tempfile.TemporaryDirectory(prefix="compiled-")
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection():
    """What is collected stays to the end: the garbage collector would only look through it, again and again."""
    gc.disable()


def pytest_collection_finish():
    gc.enable()


class Examples:
    """The blocks of CONTRIBUTING.md, each found by what stands before it."""

    def __init__(self):
        self.text = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")

    def after(self, start):
        """The first block behind a place in the text."""
        return FENCE.search(self.text, start).group(1)

    def block(self, section, step):
        """The block of a step, such as `**2. The line**`, of a section."""
        return self.after(self.text.index(step, self.text.index(f"\n## {section}\n")))

    def line(self, section):
        """The line that registers the example of a section."""
        return self.block(section, "The line** in ")

    def file(self, place):
        """The whole of a file; its name stands, after a comma, in the headline of a step."""
        return self.after(re.search(rf"\*\*\d\. The [^\n]*`{re.escape(place)}`", self.text).start())


@pytest.fixture
def hears_hang_up():
    """SIGHUP is heard in the test and by its children, also where `nohup`, which ignores it, started the tests."""
    number = getattr(signal, "SIGHUP", None)
    if number is None:  # Windows
        yield
        return
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.fixture
def no_picture():
    """The train command, called in the test's process, draws no curves: a picture takes longer than a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_arith.cli.train.plot_training_curve", lambda directory, goal: None)
        yield


@pytest.fixture(scope="session")
def page():
    """The examples of CONTRIBUTING.md."""
    return Examples()


@pytest.fixture(scope="session")
def write_run():
    """A function that writes the files of a finished run, of 20 steps evaluated at every fifth."""

    def write(directory, seed=1, shares=(0.0, 0.5, 0.99, 1.0), correct=8, preset=DEFAULT_PRESET, until=None, **options):
        directory.mkdir(parents=True)
        config = Config.from_dict(OPTIONS).resolved()
        training = dataclasses.replace(config.training, seed=seed, **options)
        write_record(directory, RunRecord(dataclasses.replace(config, training=training), preset, until))
        rows = [{"step": s, "loss": (10 + seed) / s, "seconds": s / 10} for s in range(1, 21)]
        for row, share in zip(rows[4::5], shares, strict=True):
            row["exact_match"] = share
        (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        result = {"step": 20, "seconds": 2.0 + seed, "test_exact_match": correct / 8, "test_correct": correct}
        result |= {"test_count": 8, "interval_95": [0.1, 1.0]}
        (directory / "result.json").write_text(json.dumps(result), encoding="utf-8")
        return directory

    return write


@pytest.fixture
def digest_of_arrays():
    """A function from a safetensors file to the SHA-256 of its arrays: see fixtures/checkpoint_hashes.json."""
    from safetensors.numpy import load_file

    def digest(path):
        found = hashlib.sha256()
        for name, array in sorted(load_file(path).items()):
            for part in (name.encode(), str(array.dtype).encode(), str(array.shape).encode(), array.tobytes()):
                found.update(part)
        return found.hexdigest()

    return digest
