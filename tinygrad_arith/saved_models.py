"""Models on disk, for programs: `tinygrad_arith.load` and `.save`.

A directory that `save` has written holds `config.json`, which says what model it is, and the weights beside it:

    {"format": 1, "tinygrad_arith": "0.1.0", "model": {"kind": "gpt", "vocabulary": 7, ...}}
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, get_type_hints

from . import __version__
from .backend import DtypePolicy, obstacle_to_cuda
from .files.reading import is_whole, read_json, reading, shown
from .files.writing import TEMPORARY_SUFFIX, Replacement
from .models.model import Model
from .models.registry import MODELS
from .ops import ShapeError
from .options.arguments import one_of, place, truth
from .options.errors import MachineError, UserError
from .options.kinds import check_keys
from .options.option import TYPE_WORDS, has_type
from .training.runs import CONFIG_FILE, load_run
from .weights import Source
from .weights import load as load_weights
from .weights.saving import SHARD_BYTES, shards_of, write_shards
from .weights.source import STEM

FORMAT = 1
LARGEST_SIZE = 2**24  # of a number in a model's configuration
DTYPES = ("float32", "float64", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")


def load(
    path: "str | os.PathLike[str]",
    *,
    device: str = "auto",
    dtype: str | None = None,
    gradients: bool = False,
    best: bool = False,
) -> Model:
    """A model from disk: of a run, or of a directory that `save` has written.

    device:    "cpu", "cuda", or "auto": the GPU if there is one that can be used, except for float64
    dtype:     "float32", "float64" or, on a GPU, "bfloat16"; default: that of the run, or float64 where the weights are
               stored so, and float32 otherwise
    gradients: True: to train it; the default is a model for inference, which takes half the memory
    best:      of a run, the checkpoint that did best at the goal of its task, and not the newest

    Raises UserError, one sentence, for what is no model, or a damaged one, or weights that do not fit it.
    """
    directory = place("path", path)
    dtype = None if dtype is None else one_of("dtype", dtype, DTYPES)
    device, best = one_of("device", device, DEVICES), truth("best", best)
    gradients = truth("gradients", gradients)
    values = read_config(directory)
    if "config" in values:
        chosen = choose(device, dtype)
        run = load_run(directory, "auto" if device == "auto" else chosen, best=best, gradients=gradients)
        return run.model if dtype is None else in_dtype(run.model, dtype, chosen, gradients)
    if best:
        raise UserError(f"{directory}: best=True is for runs, and this is none")
    source = Source(directory)
    model = model_of(values.get("model"), directory / CONFIG_FILE, source)
    dtype = dtype or ("float64" if {tensor.dtype for tensor in source.tensors.values()} == {"F64"} else "float32")
    chosen = choose(device, dtype)  # before the policy: without a GPU the package that has bfloat16 may be missing
    load_weights(model, source, policy=policy(dtype, gradients), device=chosen, gradients=gradients)
    return model


def save(
    model: Model,
    path: "str | os.PathLike[str]",
    *,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    overwrite: bool = False,
) -> None:
    """Writes a model into a directory of its own: `config.json` and `model.safetensors`, or several files of weights.

    dtype:       "float32", "float16", "bfloat16" or "float64"; default: that of the model, so that `load` gives back
                 the same bits
    shard_bytes: a model of more numbers than that gets several files
    overwrite:   whether a model that is there already is replaced

    A model that is there stays until the new one is written as a whole; `config.json` comes last: a directory without
    it is no model. Raises UserError for a model whose kind or options cannot be written, and for a directory that holds
    something else.
    """
    directory, overwrite = place("path", path), truth("overwrite", overwrite)
    values = {"format": FORMAT, "tinygrad_arith": __version__, "model": config_of(model)}
    shards = shards_of(model, dtype=dtype, shard_bytes=shard_bytes)
    if directory.exists():
        check_free(directory, overwrite)
    with Replacement(directory) as files:
        write_shards(files, STEM, shards)
        files.write_json(CONFIG_FILE, values)


def read_config(directory: Path) -> dict[str, Any]:
    """What the `config.json` of a run or of a model holds. Raises UserError where there is none."""
    if not directory.is_dir():
        raise UserError(f"{directory}: {'not a directory' if directory.exists() else 'there is no such directory'}")
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{directory}: neither a run nor a model: it has no {CONFIG_FILE}")
    with reading(path):
        values = read_json(path)
    if not isinstance(values, dict) or not {"config", "model"} & values.keys():
        raise UserError(f"{path}: neither of a run nor of a model that tinygrad_arith has written")
    if "config" not in values and not is_whole(values.get("format"), 1, FORMAT + 1):
        raise UserError(f"{path}: has the format {shown(values.get('format'))}, and this version reads {FORMAT}")
    return values


def check_free(directory: Path, overwrite: bool) -> None:
    """Raise UserError unless a model may be written into a directory: it is empty, or holds a model to be replaced."""
    if not directory.is_dir():
        raise UserError(f"{directory}: there is a file of that name")
    entries = sorted(entry.name for entry in directory.iterdir())
    unfinished = CONFIG_FILE not in entries and CONFIG_FILE + TEMPORARY_SUFFIX in entries  # a save that was killed
    found = [name for name in entries if not name.endswith(TEMPORARY_SUFFIX)]
    if not found:
        return
    if not unfinished and (CONFIG_FILE not in found or "config" in read_config(directory)):
        raise UserError(f"{directory}: not empty, and no saved model (it holds {found[0]}): choose another directory")
    if not overwrite:
        raise UserError(f"{directory}: already holds a model: choose another directory, or overwrite=True")


def config_of(model: Model) -> dict[str, Any]:
    """A model's kind and the fields of its configuration, ready for JSON."""
    kind, name = type(model), type(model).__name__
    kinds = {place: kind for kind, place in MODELS.places.items()}
    known = kinds.get(f"{kind.__module__}:{kind.__qualname__}")
    config: Any = getattr(model, "config", None)
    if known is None or not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise UserError(f"a {name} cannot be saved as a model: it is none of the kinds {', '.join(MODELS.places)}")
    if type(config) is not config_class(kind):
        raise UserError(f"a {name} cannot be saved as a model: its config is a {type(config).__name__}")
    return {"kind": known, **dataclasses.asdict(config)}


def config_class(model: type[Model]) -> Any:
    """The class of a model's configuration: that of the argument `config` that it is made with."""
    return get_type_hints(model.__init__).get("config")


def model_of(values: Any, path: Path, source: Source) -> Model:
    """The model that a `config.json` tells of, without arrays. Raises UserError for what is no such configuration."""
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise UserError(f"{path}: its model is no table with a kind")
    try:
        kind = MODELS.load(values["kind"])
    except ValueError:
        raise UserError(f"{path}: no model of the kind {shown(values['kind'])}: {', '.join(MODELS.places)}") from None
    given = {name: value for name, value in values.items() if name != "kind"}
    config = config_class(kind)
    check_keys(given, tuple(field.name for field in dataclasses.fields(config)), str(path), "model.")
    check_fields(given, config, path)
    if given.get("layers", 0) > len(source.tensors):
        raise UserError(f"{path}: model.layers = {given['layers']}: more than the {len(source.tensors)} tensors there")
    try:
        return kind(config(**given))
    except (ValueError, TypeError, KeyError, ShapeError, MemoryError, OverflowError, ZeroDivisionError) as error:
        raise UserError(f"{path}: tells of no {values['kind']} that can be made: {error}") from error


def check_fields(given: dict[str, Any], config: Any, path: Path) -> None:
    """Raise UserError unless a configuration's fields are all there that it needs, and of the right types."""
    types = get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name not in given:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise UserError(f"{path}: lacks model.{field.name}")
            continue
        value, wanted = given[field.name], types[field.name]
        if not has_type(value, wanted):
            raise UserError(f"{path}: model.{field.name} = {shown(value)}: must be {TYPE_WORDS[wanted]}")
        if wanted is int and not 0 <= value <= LARGEST_SIZE:
            raise UserError(f"{path}: model.{field.name} = {value}: must be 0 to {LARGEST_SIZE}")


def choose(device: str, dtype: str | None) -> str:
    """The device to compute on, "cpu" or "cuda". Raises MachineError where it is not there."""
    obstacle = None if device == "cpu" else obstacle_to_cuda()
    if device == "cuda" and obstacle:
        raise MachineError(f'device="cuda": {obstacle}')
    chosen = "cpu" if device == "cpu" or obstacle or (device == "auto" and dtype == "float64") else "cuda"
    if dtype == "bfloat16" and chosen == "cpu":
        raise MachineError(f'dtype="bfloat16": computes on a GPU only{f", and {obstacle}" if obstacle else ""}')
    return chosen


def policy(dtype: str, gradients: bool) -> DtypePolicy:
    """The policy of a dtype: for inference in bfloat16 there is no copy in more bits."""
    named = DtypePolicy.named(dtype)
    return named if gradients else DtypePolicy(named.compute, named.compute, named.compute)


def in_dtype(model: Model, dtype: str, device: str, gradients: bool) -> Model:
    """The same model with its weights in another dtype."""
    state = model.state_dict()
    model.allocate(policy(dtype, gradients), device, gradients)
    model.load_state_dict(state)
    return model
