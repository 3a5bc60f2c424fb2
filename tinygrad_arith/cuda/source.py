"""Raw CUDA sources as Python callables: compiled at first use, and launched only with arguments that fit.

CUDA trusts whoever launches a kernel: a number of the wrong width, a view with strides, an argument too few are no
errors to it but wrong results. So every launch is checked against the kernel's own text, here and nowhere else.
docs/cuda.md lists the traps.
"""

import functools
import hashlib
import importlib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ..backend.devices import INSTALL
from .signatures import Parameter, kernels_in, parameters_of

SHOWN_MESSAGES = 5  # of the compiler; what follows is mostly caused by the first
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
MOST_THREADS = (1024, 1024, 64)
FIRST_SPECIFIC_ARCH = 90  # from here on a chip has instructions that only its own target knows: sm_90a, sm_100a
ELEMENTS = {"f32": "float", "bf16": "__nv_bfloat16"}  # values of the macro ELEMENT, see kernels/common.cuh
PYTHON_NUMBERS = (int, float, bool)
NULL = np.uint64(0)  # a null pointer by value; CuPy takes None for no argument at all


class KernelError(RuntimeError):
    """A kernel that does not compile, or a launch that would have gone wrong."""


class _LazyCupy:
    """`cupy`, imported when something of it is first used, so that this package can be imported without a GPU."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_import_cupy(), name)


@functools.cache
def _import_cupy() -> Any:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise KernelError(f"CuPy is not installed; install it with: {INSTALL}") from error


cupy: Any = _LazyCupy()


def current_device() -> int:
    """Which of several GPUs is computed on; 0 where there are not several, or nothing of CuPy has been used yet."""
    return 0 if "cupy" not in sys.modules or _device_count() < 2 else cupy.cuda.runtime.getDevice()


@functools.cache
def _device_count() -> int:
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:  # CuPy is there, and no GPU
        return 0


def kernels_directory() -> Path:
    """Where the sources lie: inside the package in a wheel, at the root of the repository in a checkout."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "kernels"
    return in_wheel if in_wheel.is_dir() else package.parent / "kernels"


@functools.cache
def read_source(file: str) -> str:
    """The text of a file of kernels/. Raises KernelError."""
    path = kernels_directory() / file
    if not path.is_file():
        raise KernelError(f"there is no {file} in {path.parent}")
    return path.read_text(encoding="utf-8")


def with_included(file: str) -> list[str]:
    """The name of the file and of every file of kernels/ that it includes, directly or not, each once."""
    found = [file]
    for name in found:  # grows while it is walked
        included = re.findall(r'^\s*#\s*include\s+"([^"]+)"', read_source(name), re.MULTILINE)
        found += [other for other in dict.fromkeys(included) if other not in found]
    return found


@dataclass(frozen=True)
class Build:
    """A file of kernels/ with values for its macros; compiled once for each device.

    file:       its name, such as "attention_mma.cu"
    defines:    macros and their values: (("HEAD_SIZE", 64), ("ELEMENT", "bf16"))
    least_arch: the compute capability it needs, times ten
    below_arch: the first one for which there is another build in its place
    own_target: a device of exactly `least_arch`, 90 or above, compiles for the instructions of that chip alone
                (sm_90a: wgmma, setmaxnreg). NVRTC must be of version 12.9 or later then
    """

    file: str
    defines: tuple[tuple[str, str | int], ...] = ()
    least_arch: int = 80
    below_arch: int = 1000
    own_target: bool = False

    def kernel(self, name: str) -> "Kernel":
        """A kernel of this build by its name; compiled at the first launch on each device."""
        return _kernel(self, name)

    def texts(self) -> list[str]:
        """The file and all that it includes of kernels/."""
        return [read_source(name) for name in with_included(self.file)]

    def program(self) -> str:
        """What the compiler gets: the macros, the file, and a digest of the files that it includes.

        Macros are lines of the text, not options: CuPy compiles an empty program for every new set of options.
        The digest is there because CuPy's cache on disk is keyed by this text alone and would not see that an
        included file has changed. `#line` makes the compiler's messages point into the file.
        """
        macros = "".join(f"#define {name} {value}\n" for name, value in self.defines)
        text, *included = self.texts()
        digest = hashlib.sha256("".join(included).encode()).hexdigest()
        return f'{macros}#line 1 "{self.file}"\n{text}\n// included: {digest}\n'

    def options(self, arch: int) -> tuple[str, ...]:
        """The compiler's options on a device of a compute capability (times ten); CuPy adds -arch and -ftz=true.

        Its -arch=sm_90 is then the second; NVRTC from 12.9 on lets sm_90a win, older ones refuse two.
        """
        is_own = self.own_target and arch == self.least_arch >= FIRST_SPECIFIC_ARCH
        return ("--std=c++17", f"-I{kernels_directory()}", *((f"-arch=sm_{arch}a",) if is_own else ()))

    def parameters(self, kernel: str) -> list[Parameter] | None:
        """The parameters of a kernel as the source declares them, None where it does not do so plainly."""
        macros = {name: str(value) for name, value in self.defines}
        return parameters_of(self.texts(), kernel, {**macros, "element": ELEMENTS[macros.get("ELEMENT", "f32")]})

    def __str__(self) -> str:
        return " ".join([self.file, *(f"{name}={value}" for name, value in self.defines)])


def compile_message(build: Build, arch: int, log: str) -> str:
    """The compiler's first errors, each with file and line, and the line of code as the compiler quotes it."""
    errors = re.findall(r"^\S.*\(\d+\): (?:catastrophic )?error.*(?:\n(?!\S.*\(\d+\):).+)*", log, re.MULTILINE)
    shown = "\n".join(errors[:SHOWN_MESSAGES]) or log.strip()[:2000]
    more = f"\n... and {len(errors) - SHOWN_MESSAGES} more" if len(errors) > SHOWN_MESSAGES else ""
    return f"{build} does not compile for compute capability {arch / 10}:\n{shown}{more}"


class Strided(NamedTuple):
    """An array whose strides the kernel is told, so that it need not be contiguous."""

    array: Any


def strided(array: Any) -> Strided:
    """Marks an array that need not be contiguous, for a kernel that gets its strides as arguments of their own."""
    return Strided(array)


@dataclass
class _Loaded:
    """A kernel on one device, and what bounds its launches there."""

    function: Any
    device: int
    most_threads: int  # in a block: fewer than the device's if the kernel needs many registers
    most_shared: int  # bytes of dynamic shared memory that can be had
    granted_shared: int  # bytes of it that can be had without asking: 48 KiB until the limit is raised


@dataclass(eq=False)
class Kernel:
    """A kernel to launch: `kernel(grid, block, *arguments, shared=0)`."""

    build: Build
    name: str
    _on_device: dict[int, _Loaded] = field(default_factory=dict, repr=False)

    def __call__(self, grid: Any, block: Any, *arguments: Any, shared: int = 0) -> None:
        """Launches on the current stream and does not wait. Without blocks nothing is launched.

        grid, block: numbers of blocks and of threads, each an int or a tuple of up to three
        arguments:   C-contiguous CuPy arrays; `strided(array)`; None for a null pointer; NumPy scalars of the very
                     type that the kernel declares; Python numbers, which become that type (int32 or float32 where
                     the source does not tell)
        shared:      bytes of dynamic shared memory

        Raises KernelError.
        """
        device = cupy.cuda.runtime.getDevice()
        loaded = self._on_device.get(device) or self._load(device)
        grid, block = _triple(grid), _triple(block)
        if 0 in grid:
            return  # an empty array; CuPy would launch one block
        self._check_extents(grid, block, loaded)
        if shared > loaded.granted_shared:
            self._raise_shared(shared, loaded)
        values = self._convert(arguments, device)
        try:
            loaded.function(grid, block, values, shared_mem=shared)
        except cupy.cuda.driver.CUDADriverError as error:
            self._fail(f"{error}. An earlier kernel may be the cause: CUDA_LAUNCH_BLOCKING=1 tells which", error)

    @functools.cached_property
    def parameters(self) -> list[Parameter] | None:
        """As `Build.parameters`."""
        return self.build.parameters(self.name)

    @property
    def attributes(self) -> dict[str, int]:
        """Registers, local bytes (spills), shared bytes, ... on the current device, as CuPy names them."""
        device = cupy.cuda.runtime.getDevice()
        return (self._on_device.get(device) or self._load(device)).function.attributes

    def _fail(self, message: str, cause: BaseException | None = None) -> NoReturn:
        raise KernelError(f"{self.name} ({self.build}): {message}") from cause

    def _load(self, device: int) -> _Loaded:
        """Compiles for the device, or takes what CuPy has kept on disk."""
        properties = cupy.cuda.Device(device)
        arch = int(properties.compute_capability)
        if arch < self.build.least_arch:
            self._fail(f"needs compute capability {self.build.least_arch / 10}; device {device} has {arch / 10}")
        function = self._compile(arch)
        most_shared = properties.attributes["MaxSharedMemoryPerBlockOptin"] - function.shared_size_bytes
        granted = function.max_dynamic_shared_size_bytes
        loaded = _Loaded(function, device, function.max_threads_per_block, most_shared, granted)
        self._on_device[device] = loaded
        return loaded

    def _compile(self, arch: int) -> Any:
        module = cupy.RawModule(code=self.build.program(), options=self.build.options(arch))
        try:
            function = module.get_function(self.name)
            function.kernel  # noqa: B018 -- looks the name up now, where a failure can be explained
        except cupy.cuda.compiler.CompileException as error:
            raise KernelError(compile_message(self.build, arch, str(error))) from None
        except cupy.cuda.driver.CUDADriverError as error:
            known = ", ".join(kernels_in(self.build.texts())) or "none in plain sight"
            self._fail(f"{error}; kernels of the file: {known}", error)
        return function

    def _check_extents(self, grid: tuple[int, ...], block: tuple[int, ...], loaded: _Loaded) -> None:
        for what, extent, most in (("grid", grid, MOST_BLOCKS), ("block", block, MOST_THREADS)):
            if min(extent) < 1 or extent[0] > most[0] or extent[1] > most[1] or extent[2] > most[2]:
                self._fail(f"{what} {extent}; it must be from (1, 1, 1) to {most}")
        if block[0] * block[1] * block[2] > loaded.most_threads:
            self._fail(f"block {block}; with its registers at most {loaded.most_threads} threads fit")

    def _raise_shared(self, shared: int, loaded: _Loaded) -> None:
        """More than 48 KiB a block are had only after the kernel's limit has been raised."""
        if shared > loaded.most_shared:
            self._fail(f"{shared} bytes of shared memory; device {loaded.device} has {loaded.most_shared} for a block")
        loaded.function.max_dynamic_shared_size_bytes = shared
        loaded.granted_shared = shared

    def _convert(self, arguments: tuple, device: int) -> tuple:
        """The arguments as CuPy takes them, each checked against its parameter."""
        parameters = self.parameters
        if parameters is None:
            parameters = [Parameter(f"argument {i}", "?", _is_address(x), None) for i, x in enumerate(arguments)]
        if len(parameters) != len(arguments):
            names = ", ".join(parameter.name for parameter in parameters)
            self._fail(f"{len(arguments)} arguments for {len(parameters)} parameters: {names}")
        ndarray = cupy.ndarray
        return tuple(
            self._address(parameter, argument, device, ndarray)
            if parameter.pointer
            else self._number(parameter, argument)
            for parameter, argument in zip(parameters, arguments, strict=True)
        )

    def _address(self, parameter: Parameter, argument: Any, device: int, ndarray: Any) -> Any:
        name, declared, _, dtype = parameter
        if argument is None:
            return NULL
        array: Any = argument.array if isinstance(argument, Strided) else argument
        if not isinstance(array, ndarray):
            self._fail(f"{name}: {declared} takes a CuPy array or None, not {_described(array)}")
        if dtype is not None and array.dtype != dtype:
            self._fail(f"{name}: {declared} takes {dtype}, not {array.dtype}")
        if array.size and array.data.device_id != device:
            self._fail(f"{name} lies on device {array.data.device_id}, the launch is on device {device}")
        if array is argument and not array.flags.c_contiguous:
            self._fail(
                f"{name} of shape {array.shape} is not contiguous (strides {array.strides} bytes): the kernel would "
                "read other elements. strided(array) is for a kernel that takes strides"
            )
        return array

    def _number(self, parameter: Parameter, argument: Any) -> Any:
        name, declared, _, dtype = parameter
        if type(argument) not in PYTHON_NUMBERS:
            return self._numpy_value(parameter, argument)
        if dtype is None:
            dtype = np.dtype(np.float32 if isinstance(argument, float) else np.int32)
        if isinstance(argument, float) and dtype.kind != "f":
            self._fail(f"{name}: {declared} takes a whole number, not {argument}")
        try:
            return dtype.type(argument)
        except OverflowError:
            self._fail(f"{name}: {argument} does not fit {dtype}")

    def _numpy_value(self, parameter: Parameter, value: Any) -> Any:
        """A NumPy scalar, or an array of one void element: a struct by value, such as a tile's descriptor."""
        name, declared, _, dtype = parameter
        struct = isinstance(value, np.ndarray) and value.dtype.kind == "V" and value.size == 1
        if not (struct or isinstance(value, np.generic)):
            self._fail(f"{name}: {declared} takes a number, not {_described(value)}")
        if dtype is not None and value.dtype != dtype:
            self._fail(f"{name}: {declared} takes {dtype}, not a NumPy {value.dtype}")
        return value


@functools.cache
def _kernel(build: Build, name: str) -> Kernel:
    return Kernel(build, name)


def _triple(extent: Any) -> tuple[int, ...]:
    sizes = tuple(map(int, extent)) if isinstance(extent, (tuple, list)) else (int(extent),)
    return (*sizes, 1, 1)[:3]


def _is_address(argument: Any) -> bool:
    return argument is None or isinstance(argument, (Strided, cupy.ndarray))


def _described(value: Any) -> str:
    return f"an array of {type(value).__module__}" if hasattr(value, "shape") else f"a {type(value).__name__}"
