"""What once went wrong in silence, half-way, or with an error of NumPy's: both ways, in one file and in many."""

import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tinygrad_arith import weights
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear, Module
from tinygrad_arith.options.errors import MachineError, UserError
from tinygrad_arith.weights import Fused, NameTable, Piece, Row

RNG = np.random.default_rng(5)
CONFIG = GPTConfig(vocabulary=11, context=9, d_model=12, heads=3, ffn=20)


class Two(Module):
    def __init__(self, width=3):
        self.a, self.b = Linear(width, width), Linear(width, width)


class Packed(Module):
    def __init__(self):
        self.qkv, self.o = Linear(4, 12), Linear(4, 4)


def write(path, arrays):
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
    return path


def same(state, other):
    assert state.keys() == other.keys()
    for name, array in other.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name, strict=True)


@pytest.mark.parametrize("before", [10**9, 40])
@pytest.mark.parametrize("after", [10**9, 1])
@pytest.mark.parametrize("fault", ["too large", "dtype", "transpose", "pieces", "a directory in the way"])
def test_a_save_that_fails_leaves_what_is_there(tmp_path, before, after, fault):
    old, new = Two().initialize(1), Two().initialize(2)
    weights.save(old, tmp_path, shard_bytes=before)
    names = sorted(path.name for path in tmp_path.iterdir())
    options = {"shard_bytes": after}
    if fault == "too large":
        new.b.bias.array[2] = 1e6
        options["dtype"] = "float16"
    elif fault == "a directory in the way":
        stem = "model" if after > 1 else "model-00003-of-00004"
        if (tmp_path / f"{stem}.safetensors").exists():
            return
        (tmp_path / f"{stem}.safetensors").mkdir()
        names = sorted(path.name for path in tmp_path.iterdir())
    else:
        options |= {
            "dtype": {"dtype": "fp16"},
            "transpose": {"transpose": ["typo"]},
            "pieces": {"names": {"a.weight": Piece("x", of=(0, 2))}},
        }[fault]
    with pytest.raises(UserError):
        weights.save(new, tmp_path, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    if fault == "a directory in the way":
        (tmp_path / f"{stem}.safetensors").rmdir()
    weights.load(model := Two(), tmp_path)
    same(model.state_dict(), old.state_dict())


def test_a_save_that_is_killed_leaves_no_mixture(tmp_path, monkeypatch):
    """Of as many files as before, under the same names: the index goes first and comes last."""
    old, new, replace = Two().initialize(1), Two().initialize(2), os.replace
    for most in range(5):
        weights.save(old, tmp_path, shard_bytes=1)
        done = []

        def killed(*args, most=most, done=done):
            if len(done) == most:
                raise KeyboardInterrupt
            done.append(replace(*args))

        monkeypatch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            weights.save(new, tmp_path, shard_bytes=1)
        monkeypatch.undo()
        with pytest.raises(UserError):
            weights.load(Two(), tmp_path)
        weights.save(new, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
        weights.load(model := Two(), tmp_path)
        same(model.state_dict(), new.state_dict())


@pytest.mark.parametrize(
    ("theirs", "ours", "name", "translated"),
    [
        ("0.weight", "a.weight", "0.weight", "a.weight"),
        ("layers.{}.fc.0.weight", "blocks.{}.up.weight", "layers.7.fc.0.weight", "blocks.7.up.weight"),
        ("layers.{}.fc.{}.weight", "blocks.{}.{}.weight", "layers.7.fc.3.weight", "blocks.7.3.weight"),
        ("layer{}.w", "blocks.{}.w", "layer12.w", "blocks.12.w"),
        ("{x}.{}.w", "b.{}.{y}", "{x}.5.w", "b.5.{y}"),
        ("w[{}]+", "b.{}", "w[5]+", "b.5"),
    ],
)
def test_a_row_is_found_by_one_rule_in_both_directions(theirs, ours, name, translated):
    table = NameTable([Row(theirs, ours, transposed=True)])
    assert table.ours(name) == [Piece(translated)]
    assert table.theirs(translated) == [Piece(name)]
    assert table.transposed(name)
    assert not table.transposed(name + "x")
    assert table.ours(name + "x") == [Piece(name + "x")]


def test_of_two_rows_the_one_with_the_number_itself_counts():
    table = NameTable([Row("h.{}.w", "b.{}.w", transposed=True), Row("h.0.w", "first.w")])
    assert (table.ours("h.0.w"), table.transposed("h.0.w")) == ([Piece("first.w")], False)
    assert (table.ours("h.1.w"), table.transposed("h.1.w")) == ([Piece("b.1.w")], True)
    assert table.theirs("first.w") == [Piece("h.0.w")]


@pytest.mark.parametrize("shard_bytes", [10**9, 1])
def test_square_matrices_of_a_sequence_are_transposed(tmp_path, shard_bytes):
    """Of torch.nn.Sequential, whose names are numbers: of a square one no shape tells."""
    table = NameTable([Row(f"{i}.weight", f"{n}.weight", transposed=True) for i, n in enumerate("ab")])
    model, weight = Two().initialize(1), RNG.normal(size=(2, 3, 3)).astype(np.float32)
    path = write(tmp_path / "a.safetensors", {"0.weight": weight[0], "1.weight": weight[1]})
    options = {"transpose": table.transposed, "allow_missing": ["a.bias", "b.bias"]}
    weights.load(model, path, names=table.ours, **options)
    np.testing.assert_array_equal(model.a.weight.array, weight[0].T)
    np.testing.assert_array_equal(model.b.weight.array, weight[1].T)
    weights.save(model, tmp_path / "b", names=table.theirs, transpose=table.transposed, shard_bytes=shard_bytes)
    source = weights.Source(tmp_path / "b")
    np.testing.assert_array_equal(source["1.weight"], weight[1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Row("h.{}.w", "b.{}.{}.w")], r"^h\.{}\.w, b\.{}\.{}\.w: the names of a row must have the same number of {}$"),
        ([Row(Fused(("h.{}.q", "h.k"), (1, 1)), "b.{}.qk")], "must have the same number of {}$"),
        ([Row(Fused(("a", "b"), (1,)), "c")], "must have a size, 1 or more, for each name$"),
        ([Row("c", Fused(("a", "b"), (1, 0)))], "must have a size, 1 or more, for each name$"),
        ([Row("c", Fused(("a", "b"), (1, 2.0)))], "must have a size, 1 or more, for each name$"),
        ([Row("c", Fused("ab", (1, 2)))], "its names must be several texts$"),
        ([Row("c", Fused(("a", "a"), (1, 2)))], "has a name twice$"),
        ([("a", "b")], r"^\('a', 'b'\): a NameTable takes Rows$"),
        ([Row("a", "b"), Row("a", "c")], "^a: is theirs in two rows of a NameTable$"),
        ([Row("a", None), Row("a", "c")], "^a: is theirs in two rows of a NameTable$"),
        ([Row("a", 5)], "5 must be a name, or Fused$"),
    ],
)
def test_rows_that_contradict_themselves_or_each_other_are_told_at_once(rows, message):
    with pytest.raises(ValueError, match=message):
        NameTable(rows)


NARROW = [("float64", 1e300, d) for d in ("float32", "float16", "bfloat16")]
NARROW += [("float32", v, d) for v in (3.4e38, -3.4e38) for d in ("float16", "bfloat16")] + [
    ("bfloat16", 1e38, "float16")
]


@pytest.mark.parametrize(("dtype", "number", "narrow"), NARROW)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shard_bytes", [10**9, 1])
def test_a_number_beyond_the_range_is_an_error_and_nothing_is_written(
    tmp_path, dtype, number, narrow, transposed, shard_bytes
):
    if "bfloat16" in (dtype, narrow):
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    wide = Two().initialize(1, DtypePolicy.uniform(dtype))
    wide.b.weight.array[1, 2] = number
    options = {"transpose": ["a.weight", "b.weight"]} if transposed else {}
    with pytest.raises(UserError, match=r"^b\.weight: holds numbers too large for "):
        weights.save(wide, tmp_path, dtype=narrow, shard_bytes=shard_bytes, **options)
    weights.save(wide, tmp_path, shard_bytes=shard_bytes, **options)
    model = Two().initialize(2, DtypePolicy.uniform(narrow))
    before, version = model.state_dict(), model.flat.version.count
    with pytest.raises(UserError, match=rf"safetensors: b\.weight holds numbers too large for {narrow}$"):
        weights.load(model, tmp_path, **options)
    same(model.state_dict(), before)
    assert model.flat.version.count == version
    with pytest.raises(UserError, match="too large for"):
        weights.load(unmade := Two(), tmp_path, policy=DtypePolicy.uniform(narrow), **options)
    assert not unmade.a.weight.initialized


def test_infinities_and_nan_are_no_numbers_beyond_the_range(tmp_path):
    layer = Linear(2, 2, bias=False).initialize(1)
    layer.weight.array = np.array([[np.inf, -np.inf], [np.nan, 3.3e38]], np.float32)
    weights.save(layer, tmp_path, dtype="bfloat16")
    stored = weights.Source(tmp_path)["weight"]
    np.testing.assert_array_equal(np.isfinite(stored), [[False, False], [False, True]])
    assert (stored[0, 0], stored[0, 1]) == (np.inf, -np.inf)


POLICIES = ["float32", "float64", "bfloat16"]


@pytest.mark.parametrize("dtype", POLICIES)
@pytest.mark.parametrize("frozen", [False, True])
def test_a_part_of_a_model_is_loaded_and_what_it_lacks_is_drawn(tmp_path, dtype, frozen):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    policy = DtypePolicy.named(dtype)
    source, model = GPT(CONFIG).initialize(1, policy), GPT(CONFIG).initialize(2, policy)
    if frozen:
        model.blocks[0].ffn.freeze()
        _ = model.flat
    elsewhere = model.blocks[1].state_dict()
    weights.save(source.blocks[0], tmp_path / "b.safetensors")
    version = model.flat.version.count
    weights.load(model.blocks[0], tmp_path / "b.safetensors")
    assert model.flat.version.count > version
    same(model.blocks[0].state_dict(), source.blocks[0].state_dict())
    same(model.blocks[1].state_dict(), elsewhere)
    for name, parameter in model.blocks[0].named_parameters().items():
        np.testing.assert_array_equal(parameter.array, parameter.stored.astype(parameter.dtype), err_msg=name)
    arrays = load_file(tmp_path / "b.safetensors")
    del arrays["ffn.up.weight"]
    write(tmp_path / "b.safetensors", arrays)
    loaded = weights.load(model.blocks[0], tmp_path / "b.safetensors", allow_missing=["ffn.up"], seed=4)
    assert loaded.drawn == ("ffn.up.weight",)
    drawn = GPT(CONFIG).blocks[0].initialize(4, policy).ffn.up.weight
    np.testing.assert_array_equal(model.blocks[0].ffn.up.weight.array, drawn.array)


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        ((2, 2, 2), r"^qkv\.weight is \(4, 12\), and 6 to 12 of its last axis are written nowhere$"),
        ((6, 6, 6), r"^qkv\.weight is \(4, 12\), and \(12, 18\) of its last axis is to be v$"),
    ],
)
def test_a_parameter_that_is_split_is_written_as_a_whole(tmp_path, fused, message):
    names = NameTable([Row(Fused(("q", "k", "v"), fused), "qkv.weight")])
    with pytest.raises(UserError, match=message):
        weights.save(Packed().initialize(1), tmp_path, names=names.theirs)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pieces", "gap"),
    [([(0, 5)], (5, 12)), ([(3, 12)], (0, 3)), ([(0, 5), (7, 12)], (5, 7)), ([(7, 12), (0, 5)], (5, 7))],
)
def test_what_no_piece_takes_is_told_in_both_directions_unless_it_is_dropped(tmp_path, pieces, gap):
    model = Packed().initialize(1)
    parts = [Piece(f"q{start}", of=(start, stop)) for start, stop in pieces]
    with pytest.raises(UserError, match=rf"and {gap[0]} to {gap[1]} of its last axis are written nowhere$"):
        weights.save(model, tmp_path, names={"qkv.weight": parts})
    weights.save(model, tmp_path, names={"qkv.weight": [*parts, Piece(None, of=gap)]})
    for piece in parts:
        expected = model.qkv.weight.array[:, slice(*piece.of)]
        np.testing.assert_array_equal(weights.Source(tmp_path)[piece.name], expected)

    path = write(tmp_path / "x.safetensors", {"qkv": RNG.normal(size=(4, 12)).astype(np.float32)})
    other, end, into = Linear(4, 12 - gap[1] + gap[0], bias=False), 0, []
    for start, stop in pieces:
        into.append(Piece("weight", of=(start, stop), into=(end, end := end + stop - start)))
    with pytest.raises(UserError, match=rf"{gap[0]} to {gap[1]} of qkv go nowhere$"):
        weights.load(other, path, names={"qkv": into})
    weights.load(other, path, names={"qkv": [*into, Piece(None, of=gap)]})
    taken = [load_file(path)["qkv"][:, slice(*piece.of)] for piece in into]
    np.testing.assert_array_equal(other.weight.array, np.concatenate(taken, axis=1))


@pytest.mark.parametrize("part", [(-4, -1), (3, 3), (5, 2), (6,), (0.0, 6.0), np.array([0, 6]), 5, (0, True)])
@pytest.mark.parametrize("side", ["of", "into"])
def test_a_range_that_is_none_is_told(tmp_path, part, side):
    piece = Piece("q", **{side: part})
    with pytest.raises(TypeError, match=r"a range must be \(start, stop\) with 0 <= start < stop$"):
        weights.save(Packed().initialize(1), tmp_path, names={"qkv.weight": piece})
    path = write(tmp_path / "a.safetensors", {"q": np.ones((4, 6))})
    with pytest.raises(TypeError, match=r"a range must be \(start, stop\) with 0 <= start < stop$"):
        weights.load(Packed(), path, names={"q": piece})


def test_a_piece_beyond_the_parameter_is_told(tmp_path):
    path = write(tmp_path / "a.safetensors", {"q": np.ones((4, 6))})
    with pytest.raises(UserError, match=r"; q is to be 8 to 14 of qkv\.weight, which is \(4, 12\)$"):
        weights.load(Packed(), path, names={"q": Piece("qkv.weight", into=(8, 14))})


def test_pieces_of_other_shapes_are_not_joined(tmp_path):
    names = {"qkv.bias": Piece("x", into=(0, 12)), "o.weight": Piece("x", into=(12, 16))}
    with pytest.raises(UserError, match=r"^x: is written from parameters that do not lie one behind the other$"):
        weights.save(Packed().initialize(1), tmp_path, names=names)


@pytest.mark.parametrize("how", ["replaced", "replaced by a smaller one", "deleted", "shards replaced"])
def test_a_source_keeps_the_file_whose_header_it_read(tmp_path, how):
    old, new = Two().initialize(1), Two(2 if "smaller" in how else 3).initialize(2)
    most = 1 if "shards" in how else 10**9
    weights.save(old, tmp_path, shard_bytes=most)
    source = weights.Source(tmp_path)
    if how == "deleted":
        (tmp_path / "model.safetensors").unlink()
    else:
        weights.save(new, tmp_path, shard_bytes=most)
    same({name: source[name] for name in source.tensors}, old.state_dict())
    weights.load(model := Two(), source)
    same(model.state_dict(), old.state_dict())


def test_a_file_that_is_written_to_while_it_is_open_is_told(tmp_path):
    weights.save(Two().initialize(1), tmp_path)
    source = weights.Source(tmp_path)
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with open(path, "rb+") as file:
        file.write(data)
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match=r"model\.safetensors: was written to since it was opened; open it again$"):
        source["a.weight"]


@pytest.mark.parametrize("given", [["o.wieght"], "xx.o.weight", "o.wieght"])
def test_a_save_tells_of_names_that_there_are_not(tmp_path, given):
    model = Packed().initialize(1)
    with pytest.raises(UserError, match=r"^transpose: there is no tensor (o\.wieght|xx\.o\.weight)$"):
        weights.save(model, tmp_path, transpose=given)
    with pytest.raises(UserError, match=r"^names: there is no parameter o\.wieght$"):
        weights.save(model, tmp_path, names={"o.wieght": "z"})
    weights.save(model, tmp_path, transpose="o.weight")
    np.testing.assert_array_equal(weights.Source(tmp_path)["o.weight"], model.o.weight.array.T)


def test_a_load_tells_of_names_that_there_are_not(tmp_path):
    weights.save(Two().initialize(1), tmp_path)
    with pytest.raises(UserError, match=r"there is no b, which is to be transposed$"):
        weights.load(Two(), tmp_path, transpose="b")
    with pytest.raises(UserError, match=r"there is no parameter c, which may be missing$"):
        weights.load(Two(), tmp_path, allow_missing=["c"])
    with pytest.raises(UserError, match=r"there is no nothing, to which b\.weight is tied$"):
        weights.load(Two(), tmp_path, tied={"b.weight": "nothing"})
    weights.load(Two(), tmp_path, allow_missing=["b", "a.bias"])


@pytest.mark.parametrize(
    "metadata", [{"step": 3}, {3: "a"}, {"a": {"b": float("nan")}}, "abc", [("a", "b")], {"a": None}]
)
def test_metadata_that_are_no_texts_are_told(tmp_path, metadata):
    with pytest.raises(UserError, match=r"^metadata=.*: must be a mapping from texts to texts$"):
        weights.save(Two().initialize(1), tmp_path / "a", metadata=metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": {"a": "\ud800"}},
        {"metadata": {"\ud800": "a"}},
        {"metadata": {"a": "x" * 2**24}},
        {"names": {"a.bias": "\ud800"}},
    ],
)
def test_what_our_own_reader_would_refuse_is_not_written(tmp_path, options):
    with pytest.raises(UserError, match=r"^the names and metadata of these weights cannot be written: ") as raised:
        weights.save(Two().initialize(1), tmp_path / "a", **options)
    assert len(str(raised.value)) < 500
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", POLICIES)
def test_a_frozen_parameter_that_is_a_files_gets_an_array_of_its_own_when_it_is_written_to(tmp_path, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    weights.save(GPT(CONFIG).initialize(1), tmp_path)
    other = GPT(CONFIG).initialize(2)
    weights.save(other, tmp_path / "other")
    source = weights.Source(tmp_path)
    array = source["head.weight"].copy()

    def mapped():
        model = GPT(CONFIG).initialize(3, DtypePolicy.named(dtype))
        model.freeze()
        _ = model.flat
        model.head.weight.array = source["head.weight"]
        return model

    def drawn(model):
        model.flat.initialize(2)

    def part(model):
        weights.save(other.head, tmp_path / "head.safetensors")
        weights.load(model.head, tmp_path / "head.safetensors")

    for write_to in (
        lambda model: model.load_state_dict(other.state_dict()),
        lambda model: weights.load(model, tmp_path / "other"),
        drawn,
        part,
    ):
        write_to(model := mapped())
        np.testing.assert_array_equal(model.state_dict()["head.weight"], other.head.weight.array)
        assert model.head.weight.array.flags.writeable
        np.testing.assert_array_equal(
            model.head.weight.numpy(), other.head.weight.array.astype(model.head.weight.dtype)
        )
    np.testing.assert_array_equal(source["head.weight"], array)


ARGUMENTS = {
    "names": [["a"], 5, "a.weight", NameTable([Row("a", "b")])],
    "transpose": [True, 5, None, [5]],
    "tied": [["a"], True, {"a": 5}],
    "allow_missing": [True, 5, None],
    "allow_unexpected": [True, [None]],
    "seed": ["a", 1.5],
    "policy": ["float32"],
    "device": ["tpu", None, 5],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ARGUMENTS.items() for value in values])
def test_arguments_of_load_that_cannot_be_right_are_one_sentence(tmp_path, name, value):
    weights.save(Two().initialize(1), tmp_path)
    with pytest.raises(UserError, match=rf"^{name}=.*: must be ") as raised:
        weights.load(Two(), tmp_path, **{name: value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shard_bytes", [0, -1, 1.5, "5GB", None, True])
def test_shard_bytes_that_are_no_number_of_bytes_are_told(tmp_path, shard_bytes):
    with pytest.raises(UserError, match=r"^shard_bytes=.*: must be a whole number of bytes, 1 or more$"):
        weights.save(Two().initialize(1), tmp_path / "a", shard_bytes=shard_bytes)
    assert not list(tmp_path.iterdir())


def test_what_is_no_model_or_no_path_is_told(tmp_path):
    weights.save(model := Two().initialize(1), tmp_path)
    for wrong, what in ((tmp_path, "a PosixPath"), (Two, "the class Two"), ({}, "a dict")):
        for call in (weights.load, weights.save):
            with pytest.raises(UserError, match=f"^the first argument must be a model, and not {what}$"):
                call(wrong, tmp_path)
    for wrong, what in ((None, "None"), (model.state_dict(), "a dict"), (5, "5")):
        with pytest.raises(UserError, match=f"^source={what}: must be a path$"):
            weights.load(model, wrong)
        with pytest.raises(UserError, match=f"^path={what}: must be a path$"):
            weights.save(model, wrong)


def test_a_gpu_that_is_not_there_is_told(tmp_path, monkeypatch):
    weights.save(Two().initialize(1), tmp_path)
    monkeypatch.setattr("tinygrad_arith.weights.arguments.obstacle_to_cuda", lambda: "there is none")
    with pytest.raises(MachineError, match=r'^device="cuda": there is none$'):
        weights.load(Two(), tmp_path, device="cuda")


def test_a_tensor_that_is_not_there_is_named(tmp_path):
    weights.save(Two().initialize(1), tmp_path)
    with pytest.raises(KeyError, match=f"{tmp_path}.*has no tensor 'nothing'"):
        weights.Source(tmp_path)["nothing"]


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_the_system_refuses_is_no_file(tmp_path, length):
    with pytest.raises(UserError, match=r"there is no such file$"):
        weights.Source(tmp_path / ("x" * length))


def test_a_directory_in_the_place_of_a_file_is_told(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(UserError, match=r"x\.safetensors: there is a directory of that name$"):
        weights.save(Two().initialize(1), tmp_path / "x.safetensors")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"file/below: there is a file of that name, or above it$"):
        weights.save(Two().initialize(1), tmp_path / "file" / "below")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "x.safetensors"]
