"""The same seed gives the same bits, from one version of this package to the next: tests/fixtures/README.md."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_arith.run_files.machine import what_computes
from tinygrad_arith.training.runs import differences

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = json.loads((FIXTURES / "checkpoint_hashes.json").read_text(encoding="utf-8"))["runs"]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["what"])
def test_weights_are_those_of_the_version_before(run, tmp_path, digest_of_arrays):
    here, there = what_computes("cpu"), run["computed_by"]
    if differences(there, here):
        pytest.skip(f"the bits were computed by {there}, and here by {here}")
    command = [sys.executable, "-m", "tinygrad_arith.train", *run["arguments"], "--out", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert digest_of_arrays(tmp_path / "run" / "checkpoints" / run["checkpoint"]) == run["sha256"]
