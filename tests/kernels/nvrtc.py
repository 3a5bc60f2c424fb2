"""NVIDIA's run-time compiler out of its wheel, by ctypes: compiles without a GPU, a driver or CuPy."""

import ctypes
import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

INSTALL = "pip install -e '.[kernels]'"


class Resources(NamedTuple):
    """What the assembler says a kernel takes."""

    registers: int
    stack: int  # bytes of local memory for arrays that are indexed at run time
    spilled: int  # bytes of local memory for what did not fit into registers


class Compiled(NamedTuple):
    """The compiler's messages; PTX and resources of every kernel if it succeeded."""

    succeeded: bool
    log: str
    ptx: str
    resources: dict[str, Resources]


def _wheel_files(pattern: str) -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    roots = spec.submodule_search_locations if spec else None
    return sorted(path for root in roots or () for path in Path(root).glob(pattern))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiler, None where its wheel is not installed."""
    candidates = _wheel_files("*/lib/libnvrtc.so.*") + _wheel_files("*/bin/**/nvrtc64_*_0.dll")
    candidates = [path for path in candidates if "alt" not in path.name]
    return ctypes.CDLL(str(candidates[-1])) if candidates and _headers() else None


@functools.cache
def _headers() -> list[Path]:
    """The directories of cuda_bf16.h and its kind."""
    return list(dict.fromkeys(path.parent for path in _wheel_files("*/include/cuda_bf16.h")))


def compile_program(text: str, options: tuple[str, ...], target: str) -> Compiled:
    """Compiles as CuPy does, for a target such as "sm_90a"."""
    nvrtc = library()
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"program.cu", 0, None, None))
    added = ("-ftz=true", "-default-device", f"-arch={target}", "-Xptxas=-v", *(f"-I{path}" for path in _headers()))
    # CuPy's bundled CUDA C++ headers are left out: no kernel may need them
    words = [option.encode() for option in options + added]
    failed = nvrtc.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
    log = _text_of(nvrtc, program, "ProgramLog")
    ptx = "" if failed else _text_of(nvrtc, program, "PTX")
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(not failed, log, ptx, _resources_in(log))


def _text_of(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    _check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(max(size.value, 1))
    _check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.value.decode()


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"NVRTC returned {status}")


def _resources_in(log: str) -> dict[str, Resources]:
    """Of every kernel: the log has a part for each, which begins with its name."""
    found = {}
    for part in log.split("Compiling entry function ")[1:]:
        name = re.match(r"'(\w+)'", part)[1]
        # the first figures of the part are the kernel's own; functions that were not inlined follow
        stack, stores, loads = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", part).groups()
        registers = re.search(r"Used (\d+) registers", part)[1]
        found[name] = Resources(int(registers), int(stack), int(stores) + int(loads))
    return found
