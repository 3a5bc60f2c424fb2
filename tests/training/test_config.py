import dataclasses
import json

import pytest

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.options.option import complaint_about, flag_of
from tinygrad_arith.training.config import SECTIONS, Config, with_options
from tinygrad_arith.training.config import changed as change
from tinygrad_arith.training.session import plan

ALL = [  # (section, options of a kind)
    (section, kinds.options_of(kind)()) for section, kinds in SECTIONS.items() for kind in kinds.places
]


def changed(**sections):
    return change(Config(), sections)


def test_the_default_is_valid():
    assert Config().resolved().resolved() == Config().resolved()


def test_field_names_are_unique_across_sections_and_explained():
    sections_of = {}
    for section, options in ALL:
        for field in dataclasses.fields(options):
            assert field.metadata["help"]
            sections_of.setdefault(flag_of(field), set()).add(section)
    assert [flag for flag, sections in sections_of.items() if len(sections) > 1] == []


def test_defaults_obey_their_own_rules():
    fields = [field for _, options in ALL for field in dataclasses.fields(options)]
    assert [f.name for f in fields if f.default is dataclasses.MISSING] == []
    assert [f.name for f in fields if complaint_about(f, f.default)] == []


def test_json_round_trip():
    config = changed(
        task={"digits": 3, "order": "plain"},
        model={"d_model": 24, "heads": 3, "tied_head": True, "dropout": 0.25},
        optimizer={"eps": 1e-7, "schedule": "constant"},
        training={"seed": 2**63, "dtype": "float64"},
    )
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_is_missing_keeps_its_default():
    assert Config.from_dict({"model": {"layers": 3}}) == changed(model={"layers": 3})


def test_a_whole_number_may_stand_for_a_float():
    rate = Config.from_dict({"optimizer": {"learning_rate": 1}}).optimizer.learning_rate
    assert rate == 1.0
    assert type(rate) is float


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"modell": {}}, "unknown key modell; did you mean model"),
        ({"model": {"d_mode": 3}}, "unknown key model.d_mode; did you mean d_model"),
        ({"model": {"layers": "3"}}, "model.layers = '3': must be a whole number"),
        ({"model": {"layers": True}}, "model.layers = True: must be a whole number"),
        ({"model": {"tied_head": 1}}, "must be true or false"),
        ({"optimizer": {"schedule": "cosin"}}, "must be one of cosine, constant"),
        ({"optimizer": {"learning_rate": float("nan")}}, "must be a finite number"),
        ({"model": 3}, "must be a table of options"),
        ([], "must be a table of options"),
    ],
)
def test_bad_files_are_explained(values, sentence):
    with pytest.raises(UserError, match=r"^some file: ") as raised:
        Config.from_dict(values, source="some file")
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"task": {"digits": 0}}, "--digits 0: must be 1 to 1000"),
        ({"task": {"digits": 3, "validation_size": 60}}, "--validation-size"),
        ({"model": {"heads": 3}}, "--heads 3: must divide --d-model 64"),
        ({"model": {"kv_heads": 3}}, "--kv-heads 3: must divide --heads 4"),
        ({"model": {"dropout": 1.0}}, "--dropout 1.0: must be 0.0 to 0.99"),
        ({"model": {"d_model": 15, "heads": 3, "positions": "sinusoidal"}}, "--d-model 15: must be even"),
        (
            {"model": {"d_model": 12, "positions": "rotary"}},
            "with --heads 4 leaves 3 a head, which is odd",
        ),
        (
            {"model": {"normalization": "batch-tensor"}},
            "--normalization batch-tensor: must be one of layernorm, rmsnorm, none",
        ),
        (
            {"model": {"attend_to": "padding"}},
            "--attend-to: means nothing for --architecture gpt; it is an option of window-gpt",
        ),
        ({"task": {"rows": "prefix"}}, "--rows prefix: must be whole for --architecture gpt"),
        ({"model": {"kind": "window-gpt"}}, "--rows whole: must be prefix for --architecture window-gpt"),
        (
            {"task": {"rows": "prefix"}, "model": {"kind": "window-gpt", "tied_head": True}},
            "--tied-head: means nothing for --architecture window-gpt; it is an option of gpt",
        ),
        (
            {"task": {"rows": "prefix"}, "model": {"kind": "window-net", "positions": "rotary"}},
            "--positions rotary: must be one of learned, sinusoidal, none",
        ),
        *(
            (
                {"task": {"rows": "prefix"}, "model": {"kind": "window-net", name.replace("-", "_"): value}},
                f"--{name}: means nothing for --architecture window-net; it is an option of ",
            )
            for name, value in {
                **{"heads": 3, "kv-heads": 2, "ffn": 7, "norm": "post", "normalization": "rmsnorm"},
                **{"scale-residuals": False, "rotary-base": 5.0, "attend-to": "padding"},
            }.items()
        ),
        (
            {"task": {"rows": "prefix"}, "model": {"kind": "window-gpt", "normalization": "batch-tensor"}},
            "--workers 0: must be 1 for --normalization batch-tensor",
        ),
        (
            {
                "task": {"rows": "prefix"},
                "model": {"kind": "window-gpt"},
                "training": {"dtype": "bfloat16"},
            },
            "--dtype bfloat16: must be float32 or float64 for --architecture window-gpt",
        ),
        ({"optimizer": {"warmup": 601}}, "--warmup 601: longer than the 600 steps"),
        ({"training": {"eval_size": 1001}}, "--eval-size 1001: larger than the --validation-size 1000"),
        ({"training": {"steps": 0}}, "--steps 0: must be 1 to 99999999"),
    ],
)
def test_what_does_not_fit_names_its_flag(sections, sentence):
    with pytest.raises(UserError) as raised:
        changed(**sections).resolved()
    assert sentence in str(raised.value)


def test_a_model_without_heads_may_have_any_width():
    changed(task={"rows": "prefix"}, model={"kind": "window-net", "d_model": 7}).resolved()


def test_a_batch_holds_no_problem_twice_where_each_comes_once_an_epoch():
    config = changed(task={"draws": "epochs"}, training={"batch": 54_537}).resolved()
    with pytest.raises(UserError, match=r"^--batch 54537: larger than the 54,536 training problems of this task"):
        plan(config)
    plan(changed(task={"draws": "epochs"}, training={"batch": 54_536}).resolved())


def test_a_batch_may_be_larger_than_the_training_set_where_problems_or_prefixes_of_them_repeat():
    plan(changed(training={"batch": 100_000}).resolved())
    prefixes = changed(
        task={"kind": "expressions", "depth": 1, "order": "plain", "rows": "prefix", "draws": "epochs"},
        model={"kind": "window-gpt"},
        training={"batch": 255, "eval_size": 25},
    )
    plan(prefixes.resolved())


def test_every_section_is_checked():
    for section, changes in (("task", {"digits": 0}), ("model", {"layers": 0}), ("optimizer", {"eps": 0.0})):
        with pytest.raises(UserError, match=r"^--[a-z]+ 0"):
            changed(**{section: changes})


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.layers = 3


def test_a_warm_up_that_is_not_given_shrinks_with_the_steps():
    base = changed(optimizer={"warmup": 50}, training={"steps": 600})
    assert with_options(base, {}) == base
    assert with_options(base, {"training": {"steps": 50}}).optimizer.warmup == 50
    assert with_options(base, {"training": {"steps": 49}}).optimizer.warmup == 4
    assert with_options(base, {"training": {"steps": 1}}).optimizer.warmup == 0
    given = with_options(base, {"training": {"steps": 49}, "optimizer": {"warmup": 50}})
    with pytest.raises(UserError, match="--warmup 50: longer than the 49 steps of the whole training; without"):
        given.resolved()
