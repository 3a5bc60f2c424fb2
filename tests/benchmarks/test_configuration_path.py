import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from configuration_path import functions_on_the_way


def test_a_configuration_goes_a_short_way():
    found = functions_on_the_way()
    assert "cli/train.py:main" in found
    assert "models/gpt.py:GPT.from_options" in found
    assert len(found) <= 50, "\n".join(found)
