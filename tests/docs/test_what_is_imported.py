"""docs/architecture.md says what each library is for that `pip install` brings; what it says of NumPy alone is true."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
DEPENDENCIES = {re.match(r"[\w-]+", requirement)[0] for requirement in DECLARED}
ALONE = """
import sys
for name in {others}:
    sys.modules[name] = None  # an import of it raises ImportError

import numpy as np

from tinygrad_arith.autograd import functions as F
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.ops import attention_backward, attention_forward
from tinygrad_arith.optim import AdamW
from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.verify import check_gradients
import tinygrad_arith.weights

q, k, v = np.random.default_rng(0).normal(size=(3, 2, 5, 1, 3))
assert check_gradients(attention_forward, attention_backward, (q, k, v)).passed
task = build_task(task_options(digits=2))
model = GPT(GPTConfig(len(task.vocabulary.tokens), task.context, d_model=8, heads=2, layers=1)).initialize(seed=1)
batch = task.train_batch(step=0, size=4, seed=1)
F.cross_entropy_sum(model(batch.tokens, positions=batch.positions), batch.targets).backward()
before = model.flat.values.copy()
AdamW(model.flat).step(0.01)
assert not np.array_equal(before, model.flat.values)
"""


def test_a_training_step_and_a_gradient_check_need_numpy_alone():
    others = sorted((DEPENDENCIES | {"numba", "cupy"}) - {"numpy"})
    subprocess.run([sys.executable, "-c", ALONE.format(others=others)], check=True)


def test_the_page_has_a_row_for_each_library():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("## What is imported when\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"library"} == DEPENDENCIES
