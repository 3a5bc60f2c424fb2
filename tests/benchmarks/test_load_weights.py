"""The benchmark of loading, on a tiny model: all forms give the same numbers, and are measured."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts, not an installed package

import load_weights

TINY = ["--layers", "1", "--d-model", "8", "--heads", "2", "--vocabulary", "11", "--context", "5"]


def test_every_form_gives_the_same_numbers(tmp_path):
    options = load_weights.parse(TINY)
    config = load_weights.config_of(options)
    nbytes = load_weights.write_forms(tmp_path, config)
    found = {form: load_weights.load(f"ours {form}", tmp_path / form, config) for form in load_weights.FORMS}
    assert len({one["digest"] for one in found.values()}) == 1
    assert nbytes == 4 * load_weights.GPT(config).parameter_count()
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    assert load_weights.weights.Source(tmp_path / "transposed").tensors["blocks.0.ffn.up.weight"].shape == (32, 8)


def test_it_runs_in_processes_and_tells(capsys, monkeypatch):
    monkeypatch.setattr(load_weights, "FORMS", ("transposed",))  # two loads of each, all in processes of their own
    monkeypatch.setattr(sys, "argv", ["load_weights.py", *TINY, "--rounds", "1", "--json"])
    assert load_weights.main(sys.argv[1:]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["ratios"]) == set(load_weights.FORMS)
    assert "| transposed | " in load_weights.table(result)
