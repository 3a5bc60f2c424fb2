"""What a result says of the machine it was measured on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts, not an installed package

from environment import environment, in_words

from tinygrad_arith.run_files.machine import machine_facts


def test_it_says_what_a_comparison_says_of_the_same_machine(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1000)  # this process may use fewer
    found, facts = environment(("numpy", "no-such-package")), machine_facts(on_gpu=False)
    assert (found["date"], found["cpu"], found["cores"]) == (facts["date"], facts["cpu"], facts["cores"])
    assert found["versions"] == {name: facts["versions"][name] for name in ("python", "numpy")}
    assert f"{found['cores']} cores; python " in in_words(found)


def test_variables_that_choose_other_code_are_told(monkeypatch):
    monkeypatch.delenv("TINYGRAD_ARITH_REFERENCE", raising=False)
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "numpy")
    assert environment()["variables"] == {"TINYGRAD_ARITH_CPU": "numpy"}
