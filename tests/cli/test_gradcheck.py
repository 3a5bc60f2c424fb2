"""The gradcheck command: everything passes, a wrong backward is named with its fault, misuse is one sentence."""

import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console

from tinygrad_arith.cli.gradcheck import distinct, outcomes_table
from tinygrad_arith.gradcheck_suite import pool as gradient_pool
from tinygrad_arith.gradcheck_suite import subjects as gradient_subjects
from tinygrad_arith.gradcheck_suite import suite as gradient_suite
from tinygrad_arith.gradcheck_suite.user_operations import user_subjects
from tinygrad_arith.ops import OPERATIONS


@pytest.fixture
def gradcheck(gradcheck_here):
    """A function from flags to (exit code, stdout, stderr)."""
    return gradcheck_here


SOFTMAX = """
import numpy as np


def softmax_forward(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    p = weights / weights.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dy, p):
    return p * (dy - (dy * p).sum(axis=-1, keepdims=True))


def softmax_inputs(rng):
    return (rng.normal(size=(3, 5)),)
"""

LINEAR_TRANSPOSED = """
def linear_forward(x, weight, bias):
    y = x @ weight
    return (y if bias is None else y + bias), (x, weight, bias)


def linear_backward(dy, cache):
    x, weight, bias = cache
    rows, dys = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    dweight = (dys.T @ rows).reshape(weight.shape)
    return (dy @ weight.T, dweight) if bias is None else (dy @ weight.T, dweight, dys.sum(axis=0))
"""


# What is checked without --file


def test_every_operation_module_and_model_is_among_the_subjects():
    subjects = gradient_subjects.all_subjects()
    assert {s.name for s in subjects if s.kind == "operation"} == set(OPERATIONS)
    modules = {s.name for s in subjects if s.kind == "module"}
    from tinygrad_arith import nn

    without_gradients = {"Module", "SinusoidalPositions"}
    defined = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    layers = {name for name in defined if issubclass(getattr(nn, name), nn.Module)} - without_gradients
    assert modules == layers | {"BatchTensorNorm"}  # which is in `reproductions`
    assert {s.name for s in subjects if s.kind == "model"} == set(gradient_subjects.MODELS)
    assert all(subject.trials for subject in subjects)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_operations_and_small_modules_pass_with_every_mutant_rejected(gradcheck, dtype):
    """Some of each sort; every operation, at the same inputs: tests/ops/test_gradients.py."""
    some = "embedding", "linear", "layernorm", "relu", "dropout", "max", "transpose", "index", "matmul"
    wanted = [name for name in OPERATIONS if name in some] + ["Linear", "Embedding", "LayerNorm"]
    assert len(wanted) == len(some) + 3
    flags = [flag for name in wanted for flag in ("--op", name)]
    code, out, err = gradcheck(*flags, "--dtype", dtype, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["passed"]
    assert (result["dtype"], result["seed"], result["device"]) == (dtype, 0, "cpu")
    assert [check["name"] for check in result["checks"]] == wanted
    for check in result["checks"]:
        assert check["elements"] > 0
        assert check["largest_error"] < (1e-7 if dtype == "float64" else 1e-4)
        assert check["rejected"] == check["mutants"]
        assert (check["mutants"] > 0) == (dtype == "float64")


def test_a_whole_model_passes(gradcheck):
    code, out, _ = gradcheck("--op", "gpt-grouped-tied")
    assert code == 0
    assert "gpt-grouped-tied" in out
    assert "17/17" in out
    assert "all passed; 521 elements compared in float64 (seed 0), 17 of 17 wrong backwards rejected" in out


def test_another_seed_draws_other_inputs(gradcheck):
    errors = [json.loads(gradcheck("--op", "tanh", "--json", *flags)[1])["checks"][0]["largest_error"] for flags in
              ([], ["--seed", "0"], ["--seed", "3"])]  # fmt: skip
    assert errors[0] == errors[1] != errors[2]


def test_a_wrong_backward_of_ours_fails_with_its_diagnosis(gradcheck, monkeypatch):
    broken = gradient_subjects.Subject(
        "operation",
        "tanh",
        gradient_subjects.operation_trials("tanh", 0, (OPERATIONS["tanh"].forward, lambda dy, cache: -dy)),
    )
    monkeypatch.setattr(gradient_pool, "all_subjects", lambda seed: [broken])
    code, out, _ = gradcheck()
    assert code == 1
    assert "FAILED: tanh" in out
    assert "elements are wrong" in out


def test_a_wrong_gradient_inside_a_model_is_found():
    model = gradient_subjects.model_subjects(0)[0]
    trial = model.trials[0]
    forward, backward = trial.pair

    def without_last(dy, cache):
        *most, last = backward(dy, cache)
        return (*most, last * 1.001)

    asked = trial.settings | {"wrt": ("head.weight", "head.bias")}  # for speed; a whole model: above
    wrong = gradient_suite.Trial(**vars(trial) | {"pair": (forward, without_last), "mutants": {}, "settings": asked})
    outcome = gradient_suite.check_subject(gradient_suite.Subject("model", "gpt", (wrong,)))
    assert not outcome.passed
    (right,) = (line for line in outcome.failures[0].splitlines() if "head.weight" in line)
    assert " 30/30 " in right
    assert right.endswith(" ok")
    assert "head.bias: 5 of 5 elements are wrong" in outcome.failures[0]
    assert "is the true gradient times 1.001" in outcome.failures[0]


def test_a_mutant_that_always_passes_fails_the_row():
    trial = gradient_subjects.operation_trials("tanh")[0]
    blind = gradient_suite.Trial(**{**vars(trial), "mutants": {"harmless": lambda backward, dy, c: backward(dy, c)}})
    outcome = gradient_suite.check_subject(gradient_suite.Subject("operation", "tanh", (blind,)))
    assert (outcome.mutants, outcome.rejected) == (1, 0)
    assert outcome.failures == ("tanh: the wrong backward 'harmless' passes every check",)


# A user's own file


def test_a_right_pair_of_a_user_passes(gradcheck, my_ops):
    code, out, err = gradcheck("--file", my_ops(SOFTMAX))
    assert (code, err) == (0, "")
    assert "your pair" in out
    assert "30 elements compared in float64 (seed 0), 2 of 2 wrong backwards rejected" in out


PRODUCT = """
import numpy as np


def product_forward(a, b):
    return a * b, (a, b)


def product_backward(dy, cache):
    a, b = cache
    return dy * b, dy * a


def product_inputs(rng):
    return rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
"""

CONV = """
import numpy as np


def conv1d_forward(x, k):
    return np.array([x[t:t + len(k)] @ k for t in range(len(x) - len(k) + 1)]), (x, k)


def conv1d_backward(dy, cache):
    x, k = cache
    dx, dk = np.zeros_like(x), np.zeros_like(k)
    for t in range(len(dy)):
        dx[t:t + len(k)] = dy[t] * k
        dk += dy[t] * x[t:t + len(k)]
    return dx, dk


def conv1d_inputs(rng):
    return rng.normal(size=9), rng.normal(size=3)
"""


@pytest.mark.parametrize(
    ("source", "first"),
    [
        (PRODUCT.replace("dy * b,", "dy * b * np.arange(5.0),"), "is right but for a factor that is the same within"),
        (PRODUCT.replace("return dy * b, dy * a", "return dy * a, dy * b"), "is the gradient of b: are two gradients"),
        (PRODUCT.replace("dy * b,", "np.zeros_like(a),"), "is zero everywhere"),
        (CONV, "keeps only the last contribution to elements that are used more than once"),
        (PRODUCT.replace("dy * b,", "b * 1.0,"), "does not use the cotangent dy: it is the gradient for a dy of ones"),
    ],
)
def test_a_fault_in_one_gradient_is_not_explained_by_a_slip_in_another(gradcheck, my_ops, source, first):
    code, out, _ = gradcheck("--file", my_ops(source))
    assert code == 1
    lines = [line.strip() for line in out.splitlines() if line.startswith("    it ")]
    assert lines
    assert lines[0].startswith(f"it {first}")
    assert "known slip" not in out


def test_a_fault_in_an_operation_of_ours_is_told_by_its_true_gradients():
    """The edited backward is also what the mutants are built on: those of dx must not "explain" dweight."""
    own = OPERATIONS["linear"]

    def edited(dy, cache):
        dx, dweight, *rest = own.backward(dy, cache)
        return dx, 2 * dweight, *rest

    trial = gradient_subjects.operation_trials("linear")[0]
    broken = {"pair": (own.forward, edited), "reference": (own.forward, edited)}
    report = gradient_suite.judge(gradient_suite.Trial(**{**vars(trial), **broken}), "float64", "cpu", 0)[1]
    assert [finding.text for finding in report["weight"].findings] == ["is the true gradient times 2 = B, B = 2"]
    assert report["x"].passed


def test_a_forward_in_float32_is_refused_in_words(gradcheck, my_ops):
    source = PRODUCT.replace("return a * b, (a, b)", "return (a * b).astype(np.float32), (a, b)")
    code, out, _ = gradcheck("--file", my_ops(source))
    assert code == 1
    assert "product_forward returns float32 although it is given float64" in out


def test_inputs_may_be_a_dict_and_settings_are_heeded(gradcheck, my_ops):
    source = """
def scale_forward(x, factor, times):
    return x * factor * times, (x, factor, times)


def scale_backward(dy, cache):
    x, factor, times = cache
    return dy * factor * times, (dy * x * times).sum(axis=0)


def scale_inputs(rng):
    return {"factor": rng.normal(size=5), "x": rng.normal(size=(5, 5))}


scale_settings = {"options": {"times": 3.0}, "allow": ("equal_axes",)}
"""
    reversed_gradients = source.replace("dy * factor * times, (dy * x * times).sum(axis=0)", "0, 0")
    right = source.replace("return dy * factor * times, (dy * x * times).sum(axis=0)",
                           "return (dy * x * times).sum(axis=0), dy * factor * times")  # fmt: skip
    assert gradcheck("--file", my_ops(right, "right.py"))[0] == 0
    assert gradcheck("--file", my_ops(reversed_gradients, "wrong.py"))[0] == 1
    code, out, _ = gradcheck("--file", my_ops(right.replace('"equal_axes",', ""), "square.py"))
    assert code == 1
    assert "refused, because it would prove nothing: x (5, 5) has two axes of the same size" in out
    assert 'if this is meant, say so in the file: scale_settings = {..., "allow": ("equal_axes",)}' in out
    apart = right.replace('("equal_axes",)', '"kinks"')
    out = gradcheck("--file", my_ops(apart, "other.py"))[1]
    assert 'scale_settings = {..., "allow": ("kinks", "equal_axes")}' in out
    square = SOFTMAX.replace("(3, 5)", "(5, 5)")
    out = gradcheck("--file", my_ops(square, "softmax.py"))[1]
    assert 'say so in the file: softmax_settings = {"allow": ("equal_axes",)}' in out


def test_a_wrong_pair_is_named_with_its_fault(gradcheck, my_ops):
    wrong = SOFTMAX.replace(
        "return p * (dy - (dy * p).sum(axis=-1, keepdims=True))", "return -p * (dy - (dy * p).sum(-1, keepdims=True))"
    )
    code, out, _ = gradcheck("--file", my_ops(wrong))
    assert code == 1
    assert "x: 15 of 15 elements are wrong" in out
    assert "has the wrong sign: it is minus the true gradient" in out
    assert "FAILED: softmax" in out


OFFSET = SOFTMAX.replace("return p, p", "return p + 1e9, p")  # rounding of 1e9 hides what the differences say


def test_undecided_is_not_passed_and_called_by_its_name(gradcheck, my_ops):
    path = my_ops(OFFSET)
    code, out, _ = gradcheck("--file", path)
    assert code == 1
    assert "undecided: softmax; " in out
    assert "FAILED" not in out
    (row,) = (line for line in out.splitlines() if "softmax" in line and "|" in line)
    assert row.rstrip(" |").endswith("undecided")
    code, out, _ = gradcheck("--file", path, "--json")
    result = json.loads(out)
    assert (code, result["passed"], result["verdict"]) == (1, False, "undecided")
    assert (result["checks"][0]["passed"], result["checks"][0]["verdict"]) == (False, "undecided")


PARTLY_HIDDEN = """
import numpy as np


def partly_forward(x):
    return np.where(x > 0, np.sin(x) + 1e13, x * x), x


def partly_backward(dy, x):
    return dy * np.where(x > 0, np.cos(x), 2 * x)


def partly_inputs(rng):
    return (rng.normal(size=(3, 5)),)


"""


@pytest.mark.parametrize("names", ["'x'", "('x',)"])
def test_undecided_entries_may_be_allowed_by_name(gradcheck, my_ops, names):
    code, out, _ = gradcheck("--file", my_ops(PARTLY_HIDDEN + f"partly_settings = {{'undecided': {names}}}\n"))
    assert code == 0
    assert "all passed" in out
    assert "of them undecided" in out


def test_what_is_hidden_whole_is_refused_though_allowed(gradcheck, my_ops):
    farther = OFFSET.replace("1e9", "1e11")
    code, out, _ = gradcheck("--file", my_ops(farther + "softmax_settings = {'undecided': 'x'}\n"))
    assert code == 1
    assert "rounding hides every element of the gradient of x" in out


def test_one_that_is_wrong_and_one_that_is_undecided_are_told_apart(gradcheck, my_ops):
    wrong = SOFTMAX.replace("softmax", "other").replace("return p * (dy", "return 2 * p * (dy")
    code, out, _ = gradcheck("--file", my_ops(OFFSET + wrong))
    assert code == 1
    assert "FAILED: other; undecided: softmax; " in out
    assert json.loads(gradcheck("--file", my_ops(OFFSET + wrong), "--json")[1])["verdict"] == "wrong"


def test_after_a_failure_it_is_said_that_no_wrong_backward_was_tried(gradcheck, my_ops):
    wrong = SOFTMAX.replace("return p * (dy", "return 2 * p * (dy")
    code, out, _ = gradcheck("--file", my_ops(wrong))
    assert code == 1
    assert "wrong backwards not tried: the right one failed" in out
    assert "| not tried " in out
    both = wrong + PRODUCT
    assert "3 of 3 wrong backwards rejected" in gradcheck("--file", my_ops(both, "both.py"))[1]


@pytest.mark.parametrize("wrt", ["'b'", "('b',)", "(1,)"])
def test_slips_are_tried_only_where_gradients_are_compared(gradcheck, my_ops, wrt):
    code, out, _ = gradcheck("--file", my_ops(PRODUCT + f"product_settings = {{'wrt': {wrt}}}\n"))
    assert code == 0
    assert "2 of 2 wrong backwards rejected" in out


def test_a_zero_gradient_named_alone_is_not_taken_for_its_letters(gradcheck, my_ops):
    source = PRODUCT.replace("a * b, (a, b)", "a * 1.0 + 0 * bias, (a, bias)").replace(
        "product_forward(a, b)", "product_forward(a, bias)"
    )
    source = source.replace("return dy * b, dy * a", "return dy, 0 * dy").replace("a, b = cache", "")
    code, out, _ = gradcheck("--file", my_ops(source + "product_settings = {'zero': 'bias'}\n"))
    assert code == 0, out
    assert "4 of 4 wrong backwards" not in out
    assert "2 of 2 wrong backwards rejected" in out


def test_the_name_of_our_operation_brings_our_cases_and_the_words_of_our_mutants(gradcheck, my_ops):
    code, out, _ = gradcheck("--file", my_ops(LINEAR_TRANSPOSED), "--json")
    assert code == 1
    (check,) = json.loads(out)["checks"]
    assert check["cases"] == len(gradient_subjects.operation_trials("linear"))
    assert any("weight" in failure and "known slip" in failure for failure in check["failures"])
    right = LINEAR_TRANSPOSED.replace("(dys.T @ rows).reshape(weight.shape)", "rows.T @ dys")
    assert gradcheck("--file", my_ops(right, "right.py"))[0] == 0


def test_only_the_chosen_pairs_of_a_file_are_checked(gradcheck, my_ops):
    path = my_ops(SOFTMAX + LINEAR_TRANSPOSED)
    assert gradcheck("--file", path, "--op", "softmax")[0] == 0
    assert gradcheck("--file", path, "--op", "linear")[0] == 1
    code, _, err = gradcheck("--file", path, "--op", "softmx")
    assert code == 2
    assert err == "error: --op softmx: there is no such check; did you mean softmax? (--help lists every flag)\n"


def test_an_exception_of_the_users_code_names_its_line(gradcheck, my_ops):
    wrong = SOFTMAX.replace("return p * (dy", "return p[:, 7] * (dy")
    code, out, _ = gradcheck("--file", my_ops(wrong))
    assert code == 1
    assert "softmax, draw 1 of softmax_inputs: IndexError in softmax_backward (my_ops.py:12): index 7 is out of" in out
    wrong = SOFTMAX.replace("return p, p", "return p")
    code, out, _ = gradcheck("--file", my_ops(wrong, "no_cache.py"))
    assert "softmax, draw 1 of softmax_inputs: softmax_forward must return (out, cache)" in out


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import numpy as np\nx = (\n", "my_ops.py:2: SyntaxError: '(' was never closed"),
        ("a = 1\nb = a + nothing\n", "my_ops.py:2: NameError: name 'nothing' is not defined"),
        ("def f(x):\n    return x\n", "my_ops.py: no pair of functions found; the names to use are X_forward(...)"),
        (
            SOFTMAX.replace("softmax_backward", "sofmax_backward"),
            "my_ops.py: there is softmax_forward, but no softmax_backward; did you mean sofmax_backward?",
        ),
        (
            SOFTMAX.replace("softmax_forward", "other"),
            "my_ops.py: there is softmax_backward, but no softmax_forward",
        ),
        (
            SOFTMAX.replace("softmax", "shares").replace("shares_inputs", "shars_inputs"),
            "my_ops.py: shares_forward needs a function shares_inputs(rng) that returns a tuple or dict of inputs; "
            "did you mean shars_inputs?",
        ),
        (
            SOFTMAX.replace("(rng.normal(size=(3, 5)),)", "rng.norm()"),
            "my_ops.py:16: softmax_inputs raised AttributeError: 'numpy.random._generator.Generator' object has no",
        ),
        (
            SOFTMAX.replace("(rng.normal(size=(3, 5)),)", "3"),
            "my_ops.py: softmax_inputs must return a tuple or a dict of inputs, not int",
        ),
        (SOFTMAX + "softmax_settings = {'alow': ()}\n", "my_ops.py: softmax_settings has 'alow'; did you mean allow?"),
        (SOFTMAX + "softmax_settings = []\n", "my_ops.py: softmax_settings must be a dict, not list"),
        (SOFTMAX + "softmax_settings = {'names': ('x', 'y')}\n", "my_ops.py: softmax_settings: names has 2 entries"),
        (LINEAR_TRANSPOSED + "linear_settings = {'seed': 3}\n", "my_ops.py: linear_settings has 'seed'"),
        (LINEAR_TRANSPOSED + "linear_settings = {'eps': 1e-4}\n", "my_ops.py: linear_settings needs a linear_inputs"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(gradcheck, my_ops, source, sentence):
    code, out, err = gradcheck("--file", my_ops(source))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_an_unfinished_pair_is_a_failure_and_the_others_are_checked(my_ops):
    lone = "\n\ndef lonely_forward(x):\n    return x, None\n"
    without = "\n\ndef bare_forward(x):\n    return x, None\n\n\ndef bare_backward(dy, cache):\n    return dy\n"
    subjects = user_subjects(my_ops(SOFTMAX + lone + without))
    found = {subject.name: gradient_suite.check_subject(subject) for subject in subjects}
    assert {name: outcome.verdict for name, outcome in found.items()} == {
        "lonely": "wrong",
        "softmax": "passed",
        "bare": "wrong",
    }
    assert found["lonely"].failures == ("lonely: my_ops.py: there is lonely_forward, but no lonely_backward",)
    assert found["bare"].failures[0].startswith("bare: my_ops.py: bare_forward needs a function bare_inputs(rng)")


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--op", "layernrm"], 2, "--op layernrm: there is no such check; did you mean layernorm?"),
        (["--op", "zzz"], 2, "--op zzz: there is no such check; known: embedding, linear, layernorm,"),
        (["--file", "nowhere.py"], 1, "--file nowhere.py: there is no such file"),
        (["--file", "."], 1, "--file .: this is a folder, not a Python file"),
        (["--file", ""], 2, "--file: must be a path, but is empty"),
        (["--file="], 2, "--file: must be a path, but is empty"),
        (["--file=--"], 2, "--file: needs a value, and -- is none"),
        (["--dtype=--"], 2, "--dtype: needs a value, and -- is none"),
        (["--seed=--"], 2, "--seed: needs a value, and -- is none"),
        (["--dtype", ""], 2, "--dtype: invalid choice: ''"),
        (["--op", ""], 2, "--op '': there is no such check"),
        (["--", "my_ops.py"], 2, "unexpected argument 'my_ops.py'"),
        (["--dtype", "float16"], 2, "--dtype: invalid choice: 'float16'"),
        (["--seed", "-1"], 2, "--seed: must be a whole number from 0 to 2**32 - 1, not -1"),
        (["--opp", "linear"], 2, "unknown flag --opp; did you mean --op?"),
    ],
)
def test_bad_flags_are_one_sentence(gradcheck, flags, code, sentence):
    found, _, err = gradcheck(*flags)
    assert found == code
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def long_name(source):
    return source.replace("softmax", "softmax_" + "of_everything_" * 8)


def test_a_pipe_gets_every_name_whole(gradcheck, my_ops):
    source = long_name(SOFTMAX)
    out = gradcheck("--file", my_ops(source))[1]
    assert long_name("softmax ") in out
    assert "\u2026" not in out
    names = "elementwise_power", "BatchTensorNorm"
    out = gradcheck(*(flag for name in names for flag in ("--op", name)))[1]
    assert all(sum(name in line.split("|")[0:2][-1] for line in out.splitlines()) == 1 for name in names)
    assert "largest error" in out


@pytest.mark.parametrize("width", [80, 60, 45])
def test_a_terminal_gets_every_name_whole_on_one_line(width):
    outcome = gradient_suite.Outcome(
        "model", "window-gpt-batch-tensor", 14, 12345, 1.1e-11, 15, 15, 75.0, ("why",), "wrong"
    )
    other = gradient_suite.Outcome("operation", "attention_blockwise", 14, 4032, None, 0, 0, 3.4, ())
    out = io.StringIO()
    Console(file=out, width=width).print(outcomes_table([other, outcome], width))
    text = out.getvalue()
    assert "\u2026" not in text
    assert max(map(len, text.splitlines())) <= width
    for name in ("attention_blockwise", "window-gpt-batch-tensor"):
        assert any(line.strip().startswith(name) for line in text.splitlines())
    (row,) = (line for line in text.splitlines() if "window-gpt" in line)
    for character in "\u2502|":
        row = row.replace(character, " ")
    left = {80: ["14", "12,345", "1.1e-11", "15/15", "1", "min", "15", "s"], 60: ["12,345", "1.1e-11", "15/15"]}
    assert row.split() == ["window-gpt-batch-tensor", *left.get(width, ["1.1e-11"]), "FAILED"]
    assert ("a wider terminal shows more" in " ".join(text.split())) == (width < 80)


def test_cuda_without_cupy_says_what_to_install(gradcheck, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    code, _, err = gradcheck("--device", "cuda")
    assert code == 1
    assert err.startswith('error: --device cuda: CuPy is not installed; install it with: pip install -e ".[')


def test_conversion_leaves_arrays_that_fit_as_they_are():
    view = np.arange(6.0)[::-1]
    kept, narrow = gradient_suite.converted((view, [1]), "float64", "cpu")[0], gradient_suite.converted(
        {"x": (view, np.arange(3), None)}, "float32", "cpu"
    )["x"]  # fmt: skip
    assert kept is view
    assert [getattr(value, "dtype", None) for value in narrow] == [np.float32, np.arange(3).dtype, None]


SWAPPED = """
def swapped_forward(x, w):
    return x @ w, (x, w)


def swapped_backward(dy, cache):
    x, w = cache
    return x.T @ dy, dy @ w.T


def swapped_inputs(rng):
    return rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
"""


def test_two_draws_that_say_the_same_are_told_once(gradcheck, my_ops):
    code, out, _ = gradcheck("--file", my_ops(SWAPPED))
    assert code == 1
    assert out.count("it is the gradient of w: are two gradients returned in the wrong order?") == 1
    assert "swapped: more of this kind: 1" in out
    assert "0.0e+00" not in out  # nothing was compared
    assert "(your pairs)" not in out  # no row of one kind alone


def test_failures_that_differ_in_numbers_only_are_alike():
    first = "f, draw 1 of f_inputs: x: 3 of 6 elements are wrong\n    at x[1, 1]: -1.5e-03"
    alike = "f, draw 2 of f_inputs: x: 6 of 6 elements are wrong\n    at x[0, 2]: 2.5"
    other = "f, draw 2 of f_inputs: w: 6 of 6 elements are wrong\n    at w[0, 2]: 2.5"
    assert distinct((first, alike, other)) == [first, other]
