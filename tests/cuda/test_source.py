"""The loader on a GPU: what it compiles runs, what it is told in its errors, and what it refuses to launch."""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.cuda import source
from tinygrad_arith.cuda.source import Build, KernelError, strided

BF16 = np.dtype(ml_dtypes.bfloat16)
PROBE = r"""
#include "common.cuh"
#include "probe_answer.cuh"
using index = long long;
struct Bytes { char at[128]; };

extern "C" __global__ void numbers(long long* y, int a, index b, bool c, unsigned long long d, float* z, float e) {
    y[0] = a;
    y[1] = b;
    y[2] = c;
    y[3] = d;
    z[0] = e;
}
extern "C" __global__ void scale(const element* __restrict__ x, element* __restrict__ y, int n, float factor) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        y[i] = from_float(to_float(x[i]) * factor);
}
extern "C" __global__ void scale_packs(const element* __restrict__ x, element* __restrict__ y, int packs) {
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
        Pack pack = load_pack(x + i * PACK);
        for (int j = 0; j < PACK; j++) pack.at[j] = from_float(2.0f * to_float(pack.at[j]));
        store_pack(y + i * PACK, pack);
    }
}
extern "C" __global__ void gather(const float* x, long long row, long long column, float* y) {
    y[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * row + threadIdx.x * column];
}
extern "C" __global__ void sums(const float* x, float* whole_block, float* whole_warp, float* greatest) {
    __shared__ float shared[32];
    const int i = threadIdx.x;
    whole_block[i] = block_sum(x[i], shared) + 0.0f * block_sum(x[i], shared);
    whole_warp[i] = warp_sum(x[i]);
    greatest[i] = warp_max(x[i]);
}
extern "C" __global__ void through_shared(const float* x, float* y, int n) {
    extern __shared__ float buffer[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) buffer[n - 1 - i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = buffer[i];
}
extern "C" __global__ void is_null(const float* x, int* answer) { answer[0] = x == nullptr; }
extern "C" __global__ void by_value(const __grid_constant__ Bytes bytes, int* y) { y[0] = bytes.at[127]; }
extern "C" __global__ void answer(int* y) { y[0] = ANSWER; }
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A folder of kernels of the test's own."""
    common = source.kernels_directory() / "common.cuh"
    (tmp_path / "common.cuh").write_text(common.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "probe.cu").write_text(PROBE, encoding="utf-8")
    (tmp_path / "probe_answer.cuh").write_text("#define ANSWER 42\n", encoding="utf-8")
    monkeypatch.setattr(source, "kernels_directory", lambda: tmp_path)
    source.read_source.cache_clear()
    yield tmp_path
    source.read_source.cache_clear()


@pytest.fixture
def probe(directory):
    """The kernels above in float32 by name, none of them seen by an earlier test."""
    return lambda name, element="f32": source.Kernel(Build("probe.cu", (("ELEMENT", element),)), name)


def test_python_numbers_arrive_as_what_the_kernel_declares(probe):
    y, z = cupy.zeros(4, np.int64), cupy.zeros(1, np.float32)
    probe("numbers")(1, 1, y, -3, 2**40, True, np.uint64(2**63), z, 0.1)
    assert y.get().tolist() == [-3, 2**40, 1, -(2**63)]
    assert z.get() == np.float32(0.1)


@pytest.mark.parametrize(("element", "dtype"), [("f32", np.dtype(np.float32)), ("bf16", BF16)])
def test_elements_are_rounded_to_nearest_and_nan_and_infinity_stay(probe, element, dtype):
    values = np.array([1.0, -0.0, 1e-30, 3.0e38, np.inf, -np.inf, np.nan, 1.00390625], dtype=np.float32).astype(dtype)
    x = cupy.asarray(np.tile(values, 40))  # (320,)
    y, packed = cupy.empty_like(x), cupy.empty_like(x)
    probe("scale", element)((2, 1), 64, x, y, x.size, 1.1)
    probe("scale_packs", element)(1, 32, x, packed, x.nbytes // 16)
    for result, factor in ((y, 1.1), (packed, 2.0)):
        with np.errstate(over="ignore"):
            expected = (x.get().astype(np.float32) * np.float32(factor)).astype(dtype)
        np.testing.assert_array_equal(result.get().astype(np.float32), expected.astype(np.float32))


def test_a_view_is_read_where_it_lies_if_its_strides_are_told(probe):
    x = cupy.arange(35, dtype=np.float32).reshape(5, 7).T[1:, ::2]  # (6, 3)
    y = cupy.empty(x.shape, np.float32)
    row, column = (stride // x.itemsize for stride in x.strides)
    probe("gather")(6, 3, strided(x), row, column, y)
    np.testing.assert_array_equal(y.get(), x.get())


@pytest.mark.parametrize("threads", [32, 64, 96, 1024])
def test_sums_and_maxima_of_warps_and_blocks(probe, threads):
    x = cupy.asarray(np.random.default_rng(threads).integers(-50, 50, threads).astype(np.float32))
    whole_block, whole_warp, greatest = cupy.empty((3, threads), np.float32)
    probe("sums")(1, threads, x, whole_block, whole_warp, greatest)
    warps = x.get().reshape(-1, 32)
    np.testing.assert_array_equal(whole_block.get(), np.full(threads, warps.sum()))
    np.testing.assert_array_equal(whole_warp.get(), np.repeat(warps.sum(axis=1), 32))
    np.testing.assert_array_equal(greatest.get(), np.repeat(warps.max(axis=1), 32))


def test_shared_memory_beyond_48_kib_is_asked_for(probe):
    n = 20_000  # 80,000 bytes; every GPU from 8.0 on has 99 KiB
    x = cupy.arange(n, dtype=np.float32)
    y = cupy.empty_like(x)
    kernel = probe("through_shared")
    for _ in range(2):
        kernel(1, 256, x, y, n, shared=x.nbytes)
    np.testing.assert_array_equal(y.get(), x.get()[::-1])
    with pytest.raises(KernelError, match=r"through_shared .*: 1000000 bytes of shared memory; device 0 has \d+"):
        kernel(1, 256, x, y, n, shared=1_000_000)


def test_none_is_a_null_pointer_and_a_void_element_a_struct(probe):
    answer = cupy.full(1, 7, np.int32)
    for x, expected in ((None, 1), (cupy.zeros(1, np.float32), 0)):
        probe("is_null")(1, 1, x, answer)
        assert answer.get() == expected
    probe("by_value")(1, 1, np.array([bytes(127) + b"\x05"], dtype="V128"), answer)
    assert answer.get() == 5


def test_no_blocks_no_launch(probe):
    y = cupy.zeros(1, np.int32)
    probe("answer")((0, 3), 1, y)
    assert y.get() == 0
    probe("answer")(1, 1, y)
    assert y.get() == 42


def test_a_changed_header_is_compiled_anew(probe, directory):
    y = cupy.zeros(1, np.int32)
    for value in (1, 2):
        (directory / "probe_answer.cuh").write_text(f"#define ANSWER {value}\n", encoding="utf-8")
        source.read_source.cache_clear()
        probe("answer")(1, 1, y)
        assert y.get() == value


def test_a_launch_is_captured_into_a_graph(probe):
    x, y = cupy.ones(64, np.float32), cupy.zeros(64, np.float32)
    kernel = probe("scale")
    kernel(1, 64, x, y, 64, 1.0)
    cupy.cuda.Device().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        kernel(1, 64, x, y, 64, 3.0)
        graph = stream.end_capture()
        x[:] = 5.0
        graph.launch(stream)
    stream.synchronize()
    assert (y.get() == 15.0).all()


def matrix():
    return cupy.zeros((4, 6), np.float32)


REFUSED = {
    "number: int32": (lambda x: (x, x, np.int64(24), 1.0), r"scale .*: n: int takes int32, not a NumPy int64"),
    "number: float": (lambda x: (x, x, 24, np.float64(1)), r"factor: float takes float32, not a NumPy float64"),
    "number: whole": (lambda x: (x, x, 24.0, 1.0), r"n: int takes a whole number, not 24\.0"),
    "number: too large": (lambda x: (x, x, 2**31, 1.0), r"n: 2147483648 does not fit int32"),
    "number: array": (lambda x: (x, x, x.size, x), r"factor: float takes a number, not an array of cupy"),
    "array: dtype": (lambda x: (x, x.astype(np.float64), 24, 1.0), r"y: element\* takes float32, not float64"),
    "array: strides": (lambda x: (x.T, x, 24, 1.0), r"x of shape \(6, 4\) is not contiguous"),
    "array: NumPy's": (lambda x: (x.get(), x, 24, 1.0), r"x: element\* takes a CuPy array or None, not .* numpy"),
    "array: number": (lambda x: (x, 0, 24, 1.0), r"y: element\* takes a CuPy array or None, not a int"),
    "too few": (lambda x: (x, x, 24), r"3 arguments for 4 parameters: x, y, n, factor"),
    "too many": (lambda x: (x, x, 24, 1.0, 5), r"5 arguments for 4 parameters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_an_argument_that_does_not_fit(probe, case):
    arguments, message = REFUSED[case]
    with pytest.raises(KernelError, match=message):
        probe("scale")(1, 32, *arguments(matrix()))


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((1, 65536), 32, r"grid \(1, 65536, 1\)"),
        (2**31, 32, r"grid \(2147483648, 1, 1\)"),
        (-1, 32, r"grid \(-1, 1, 1\)"),
        (1, 0, r"block \(0, 1, 1\)"),
        (1, 2048, r"block \(2048, 1, 1\)"),
        (1, (64, 32), r"block \(64, 32, 1\); with its registers at most 1024 threads fit"),
    ],
)
def test_refuses_a_shape_that_does_not_fit(probe, grid, block, message):
    x = matrix()
    with pytest.raises(KernelError, match=message):
        probe("scale")(grid, block, x, x, x.size, 1.0)


def test_refuses_an_array_of_another_device(probe):
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two GPUs")
    x = matrix()
    with cupy.cuda.Device(1):
        y = matrix()
    with pytest.raises(KernelError, match="y lies on device 1, the launch is on device 0"):
        probe("scale")(1, 32, x, y, 24, 1.0)


def test_a_wrong_kernel_is_told_with_file_line_and_the_first_messages(directory):
    (directory / "wrong.cu").write_text(
        'extern "C" __global__ void wrong(int n) {\n  n = m;\n  n = k\n}\n', encoding="utf-8"
    )
    with pytest.raises(KernelError) as caught:
        Build("wrong.cu", (("HEAD_SIZE", 64),)).kernel("wrong")(1, 1, 3)
    message = str(caught.value)
    assert message.startswith("wrong.cu HEAD_SIZE=64 does not compile for compute capability ")
    assert 'wrong.cu(2): error: identifier "m" is undefined' in message


def test_a_kernel_that_is_not_there_is_told_beside_those_that_are(probe):
    with pytest.raises(KernelError, match=r"absent .*kernels of the file: numbers, scale, scale_packs"):
        probe("absent")(1, 1)


def test_an_older_device_is_told():
    with pytest.raises(KernelError, match=r"needs compute capability 99\.0; device 0 has \d+\.\d"):
        Build("common.cuh", least_arch=990).kernel("any")(1, 1)


def test_hopper_gets_its_own_instructions(directory):
    if cupy.cuda.Device().compute_capability != "90":
        pytest.skip("needs compute capability 9.0")
    (directory / "hopper.cu").write_text(
        'extern "C" __global__ void fence(int* y) {\n  asm volatile("wgmma.fence.sync.aligned;");\n  y[0] = 1;\n}\n',
        encoding="utf-8",
    )
    y = cupy.zeros(1, np.int32)
    Build("hopper.cu", least_arch=90, own_target=True).kernel("fence")(1, 128, y)
    assert y.get() == 1
