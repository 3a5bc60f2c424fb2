"""The names of `import tinygrad_arith as ta`: each is what it says, whatever was imported before."""

import subprocess
import sys

import pytest

import tinygrad_arith as ta

NOT_AFTER_ALL = """
import importlib, pkgutil, sys
import tinygrad_arith as ta
failed = []
for found in pkgutil.walk_packages(ta.__path__, "tinygrad_arith."):
    if ".cuda" in found.name or found.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(found.name)
    except ImportError:  # of an extra that is not installed
        pass
from tinygrad_arith.face.fitting import fit, resume
from tinygrad_arith.face.run import Run
from tinygrad_arith.saved_models import load, save
from tinygrad_arith.verify import check_gradients
from tinygrad_arith.autograd import functions
assert (ta.fit, ta.resume, ta.Run, ta.load, ta.save) == (fit, resume, Run, load, save)
assert ta.check_gradients is check_gradients and ta.F is functions
for name in ta.__all__:
    getattr(ta, name)
"""


@pytest.mark.parametrize("name", ta.__all__)
def test_each_name_is_there_and_listed(name):
    assert getattr(ta, name) is not None
    assert name in dir(ta)


def test_no_submodule_takes_the_place_of_a_name():
    subprocess.run([sys.executable, "-W", "ignore", "-c", NOT_AFTER_ALL], check=True, timeout=300)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'fitt'"):
        ta.fitt  # noqa: B018


def test_types_for_an_editor(tmp_path):
    """A file that uses the face as people do passes mypy --strict."""
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed: pip install -e '.[dev]'")
    source = tmp_path / "use.py"
    source.write_text(
        "import numpy as np\n"
        "import tinygrad_arith as ta\n\n\n"
        "def use(path: str) -> float:\n"
        "    run: ta.Run = ta.fit('binary-reversed', steps=3, out=path)\n"
        "    answer: ta.Answer = run.answer('1+1')\n"
        "    value: int | None = answer.value\n"
        "    model = ta.load(path)\n"
        "    ta.save(model, path + '2')\n"
        "    maps, tokens = run.attention('1+1')\n"
        "    print(maps.shape, tokens[0], value, ta.Tensor(np.ones(3)).shape)\n"
        "    return run.evaluate('test').value\n",
        encoding="utf-8",
    )
    said, errors, code = mypy.run(["--strict", "--follow-imports=silent", str(source)])
    assert code == 0, said + errors
