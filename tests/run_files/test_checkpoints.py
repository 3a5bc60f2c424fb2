import json

import numpy as np
import pytest
from safetensors import SafetensorError

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files import checkpoints
from tinygrad_arith.run_files.checkpoints import (
    Progress,
    arrays_path,
    best_checkpoint,
    clean_folder,
    complete_checkpoints,
    load_best,
    load_newest,
    save_checkpoint,
)
from tinygrad_arith.tasks.metrics import EXACT_MATCH, Goal


def arrays(step):
    draw = np.random.default_rng(step)
    model = {"blocks.0.attention.qkv.weight": draw.normal(size=(3, 5)).astype(np.float32)}
    model["head.weight"] = draw.normal(size=(5, 4)).T  # not contiguous
    optimizer = {"first_moment": draw.normal(size=7), "steps": np.array(step)}
    return model, optimizer


def save(folder, step, keep=2):
    progress = Progress(step=step, examples=10 * step, seconds=0.1 * step, value=0.5)
    return save_checkpoint(folder, progress, *arrays(step), seed=3, keep=keep)


def no_warning(sentence):
    raise AssertionError(sentence)


def steps_on_disk(folder):
    return [int(path.stem.removeprefix("step-")) for path in complete_checkpoints(folder)]


def test_everything_comes_back_to_the_bit(tmp_path):
    save(tmp_path / "c", 12)
    loaded = load_newest(tmp_path / "c", no_warning)
    assert loaded.progress == Progress(12, 120, 0.1 * 12, value=0.5)
    for saved, found in zip(arrays(12), (loaded.model, loaded.optimizer), strict=True):
        assert saved.keys() == found.keys()
        for name, array in saved.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_the_json_describes_the_arrays(tmp_path):
    path = save(tmp_path / "c", 12)
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["bytes"] == path.stat().st_size
    assert (facts["step"], facts["seed"], facts["file"]) == (12, 3, "step-00000012.safetensors")


@pytest.mark.parametrize(("number", "kind"), [(28, "No space left on device"), (27, "File too large")])
def test_a_disk_that_is_full_is_an_error_of_the_system(tmp_path, monkeypatch, number, kind):
    def full(arrays, path):
        path.write_bytes(b"a part of it")
        raise SafetensorError(f"Error while serializing: I/O error: {kind} (os error {number})")

    save(tmp_path, 7)
    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match=kind) as raised:
        save(tmp_path, 14)
    assert (raised.value.errno, raised.value.filename) == (number, str(arrays_path(tmp_path, 14)))
    assert steps_on_disk(tmp_path) == [7]
    assert not list(tmp_path.glob("*.tmp"))


def test_another_error_of_the_library_stays_what_it_is(tmp_path, monkeypatch):
    def broken(arrays, path):
        raise SafetensorError("not a tensor")

    monkeypatch.setattr("safetensors.numpy.save_file", broken)
    with pytest.raises(SafetensorError, match="not a tensor"):
        save(tmp_path, 7)


def test_old_ones_are_pruned(tmp_path):
    for step in (7, 14, 21, 100):
        save(tmp_path, step, keep=3)
    assert steps_on_disk(tmp_path) == [14, 21, 100]
    assert len(list(tmp_path.iterdir())) == 6


def test_no_checkpoint_yet(tmp_path):
    assert load_newest(tmp_path / "nothing", no_warning) is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def empty(path):
    path.write_bytes(b"")


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def remove(path):
    path.unlink()


def garble_json(path):
    path.with_suffix(".json").write_text('{"step": 14, "by', encoding="utf-8")


def forget_progress(path):
    seal = path.with_suffix(".json")
    facts = json.loads(seal.read_text(encoding="utf-8"))
    del facts["examples"]
    seal.write_text(json.dumps(facts), encoding="utf-8")


@pytest.mark.parametrize("damage", [truncate, empty, flip_a_bit, remove, garble_json, forget_progress])
def test_a_damaged_one_falls_back_with_a_warning(tmp_path, damage):
    save(tmp_path, 7)
    path = save(tmp_path, 14)
    damage(path)
    warnings = []
    assert load_newest(tmp_path, warnings.append).progress.step == 7
    assert len(warnings) == 1
    assert "step-00000014" in warnings[0]
    assert "damaged" in warnings[0]


def test_all_damaged_is_an_error(tmp_path):
    for step in (7, 14):
        truncate(save(tmp_path, step))
    with pytest.raises(UserError, match="no complete checkpoint: all of the 2 there are damaged"):
        load_newest(tmp_path, lambda sentence: None)


@pytest.mark.parametrize("moment", ["before the JSON is read", "before the arrays are read"])
def test_a_checkpoint_that_is_replaced_while_it_is_read(tmp_path, monkeypatch, moment):
    save(tmp_path, 7, keep=1)
    name = "read_checkpoint" if moment == "before the JSON is read" else "verify_arrays_file"
    real = getattr(checkpoints, name)

    def too_late(*arguments):
        monkeypatch.setattr(checkpoints, name, real)
        save(tmp_path, 14, keep=1)
        return real(*arguments)

    monkeypatch.setattr(checkpoints, name, too_late)
    assert load_newest(tmp_path, no_warning).progress.step == 14


def test_one_of_an_older_version_is_read(tmp_path):
    seal = save(tmp_path, 7).with_suffix(".json")
    facts = json.loads(seal.read_text(encoding="utf-8")) | {"tokens": 140, "best_exact_match": 0.5, "best_step": 5}
    seal.write_text(json.dumps(facts), encoding="utf-8")
    assert load_newest(tmp_path, no_warning).progress == Progress(7, 70, 0.1 * 7, value=0.5)


def test_what_is_finished():
    progress = Progress(step=4, value=0.5)
    assert progress.finished(4, None)
    assert not progress.finished(5, None)
    assert progress.finished(5, 0.5)
    assert not progress.finished(5, 0.51)
    assert not Progress(step=4).finished(5, 0.1)


def test_arrays_without_their_json_are_no_checkpoint(tmp_path):
    save(tmp_path, 7)
    save(tmp_path, 14).with_suffix(".json").unlink()
    assert load_newest(tmp_path, no_warning).progress.step == 7


def test_cleaning_before_a_resume(tmp_path):
    save(tmp_path, 7)
    save(tmp_path, 14)
    arrays_path(tmp_path, 15).write_bytes(b"no json")
    (tmp_path / "step-00000016.safetensors.tmp").write_bytes(b"half")
    clean_folder(tmp_path, last_step=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000007.json", "step-00000007.safetensors"]


def save_measured(folder, step, value, measured="at its step", goal=EXACT_MATCH):
    progress = Progress(step, 10, 1.0, goal, value, step if measured == "at its step" else measured)
    return save_checkpoint(folder, progress, *arrays(step), seed=3, keep=2)


def test_the_best_one_is_kept_beside_the_newest(tmp_path):
    for step, value in ((7, 0.2), (14, 0.9), (21, 0.5), (28, None), (35, 0.8)):
        save_measured(tmp_path, step, value)
    assert steps_on_disk(tmp_path) == [14, 28, 35]
    assert load_best(tmp_path, no_warning).progress.step == 14
    assert load_newest(tmp_path, no_warning).progress.step == 35
    save_measured(tmp_path, 42, 0.9)  # as good and newer
    assert steps_on_disk(tmp_path) == [35, 42]


def test_of_a_goal_that_falls_the_lowest_is_best(tmp_path):
    for step, value in ((7, 3.0), (14, 1.5), (21, 2.0), (28, 2.5)):
        save_measured(tmp_path, step, value, goal=Goal("bits_per_character", rising=False, share=False))
    assert steps_on_disk(tmp_path) == [14, 21, 28]


def test_a_value_of_an_earlier_step_does_not_count(tmp_path):
    for step, measured in ((7, 5), (14, None), (21, "at its step"), (28, 25), (35, 25)):
        save_measured(tmp_path, step, 0.9 - step / 100, measured)
    assert steps_on_disk(tmp_path) == [21, 28, 35]


def test_without_an_evaluation_the_best_is_the_newest(tmp_path):
    assert load_best(tmp_path / "nothing", no_warning) is None
    for step in (7, 14, 21):
        save(tmp_path, step)
    assert best_checkpoint(tmp_path) is None
    assert load_best(tmp_path, no_warning).progress.step == 21


def test_a_best_one_that_is_damaged_is_passed_over_with_a_warning(tmp_path):
    for step, value in ((7, 0.9), (14, 0.2), (21, 0.3)):
        save_measured(tmp_path, step, value)
    truncate(arrays_path(tmp_path, 7))
    warnings = []
    assert load_best(tmp_path, warnings.append).progress.step == 21
    assert len(warnings) == 1
    assert "step-00000007.safetensors, the best one, is damaged" in warnings[0]
    arrays_path(tmp_path, 7).with_suffix(".json").write_text("[]", encoding="utf-8")
    assert load_best(tmp_path, no_warning).progress.step == 21
    save_measured(tmp_path, 28, 0.1)  # what cannot be read does not hinder
    assert steps_on_disk(tmp_path) == [21, 28]
