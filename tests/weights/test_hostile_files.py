"""Files of weights that are damaged or a stranger's: one sentence each, and nothing outside their directory is read."""

import contextlib
import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tinygrad_arith import weights
from tinygrad_arith.files.reading import LARGEST_JSON
from tinygrad_arith.nn import Linear
from tinygrad_arith.options.errors import UserError

ENTRY = {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]}


def file_of(header, data=bytes(60), length=None):
    """A safetensors file with this header, a table or its bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


HOSTILE = {
    "empty": (b"", "it has 0 bytes, less than any"),
    "seven bytes": (b"1234567", "it has 7 bytes, less than any"),
    "a header beyond the file": (file_of({"weight": ENTRY}, length=10_000), "its header would be 10,000 bytes long"),
    "a header of 2^64 bytes": (b"\xff" * 8 + b"{}", "its header would be 18,446,744,073,709,551,615 bytes long"),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "codec can't decode"),
    "half a character": (file_of(b'{"\\ud800": {}}'), "a text that is not UTF-8"),
    "not JSON": (file_of(b"{"), "Expecting property name"),
    "no table": (file_of([1]), "its header is no table"),
    "nested deeply": (file_of(b"[" * 200_000), "nested too deeply"),
    "NaN": (file_of(b'{"weight": NaN}'), "it holds NaN"),
    "a huge integer": (file_of(b'{"weight": ' + b"9" * 5000 + b"}"), "a whole number of 5,000 digits"),
    "a name twice": (file_of(b'{"a": 1, "weight": 2, "weight": 3}'), "it holds the name 'weight' twice"),
    "an entry that is no table": (file_of({"weight": 5}), "'weight' is not a table of dtype, shape and data_offsets"),
    "an entry without a shape": (file_of({"weight": {"dtype": "F32"}}), "'weight' is not a table of dtype, shape"),
    "metadata that are no texts": (file_of({"__metadata__": {"a": 1}, "weight": ENTRY}), "is no table of texts"),
    "truncated": (file_of({"weight": ENTRY}, bytes(59)), "its tensors have 60 bytes, and 59 are there"),
    "bytes behind the last tensor": (file_of({"weight": ENTRY}, bytes(64)), "have 60 bytes, and 64 are there"),
    "nothing in it but bytes": (file_of({}), "its tensors have 0 bytes, and 60 are there"),
    **{
        f"dtype {dtype!r}": (file_of({"weight": ENTRY | {"dtype": dtype}}), "has the dtype .*, which there is not")
        for dtype in ("f32", "", 5, None, ["F32"], "\n" * 1000)
    },
    **{
        f"shape {shape!r}": (
            file_of({"weight": ENTRY | {"shape": shape}}),
            "has the shape .*, not a list of at most 16 sizes",
        )
        for shape in (5, None, [-3, -5], [3.0, 5], [True, 15], ["3", "5"], [1] * 17, {"0": 3})
    },
    "a shape that is too large": (
        file_of({"weight": ENTRY | {"shape": [2**62, 2**62]}}),
        "has .* bytes, not from 0 to 60",
    ),
    "a shape without axes": (file_of({"weight": ENTRY | {"shape": []}}), "has 4 bytes, not from 0 to 60"),
    "a shape of nothing": (file_of({"weight": ENTRY | {"shape": [0, 5]}}), "has 0 bytes, not from 0 to 60"),
    "a shape of nothing that is too large": (
        file_of({"weight": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}, b""),
        r"has the shape \[0, 4611686018427387904, 4611686018427387904\], which is too large",
    ),
    "half a byte": (
        file_of({"weight": {"dtype": "F4", "shape": [1], "data_offsets": [0, 0]}}, b""),
        r"'weight', F4 \[1\], has 0 bytes, not from 0 to 0",
    ),
    **{
        f"offsets {offsets!r}": (file_of({"weight": ENTRY | {"data_offsets": offsets}}), "not two whole numbers")
        for offsets in (60, [0], [0, 60, 61], [-60, 0], [0.0, 60.0], ["0", "60"], None, [True, 61])
    },
    "offsets the other way round": (file_of({"weight": ENTRY | {"data_offsets": [60, 0]}}), "not from 60 to 0"),
    "offsets beyond the file": (file_of({"weight": ENTRY | {"data_offsets": [60, 120]}}), "leaves a gap before it"),
    "a gap at the beginning": (
        file_of({"weight": ENTRY | {"data_offsets": [4, 64]}}, bytes(64)),
        "leaves a gap before it",
    ),
    "an overlap": (
        file_of({"weight": ENTRY, "b": {"dtype": "F32", "shape": [5], "data_offsets": [40, 60]}}),
        "'b' overlaps what is before it",
    ),
    "the same bytes twice": (file_of({"weight": ENTRY, "b": ENTRY}), "'b' overlaps what is before it"),
    "another format": (b"PK\x03\x04" + bytes(100), "its header would be"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_one_sentence(tmp_path, data, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    for place in (path, tmp_path):
        with pytest.raises(UserError, match=f"^{path}: not a safetensors file: .*{message}") as raised:
            weights.load(Linear(3, 5, bias=False), place)
        assert len(str(raised.value)) < 500
        assert "\n" not in str(raised.value)


def test_a_header_that_is_too_long_is_not_read(tmp_path):
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write((LARGEST_JSON + 1).to_bytes(8, "little"))
        file.truncate(LARGEST_JSON + 100)  # a hole
    with pytest.raises(UserError, match=r"its header is 16,777,217 bytes long, and at most 16,777,216 are read$"):
        weights.Source(path)


@pytest.mark.parametrize("dtype", ["C64", "F8_E4M3", "F4", "I64", "BOOL"])
def test_a_dtype_that_holds_no_weights_is_told(tmp_path, dtype):
    bits = weights.dtypes.BITS[dtype]
    entry = {"dtype": dtype, "shape": [4, 2], "data_offsets": [0, bits]}
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of({"weight": entry}, bytes(bits)))
    with pytest.raises(UserError, match=f"weight is {dtype}, and not one of F64, F32, F16, BF16$"):
        weights.load(Linear(4, 2, bias=False), path)
    assert weights.load(Linear(4, 2, bias=False), path, names={"weight": None}, allow_missing=[""]).dropped == (
        "weight",
    )
    if dtype in ("C64", "F8_E4M3", "F4"):
        with pytest.raises(UserError, match=f"'weight' is {dtype}, which is not read here$"):
            weights.Source(path)["weight"]


def test_names_that_cannot_be_shown_are_told_in_one_line(tmp_path):
    entries, end = {}, 0
    for number in range(3000):
        entries[f"x\n{number}" + "y" * 300] = {"dtype": "F32", "shape": [1], "data_offsets": [end, end := end + 4]}
    (tmp_path / "model.safetensors").write_bytes(file_of(entries, bytes(end)))
    with pytest.raises(UserError, match=r"and 2960 more$") as raised:
        weights.load(Linear(3, 5), tmp_path)
    assert "\n" not in str(raised.value)


def test_an_empty_tensor_and_one_without_axes_are_no_damage(tmp_path):
    save_file({"empty": np.zeros((0, 3), np.float32), "scalar": np.array(2.5, np.float32)}, tmp_path / "a.safetensors")
    source = weights.Source(tmp_path)
    assert source["empty"].shape == (0, 3)
    assert source["scalar"].shape == ()
    assert source["scalar"] == 2.5


@pytest.mark.parametrize("kind", ["missing", "a directory", "a pipe", "a broken link"])
def test_what_is_no_file_is_told(tmp_path, kind):
    path = tmp_path / "model.safetensors"
    if kind == "a directory":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)  # to open it would wait forever
    elif kind == "a broken link":
        path.symlink_to(tmp_path / "nowhere")
    if kind == "a directory":
        with pytest.raises(UserError, match=f"^{path}: has no file"):
            weights.Source(path)
    else:
        with pytest.raises(UserError, match=f"^{path}: (there is no such file|not a file)$"):
            weights.Source(path)
    with pytest.raises(UserError, match=f"^{tmp_path}"):
        weights.Source(tmp_path)


def test_a_file_without_permission_is_told(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of({"weight": ENTRY}))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=f"^{path}: cannot be read: Permission denied$"):
        weights.Source(path)


def test_a_directory_with_several_files_asks_for_one(tmp_path):
    for name in "ab":
        save_file({"weight": np.zeros(3)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError, match=r"has 2 files \*\.safetensors: name one of them$"):
        weights.Source(tmp_path)
    with pytest.raises(UserError, match=r"has no file \*\.safetensors$"):
        weights.Source(tmp_path.parent)


@pytest.fixture
def sharded(tmp_path):
    """A directory with a model in shards; beside it a file that is none of its business."""
    directory = tmp_path / "model"
    weights.save(Linear(3, 5).initialize(1), directory, shard_bytes=1)
    save_file({"weight": np.zeros((3, 5), np.float32)}, tmp_path / "outside.safetensors")
    return directory


def rewrite(directory, change):
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    change(index)
    path.write_text(json.dumps(index), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "file",
    ["../outside.safetensors", "/etc/passwd", "..", ".", "", "a/../../outside.safetensors", "..\\outside.safetensors",
     "C:outside.safetensors", "model-00001-of-00002.safetensors\0", "./model-00001-of-00002.safetensors"],
)  # fmt: skip
def test_an_index_that_leads_elsewhere_is_refused_and_nothing_is_read(sharded, file, monkeypatch):
    path = rewrite(sharded, lambda index: index["weight_map"].update(weight=file))
    read = []
    monkeypatch.setattr("tinygrad_arith.weights.source.open_file", read.append)
    with pytest.raises(UserError, match=f"^{path}: names the file .*, which is not one beside it$"):
        weights.Source(sharded)
    assert not read


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index["weight_map"].update(weight="gone"), "names the file 'gone', which is missing$"),
        (lambda index: index["weight_map"].update(weight="x" * 5000), "names the file 'x.*x', which is missing$"),
        (
            lambda index: index["weight_map"].update(other="model-00001-of-00002.safetensors"),
            "says that 'other' is in model-00001-of-00002.safetensors, which does not have it$",
        ),
        (lambda index: index.update(weight_map=None), "its weight_map is no table of texts$"),
        (lambda index: index.update(weight_map={"weight": 5}), "its weight_map is no table of texts$"),
        (lambda index: index.update(weight_map=[]), "its weight_map is no table of texts$"),
        (lambda index: index.pop("weight_map"), "its weight_map is no table of texts$"),
    ],
)  # fmt: skip
def test_a_strange_index_is_told(sharded, change, message):
    path = rewrite(sharded, change)
    with pytest.raises(UserError, match=f"^{path}: .*{message}"):
        weights.Source(sharded)


def test_a_tensor_that_the_index_does_not_list_is_unexpected(sharded):
    shard = sharded / "model-00001-of-00002.safetensors"
    arrays = load_file(shard)
    save_file(arrays | {"hidden": np.ones(3, np.float32)}, shard)
    with pytest.raises(UserError, match=r"does not fit this Linear: unexpected hidden$"):
        weights.load(Linear(3, 5), sharded)
    assert weights.load(Linear(3, 5), sharded, allow_unexpected=["hidden"]).ignored == ("hidden",)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'{"a": 1, "a": 2}'])
def test_an_index_that_is_no_table_is_told(sharded, text):
    path = sharded / "model.safetensors.index.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=f"^{path}: not an index of safetensors files"):
        weights.Source(sharded)


def test_a_shard_that_is_damaged_or_missing_is_named(sharded):
    shard = sharded / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"^{shard}: not a safetensors file"):
        weights.load(Linear(3, 5), sharded)
    shard.unlink()
    with pytest.raises(UserError, match=r"which is missing$"):
        weights.load(Linear(3, 5), sharded)


def test_every_byte_of_a_header_may_be_any_other(tmp_path):
    """A file with one byte changed is read, or told; random bytes as well."""
    rng = np.random.default_rng(0)
    path = tmp_path / "model.safetensors"
    weights.save(Linear(3, 5).initialize(1), path)
    whole = path.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    for place in range(length):
        changed = bytearray(whole)
        changed[place] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(UserError):
            weights.load(Linear(3, 5), path)
    for _ in range(300):
        path.write_bytes(rng.bytes(int(rng.integers(0, 200))))
        with pytest.raises(UserError):
            weights.load(Linear(3, 5), path)
