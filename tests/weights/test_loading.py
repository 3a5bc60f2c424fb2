"""Weights into a model: names, transposes, pieces, ties, parts, dtypes, and one message for all that is wrong."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tinygrad_arith import weights
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Embedding, Linear, Module
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.weights import Fused, NameTable, Piece, Row
from tinygrad_arith.weights.dtypes import narrowed, widened

RNG = np.random.default_rng(3)
CONFIG = GPTConfig(vocabulary=11, context=9, d_model=12, heads=3, kv_heads=1, ffn=20, layers=2)
C, KV = 12, 4


def gpt():
    return GPT(CONFIG)


@pytest.fixture
def source():
    """A model, and its weights as an array each."""
    model = gpt().initialize(7)
    model.flat.values += RNG.normal(size=model.flat.values.shape).astype(np.float32)  # biases are not zeros
    model.flat.mark_written()
    return model


def same(model, other):
    assert model.state_dict().keys() == other.state_dict().keys()
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], array, err_msg=name, strict=True)


def write(path, arrays):
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
    return path


@pytest.mark.parametrize("shard_bytes", [10**9, 3000, 1])
def test_what_is_saved_comes_back_to_the_bit(source, tmp_path, shard_bytes):
    paths = weights.save(source, tmp_path, shard_bytes=shard_bytes)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    for place in (tmp_path, paths[-1]):
        model = gpt()
        loaded = weights.load(model, place)
        same(model, source)
        assert (len(loaded.loaded), loaded.drawn) == (30, ())


def test_the_library_reads_what_is_saved_and_the_other_way_round(source, tmp_path):
    weights.save(source, tmp_path / "a.safetensors", metadata={"made": "here"})
    arrays = load_file(tmp_path / "a.safetensors")
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in source.state_dict().items()}
    weights.load(model := gpt(), write(tmp_path / "b.safetensors", arrays))
    same(model, source)
    assert weights.Source(tmp_path / "a.safetensors").metadata == {"format": "pt", "made": "here"}


def test_numbers_go_into_the_arrays_that_are_there(source, tmp_path):
    weights.save(source, tmp_path)
    model = gpt().allocate(gradients=False)
    values = model.flat.values
    version = model.flat.version.count
    weights.load(model, tmp_path)
    assert model.flat.values is values
    assert model.flat.version.count > version
    same(model, source)


def test_without_arrays_they_are_made_as_asked(source, tmp_path):
    weights.save(source, tmp_path)
    weights.load(model := gpt(), tmp_path, policy=DtypePolicy.uniform("float64"), gradients=False)
    assert model.flat.values.dtype == np.float64
    assert not model.flat.has_gradients


@pytest.mark.parametrize("stored", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("here", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_dtype_goes_into_every_dtype(tmp_path, stored, here, transposed):
    if here == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    layer = Linear(150, 71, bias=False).initialize(2, DtypePolicy.uniform("float64"))
    dtype = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}[stored]
    chosen = ["weight"] if transposed else []
    weights.save(layer, tmp_path, dtype=dtype, transpose=chosen)
    assert weights.Source(tmp_path).tensors["weight"].dtype == stored
    weights.load(other := Linear(150, 71, bias=False), tmp_path, transpose=chosen, policy=DtypePolicy.uniform(here))
    expected = layer.weight.array
    expected = widened(narrowed(expected.astype(np.float32))) if stored == "BF16" else expected.astype(dtype)
    assert other.weight.array.dtype == here
    np.testing.assert_array_equal(other.weight.array, expected.astype(here))


def test_bfloat16_is_rounded_as_others_round_it():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    bits = RNG.integers(0, 2**32, size=20_000, dtype=np.uint32)
    ties = (bits & 0xFFFF0000) | 0x8000
    special = np.array([0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7F800001, 0x7F7FFFFF, 1], np.uint32)
    numbers = np.concatenate([bits, ties, special]).view(np.float32)
    with np.errstate(all="ignore"):
        expected = numbers.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(np.isnan(widened(narrowed(numbers))), np.isnan(numbers))
    finite = ~np.isnan(numbers)
    np.testing.assert_array_equal(narrowed(numbers)[finite], expected.view(np.uint16)[finite])


def test_numbers_beyond_the_range_are_told(tmp_path):
    layer = Linear(3, 5, bias=False).initialize(1)
    layer.weight.array[1, 2] = 1e6
    with pytest.raises(UserError, match=r"^weight: holds numbers too large for F16$"):
        weights.save(layer, tmp_path / "a.safetensors", dtype="float16")
    assert not list(tmp_path.iterdir())
    weights.save(layer, tmp_path)
    with pytest.raises(UserError, match=r"model.safetensors: weight holds numbers too large for float16$"):
        weights.load(Linear(3, 5, bias=False), tmp_path, policy=DtypePolicy.uniform("float16"))


def foreign(state):
    """The weights under another program's names: matrices (out, in), q, k and v apart, a buffer, a tied head."""
    arrays = {"wte.weight": state["token_embedding.weight"], "wpe.weight": state["position_embedding.weight"]}
    for i in range(2):
        here, there = f"blocks.{i}", f"h.{i}"
        for part in ("weight", "bias"):
            parts = np.split(state[f"{here}.attention.qkv.{part}"], [C, C + KV], axis=-1)
            arrays |= {f"{there}.{n}.{part}": a.T for n, a in zip("qkv", parts, strict=True)}
            for one, other in (("attention.output", "o"), ("ffn.up", "up"), ("ffn.down", "down")):
                arrays[f"{there}.{other}.{part}"] = state[f"{here}.{one}.{part}"].T
            for one, other in (("attention_norm", "ln1"), ("ffn_norm", "ln2")):
                arrays[f"{there}.{other}.{part}"] = state[f"{here}.{one}.{part}"]
        arrays[f"{there}.mask"] = np.tri(5)
    for part in ("weight", "bias"):
        arrays[f"ln.{part}"], arrays[f"head.{part}"] = state[f"final_norm.{part}"], state[f"head.{part}"].T
    return arrays


def table():
    rows = [
        Row("wte.weight", "token_embedding.weight"),
        Row("wpe.weight", "position_embedding.weight"),
        Row("h.{}.mask", None),
    ]
    for part in ("weight", "bias"):
        fused = Fused(tuple(f"h.{{}}.{n}.{part}" for n in "qkv"), (C, KV, KV))
        rows.append(Row(fused, f"blocks.{{}}.attention.qkv.{part}", transposed=True))
        for theirs, ours in (("o", "attention.output"), ("up", "ffn.up"), ("down", "ffn.down")):
            rows.append(Row(f"h.{{}}.{theirs}.{part}", f"blocks.{{}}.{ours}.{part}", transposed=True))
        rows.append(Row(f"h.{{}}.ln1.{part}", f"blocks.{{}}.attention_norm.{part}"))
        rows.append(Row(f"h.{{}}.ln2.{part}", f"blocks.{{}}.ffn_norm.{part}"))
        rows.append(Row(f"ln.{part}", f"final_norm.{part}"))
        rows.append(Row(f"head.{part}", f"head.{part}", transposed=True))
    return NameTable(rows)


def test_a_table_of_names_reads_and_writes_another_programs_file(source, tmp_path):
    arrays, names = foreign(source.state_dict()), table()
    path = write(tmp_path / "theirs.safetensors", arrays)
    loaded = weights.load(model := gpt(), path, names=names.ours, transpose=names.transposed)
    same(model, source)
    assert loaded.dropped == ("h.0.mask", "h.1.mask")
    assert str(loaded) == "30 parameters loaded; dropped: h.*.mask (2: 0 to 1)"
    weights.save(model, tmp_path / "ours.safetensors", names=names.theirs, transpose=names.transposed)
    written = load_file(tmp_path / "ours.safetensors")
    assert written.keys() == arrays.keys() - {"h.0.mask", "h.1.mask"}
    for name, array in written.items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name, strict=True)


class Gated(Module):
    def __init__(self):
        self.gate, self.up = Linear(3, 5), Linear(3, 7)


def test_one_tensor_of_theirs_can_be_two_parameters_here(tmp_path):
    source = Gated().initialize(4)
    rows = [Row(f"gate_up.{p}", Fused((f"gate.{p}", f"up.{p}"), (5, 7)), transposed=True) for p in ("weight", "bias")]
    names = NameTable(rows)
    weights.save(source, tmp_path, names=names.theirs, transpose=names.transposed)
    state = source.state_dict()
    joined = np.concatenate([state["gate.weight"], state["up.weight"]], axis=1)
    np.testing.assert_array_equal(load_file(tmp_path / "model.safetensors")["gate_up.weight"], joined.T)
    weights.load(model := Gated(), tmp_path, names=names.ours, transpose=names.transposed)
    same(model, source)


def test_names_are_a_mapping_or_a_function(source, tmp_path):
    state = source.state_dict()
    path = write(tmp_path / "a.safetensors", {f"model.{n}": a for n, a in state.items()} | {"extra": np.ones(3)})
    names = {f"model.{name}": name for name in state} | {"extra": None}
    for given in (names, lambda name: None if name == "extra" else name.removeprefix("model.")):
        weights.load(model := gpt(), path, names=given)
        same(model, source)
    renamed = {"final_norm.weight": "norm.weight"}
    weights.save(source, tmp_path / "b.safetensors", names=renamed)
    weights.load(model := gpt(), tmp_path / "b.safetensors", names={"norm.weight": "final_norm.weight"})
    same(model, source)
    with pytest.raises(TypeError, match=r"^names: extra became 5, and not a name, a Piece, a list of them or None$"):
        weights.load(gpt(), path, names=names | {"extra": 5})


def test_one_message_names_all_that_is_wrong(source, tmp_path):
    state = source.state_dict()
    del state["blocks.0.ffn.up.bias"]
    path = write(tmp_path / "a.safetensors", state | {"extra": np.ones(3), "head.weight": state["head.weight"].T})
    model = gpt().initialize(1)
    before = model.flat.values.copy()
    with pytest.raises(UserError) as raised:
        weights.load(model, path)
    assert str(raised.value) == (
        f"{path}: does not fit this GPT: missing blocks.0.ffn.up.bias; unexpected extra; of another shape: head.weight "
        "is (11, 12) and should be (12, 11)"
    )
    np.testing.assert_array_equal(model.flat.values, before)


def test_many_names_that_differ_in_numbers_are_told_in_short(source, tmp_path):
    path = write(tmp_path / "a.safetensors", {f"h.{i}.x": np.ones(2, np.float32) for i in range(30)})
    with pytest.raises(
        UserError, match=r"missing token_embedding.weight, .*blocks\.\*\.ffn\.up\.bias \(2: 0 to 1\)"
    ) as raised:
        weights.load(gpt(), path)
    assert "unexpected h.*.x (30: 0 to 29)" in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h.0.q.weight": None}, r"missing blocks\.0\.attention\.qkv\.weight \(there is 12 to 16, 16 to 20 only\)$"),
        (
            {"h.0.q.weight": np.ones((11, 12))},
            r"of another shape: h\.0\.q\.weight is \(11, 12\) and should be \(12, 12\)$",
        ),
        ({"h.1.up.bias": np.arange(20)}, r"GPT: h\.1\.up\.bias is I64, and not one of F64, F32, F16, BF16$"),
        ({"h.1.up.bias": np.float32(3.0)}, r"h\.1\.up\.bias is \(\) and should be \(20,\)$"),
        ({"h.1.up.bias": np.ones((0, 20))}, r"h\.1\.up\.bias is \(0, 20\) and should be \(20,\)$"),
    ],
)
def test_what_is_wrong_is_told_in_their_names(source, tmp_path, change, message):
    arrays = foreign(source.state_dict()) | change
    names = table()
    path = write(tmp_path / "a.safetensors", {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message):
        weights.load(gpt(), path, names=names.ours, transpose=names.transposed)


def test_parts_given_twice_are_told(source, tmp_path):
    path = write(tmp_path / "a.safetensors", {"a": np.ones((3, 4)), "b": np.ones((3, 3))})
    names = {"a": Piece("weight", into=(0, 4)), "b": Piece("weight", into=(2, 5))}
    with pytest.raises(UserError, match=r"parts of weight are given twice, in a, b$"):
        weights.load(Linear(3, 5, bias=False), path, names=names)


def test_a_transpose_of_what_is_not_there_is_told(source, tmp_path):
    weights.save(source, tmp_path)
    with pytest.raises(UserError, match=r"GPT: there is no haed\.weight, which is to be transposed$"):
        weights.load(gpt(), tmp_path, transpose=["haed.weight"])


class Tied(Module):
    def __init__(self, tied=True):
        self.table, self.head = Embedding(7, 3), Embedding(7, 3)
        if tied:
            self.head.weight = self.table.weight


def test_two_tensors_go_to_one_parameter_if_they_are_equal(tmp_path):
    array = RNG.normal(size=(7, 3)).astype(np.float32)
    path = write(tmp_path / "a.safetensors", {"table.weight": array, "head.weight": array.astype(np.float64)})
    weights.load(model := Tied(), path)  # the second name of a tied parameter is known too
    np.testing.assert_array_equal(model.table.weight.array, array)
    write(path, {"table.weight": array, "head.weight": array + 1})
    with pytest.raises(UserError, match=r"table\.weight both are table\.weight, and differ$"):
        weights.load(Tied(), path)


def test_a_tensor_that_is_missing_because_it_is_tied_is_taken_from_the_other(tmp_path):
    weights.save(Tied().initialize(3), tmp_path)
    assert list(weights.Source(tmp_path).tensors) == ["table.weight"]
    tie = {"head.weight": "table.weight"}
    weights.load(model := Tied(tied=False), tmp_path, tied=tie)
    np.testing.assert_array_equal(model.table.weight.array, model.head.weight.array)
    weights.load(Tied(), tmp_path, tied=tie)
    weights.save(Tied(tied=False).initialize(3), tmp_path)
    weights.load(model := Tied(tied=False), tmp_path, tied=tie)  # the head that is there counts
    assert (model.table.weight.array != model.head.weight.array).any()


def test_a_head_tied_to_the_table_can_be_transposed(source, tmp_path):
    state = {name: array for name, array in source.state_dict().items() if name != "head.weight"}
    path = write(tmp_path / "a.safetensors", state)
    tie = {"head.weight": "token_embedding.weight"}
    weights.load(model := gpt(), path, tied=tie, transpose=["head.weight"])
    np.testing.assert_array_equal(model.head.weight.array, state["token_embedding.weight"].T)


def test_an_encoder_is_loaded_under_a_new_head(source, tmp_path):
    state = {name: array for name, array in source.state_dict().items() if not name.startswith("head.")}
    path = write(tmp_path / "a.safetensors", state | {"pooler.dense.weight": np.ones(3)})
    options = {"allow_missing": ["head"], "allow_unexpected": ["pooler."]}
    loaded = weights.load(model := gpt(), path, seed=5, **options)
    assert loaded.drawn == ("head.weight", "head.bias")
    assert loaded.ignored == ("pooler.dense.weight",)
    drawn = gpt().initialize(5).state_dict()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, drawn[name] if name.startswith("head.") else state[name])
    model.head.weight.array[:] = 2.0
    assert weights.load(model, path, seed=None, **options).drawn == ()
    assert (model.head.weight.array == 2.0).all()
    with pytest.raises(UserError, match=r"missing head\.weight, head\.bias; unexpected pooler\.dense\.weight$"):
        weights.load(gpt(), path, allow_missing=["hea"], allow_unexpected=["pool"])


def test_part_of_a_parameter_may_be_missing_too(source, tmp_path):
    arrays, names = foreign(source.state_dict()), table()
    del arrays["h.0.v.weight"]
    path = write(tmp_path / "a.safetensors", arrays)
    name = "blocks.0.attention.qkv.weight"
    loaded = weights.load(
        model := gpt(), path, names=names.ours, transpose=names.transposed, allow_missing=[name], seed=5
    )
    assert loaded.drawn == (name,)
    expected = gpt().initialize(5).state_dict()[name]
    expected[:, : C + KV] = source.state_dict()[name][:, : C + KV]
    np.testing.assert_array_equal(model.state_dict()[name], expected)


def test_frozen_parameters_are_loaded_too(source, tmp_path):
    weights.save(source, tmp_path)
    model = gpt()
    model.blocks[0].freeze()
    weights.load(model, tmp_path)
    same(model, source)
    weights.save(model, tmp_path / "again")
    weights.load(other := gpt(), tmp_path / "again")
    same(other, source)


def test_arrays_of_a_source_are_the_files_own_bytes(source, tmp_path):
    weights.save(source, tmp_path)
    opened = weights.Source(tmp_path)
    array = opened["head.weight"]
    assert not array.flags.writeable
    assert np.shares_memory(array, opened["head.weight"])
    model = gpt().initialize(1)
    model.head.freeze()
    model.head.weight.array = array  # read from the disk when it is needed
    model(np.zeros((1, 2), np.int64))
    assert model.head.weight.array is array


def test_a_save_replaces_what_an_earlier_one_left(source, tmp_path):
    for shard_bytes in (3000, 10**9, 6000, 3000):
        paths = weights.save(source, tmp_path, shard_bytes=shard_bytes)
        assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}
        weights.load(model := gpt(), tmp_path)
        same(model, source)


def test_pieces_that_leave_a_gap_are_not_written(tmp_path):
    model = Gated().initialize(1)
    names = {"gate.bias": Piece("b", into=(0, 5)), "up.bias": Piece("b", into=(6, 13))}
    with pytest.raises(UserError, match=r"^b: is written from parameters that do not lie one behind the other$"):
        weights.save(model, tmp_path, names=names)


def test_a_save_to_where_a_file_is_is_told(tmp_path):
    (tmp_path / "a").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="a: there is a file of that name"):
        weights.save(Gated().initialize(1), tmp_path / "a")
    with pytest.raises(UserError, match=r"^no dtype 'float8': it must be one of float64, float32, float16, bfloat16$"):
        weights.save(Gated().initialize(1), tmp_path / "b", dtype="float8")


def test_a_row_with_several_tensors_on_both_sides_is_refused():
    with pytest.raises(ValueError, match="a row of a NameTable has several tensors on one side only"):
        NameTable([Row(Fused(("a", "b"), (1, 2)), Fused(("c", "d"), (2, 1)))])
