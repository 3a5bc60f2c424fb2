"""A user's task of another kind than the preset's: in presets, comparisons and runs."""

import pytest

from tinygrad_arith.comparisons.finished_runs import group_labels
from tinygrad_arith.comparisons.jobs import job_name, plan_jobs
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.training.config import with_options
from tinygrad_arith.training.presets import load_preset, preset_names
from tinygrad_arith.training.runs import RunRecord, read_record, write_record

SORTING = """
import itertools
from tinygrad_arith.tasks import PairTask

class Sorting(PairTask):
    @staticmethod
    def pairs():
        return [("".join(w), "".join(sorted(w))) for w in itertools.product("abc", repeat=4)]
"""


@pytest.fixture
def task(tmp_path):
    (tmp_path / "own.py").write_text(SORTING, encoding="utf-8")
    return f"{tmp_path / 'own.py'}:Sorting"


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_takes_a_task_of_another_kind(preset, task):
    base = load_preset(preset).config
    own = with_options(base, {"task": {"kind": task}})
    rows = own.task.rows if own.model.kind != "gpt" else "whole"
    assert own.task.rows == rows == base.task.rows  # what means the same for all tasks stays
    assert own.model == base.model
    if base.task.draws == "epochs" and rows == "whole":  # a full batch of the preset is more than there is here
        own = with_options(base, {"task": {"kind": task}, "training": {"batch": 8}})
    own.resolved()


def test_what_is_given_with_the_task_counts(task):
    base = load_preset("julia-gpt").config
    own = with_options(base, {"task": {"kind": task, "train_size": 20, "test_size": 9}}).task
    assert (own.train_size, own.test_size, own.validation_size) == (20, 9, 0)
    with pytest.raises(UserError, match=r"--digits: means nothing for --task .*Sorting; it is an option of"):
        with_options(base, {"task": {"kind": task, "digits": 3}}).validate()


def test_a_task_of_the_same_kind_keeps_the_presets_options():
    own = with_options(load_preset("julia-gpt").config, {"task": {"kind": "decimal-multiplication"}}).task
    assert (own.train_size, own.digits, own.order) == (2500, 2, "plain")


def test_runs_of_a_comparison_are_called_after_both(task, tmp_path):
    presets = [load_preset(name) for name in ("binary-reversed", "binary-plain")]
    given = {"task": {"kind": task}, "training": {"device": "cpu"}}
    assert [job_name(preset, with_options(preset.config, given)) for preset in presets] == [
        "binary-reversed-Sorting",
        "binary-plain-Sorting",
    ]
    assert [job_name(preset, preset.config) for preset in presets] == ["binary-reversed", "binary-plain"]
    jobs = plan_jobs(presets, given, 1, tmp_path / "out")
    assert [job.name for job in jobs] == ["binary-reversed-Sorting-seed1", "binary-plain-Sorting-seed1"]


def test_groups_of_one_task_are_told_apart_by_their_presets(task):
    configs = {name: load_preset(name).config for name in ("binary-reversed", "binary-plain")}
    own = {name: with_options(config, {"task": {"kind": task}}) for name, config in configs.items()}
    records = [RunRecord(config, name) for name, config in own.items()]
    records.append(RunRecord(with_options(own["binary-plain"], {"model": {"layers": 1}}), "binary-plain"))
    labels = group_labels([*records, RunRecord(configs["binary-plain"], "binary-plain")])
    assert labels[0] == "Sorting, binary-reversed"
    assert labels[2] == "Sorting, binary-plain (layers 1)"
    assert labels[3] == "binary-plain"


def test_a_run_whose_pairs_have_changed_since_is_refused(task, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = with_options(load_preset("binary-reversed").config, {"task": {"kind": task}}).resolved()
    write_record(run, RunRecord(config, "binary-reversed"))
    assert read_record(run).config == config
    (tmp_path / "own.py").write_text(SORTING + "# a comment changes nothing\n", encoding="utf-8")
    assert read_record(run).config == config
    (tmp_path / "own.py").write_text(SORTING.replace("abc", "abd") + "\n# longer\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"was trained on other pairs than --task .*own.py:Sorting lists now"):
        read_record(run)
