"""Every kernel compiles from Ampere to Blackwell, and nothing that it holds in registers falls out of them.

No GPU is needed, and no CuPy: only NVIDIA's run-time compiler, from its wheel.
"""

import importlib
import pkgutil
import re

import nvrtc
import pytest

import tinygrad_arith.cuda
from tinygrad_arith.cuda.source import KernelError, compile_message, kernels_directory, with_included

TARGETS = {80: "sm_80", 86: "sm_86", 89: "sm_89", 90: "sm_90a", 100: "sm_100", 120: "sm_120"}
ALWAYS = (80, 90)
KNOWN_SPILLS: dict[str, int] = {}  # kernel -> bytes, where it was measured that fewer spills cost more time


def all_builds():
    """The representatives that the modules of cuda/ name, with the module's name."""
    for found in pkgutil.iter_modules(tinygrad_arith.cuda.__path__):
        module = importlib.import_module(f"tinygrad_arith.cuda.{found.name}")
        yield from ((found.name, build) for build in getattr(module, "BUILDS", ()))


def targets_of(build, number):
    """Ampere's and Hopper's targets, for which every kernel is compiled, and one of the others, which take turns."""
    possible = [arch for arch in TARGETS if build.least_arch <= arch < build.below_arch]
    others = [arch for arch in possible if arch not in ALWAYS]
    return [arch for arch in possible if arch in ALWAYS or arch == others[number % len(others)]]


BUILDS = list(all_builds())
CASES = [
    pytest.param(build, arch, id=f"{build}-{TARGETS[arch]}".replace(" ", "-"))
    for number, build in enumerate(dict.fromkeys(build for _, build in BUILDS))
    for arch in targets_of(build, number)
]
needs_compiler = pytest.mark.skipif(nvrtc.library() is None, reason=f"NVRTC is not installed: {nvrtc.INSTALL}")


@needs_compiler
@pytest.mark.parametrize(("build", "arch"), CASES)
def test_compiles_without_spills_and_takes_what_the_launcher_checks(build, arch):
    compiled = nvrtc.compile_program(build.program(), build.options(80), TARGETS[arch])
    assert compiled.succeeded, compile_message(build, arch, compiled.log)
    assert compiled.resources, f"no kernel in {build}"
    for kernel, resources in compiled.resources.items():
        known = KNOWN_SPILLS.get(kernel, 0)
        assert resources.spilled <= known, f"{kernel} spills: {resources}"
        assert resources.stack <= known, f"{kernel} holds an array in memory, not in registers: {resources}"
        parameters = build.parameters(kernel)
        assert parameters is not None, f"the launcher cannot read the parameters of {kernel}: write them plainly"
        widths = [parameter_bytes(parameter) for parameter in parameters]
        for declared, compiled_width in zip(widths, widths_in_ptx(compiled.ptx, kernel), strict=True):
            assert declared in (None, compiled_width), f"{kernel}: {parameters}"


def parameter_bytes(parameter):
    """How many bytes the launcher passes; None where it passes a struct."""
    if parameter.pointer:
        return 8
    return parameter.dtype.itemsize if parameter.dtype is not None else None


def widths_in_ptx(ptx, kernel):
    """How many bytes each parameter of the compiled kernel has."""
    (listed,) = re.findall(rf"\.entry {kernel}\((.*?)\)", ptx, re.DOTALL)
    parts = re.findall(r"\.param (?:\.align \d+ )?\.[bufs](\d+)[^,\[]*(?:\[(\d+)\])?", listed)
    return [int(bits) // 8 * int(count or 1) for bits, count in parts]


def test_every_source_is_compiled_here():
    compiled = {file for _, build in BUILDS for file in with_included(build.file)}
    assert {path.name for path in kernels_directory().glob("*.cu*")} <= compiled | {"common.cuh"}


@needs_compiler
def test_a_wrong_kernel_is_told_with_file_and_line(tmp_path, monkeypatch):
    from tinygrad_arith.cuda import source

    (tmp_path / "wrong.cu").write_text(
        '#include "wrong.cuh"\nextern "C" __global__ void wrong(int n) {\n  n = m;\n}\n', encoding="utf-8"
    )
    (tmp_path / "wrong.cuh").write_text("inline int twice(int n) { return 2 * n }\n", encoding="utf-8")
    monkeypatch.setattr(source, "kernels_directory", lambda: tmp_path)
    build = source.Build("wrong.cu", (("HEAD_SIZE", 64),))
    compiled = nvrtc.compile_program(build.program(), build.options(80), "sm_80")
    message = compile_message(build, 80, compiled.log)
    assert not compiled.succeeded
    assert message.startswith("wrong.cu HEAD_SIZE=64 does not compile for compute capability 8.0")
    assert 'wrong.cu(3): error: identifier "m" is undefined' in message
    assert re.search(r"wrong\.cuh\(1\): error: expected a \";\"", message)
    with pytest.raises(KernelError, match=r"there is no missing\.cu"):
        source.Build("missing.cu").program()
