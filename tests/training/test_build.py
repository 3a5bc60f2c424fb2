"""From options to models: architectures, published sizes, and that evaluation and generation agree on them."""

import numpy as np
import pytest

from tinygrad_arith.generation import generate
from tinygrad_arith.models import GPT
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.reproductions import WindowGPT, WindowNet
from tinygrad_arith.training.build import initialize, make_model, make_task
from tinygrad_arith.training.config import Config, changed

CANDLE = {
    "task": {"digits": 12, "padding": "none", "spaces": True, "loss": "padding-too", "context": 64},
    "model": {"d_model": 96, "heads": 4, "layers": 4, "norm": "post", "positions": "sinusoidal"},
}
SUMS = {"kind": "decimal-addition", "digits": 2, "order": "plain", "padding": "none", "rows": "prefix"}
WINDOW = {"task": SUMS | {"prompt_width": 13, "context": 19, "validation_size": 100, "test_size": 100}}
JULIA = {"d_model": 48, "heads": 3, "layers": 3, "positions": "sinusoidal"}
DENSE = {"kind": "window-net", "d_model": 48, "layers": 3, "positions": "sinusoidal"}
PUBLISHED = {
    "candle": (CANDLE, GPT, 448_711),
    "julia-gpt": (WINDOW | {"model": JULIA | {"kind": "window-gpt"}}, WindowGPT, 101_201),
    "julia-dnn": (WINDOW | {"model": DENSE}, WindowNet, 2_514_353),
}


def build(sections):
    config = Config.from_dict(sections).resolved()
    task = make_task(config.task)
    return config, task, make_model(config, task)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_come_out_at_their_size(name):
    sections, kind, count = PUBLISHED[name]
    _, _, model = build(sections)
    assert type(model) is kind
    assert model.parameter_count() == count


@pytest.mark.parametrize("name", ["julia-gpt", "julia-dnn"])
def test_what_a_window_model_is_measured_by_is_what_it_writes(name):
    config, task, model = build(PUBLISHED[name][0])
    model = initialize(model, config)
    problems = task.problems("test", 40)
    evaluation = task.judge(model, problems)
    prompts = [task.prompt(problems[row : row + 1]) for row in range(40)]
    written = [
        generate(
            model,
            prompt.tokens,
            task.answer_length,
            positions=prompt.positions,
            key_mask=prompt.key_mask,
            stop_token=task.vocabulary.end,
        )
        for prompt in prompts
    ]
    # Only the first token need agree: from there on evaluation sees the right ones, and generation its own.
    first = np.array([row[0, 0] for row in written])
    np.testing.assert_array_equal(first, evaluation.predictions[:, 0])
    agreeing = evaluation.predictions[:, 0] == task.answers(problems)[:, 0]
    second = [(row[0, 1], seen[1]) for row, seen in zip(written, evaluation.predictions, strict=True) if row.size > 1]
    assert all(one == other for (one, other), same in zip(second, agreeing, strict=False) if same)


def test_positions_of_the_task_reach_the_model():
    coupled = {"kind": "decimal-addition", "digits": 3, "padding": "longer", "position_ids": "coupled"}
    _, task, model = build({"task": coupled | {"position_offset": 9, "longest": 5}})
    assert model.config.context == task.longest_context > task.context
    assert model.position_embedding.weight.shape == (task.position_count, 64)
    batch = task.train_batch(0, 64, seed=1)
    assert batch.positions.max() < task.position_count


def test_options_that_do_not_change_the_model_stay_out_of_it():
    _, _, plain = build({})
    _, _, scaled = build({"model": {"scale_residuals": False, "rotary_base": 5.0}})
    assert list(plain.named_parameters()) == list(scaled.named_parameters())
    assert (plain.config.scale_residuals, scaled.config.rotary_base) == (True, 5.0)


def test_an_option_that_fits_nothing_is_told_by_its_flag():
    with pytest.raises(UserError, match=r"^--rows whole: must be prefix for --architecture window-net$"):
        build({"model": {"kind": "window-net"}})


def test_a_model_that_no_machine_holds_is_told_before_it_is_made():
    config = changed(Config().resolved(), {"model": {"d_model": 10**9}})
    with pytest.raises(UserError, match=r"^--d-model 1000000000: the model would have 2.4e\+19 parameters, more than"):
        make_model(config, make_task(config.task))
