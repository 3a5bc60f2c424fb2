"""Many kernels as one launch: a function of device arrays, captured as a CUDA graph and replayed.

From Python a launch costs several microseconds, and a kernel of a small model takes two. A capture records what a
function launches, with every argument and every address as it is then, and runs nothing; a replay hands all of it to
the GPU at once. So whatever changes from one replay to the next has to lie in device memory, always at the same place,
and the memory that the function took during the capture must be nobody else's afterwards: it comes from a pool whose
blocks live as long as the graphs do (`graph_memory`). Within a graph the pool gives the memory of one array to the next
just as usual: the order of the kernels is always the same.
"""

import contextlib
import gc
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..backend.deferred import raise_deferred
from ..ops.registry import runs_reference_only
from .attention import is_deterministic
from .graph_memory import KeptBlocks
from .precision import float32_matmul_precision
from .side_stream import using_side_stream
from .source import cupy

WARM_UP = 2  # calls before the capture: kernels compile, libraries choose algorithms, the pool gets its memory
PACKAGE = Path(__file__).resolve().parents[1]


class GraphMemory:
    """What graphs share that never run at the same time: a pool of memory, and the streams that they are captured on.

    pool:        holds the arrays that the functions make, in blocks that stay the graphs' own
    stream:      the main stream
    side_stream: see `side_stream.py`
    """

    def __init__(self) -> None:
        self.blocks = KeptBlocks()
        self.pool = self.blocks.pool()
        # A pool of CuPy that goes leaves its free blocks behind, and these would keep `blocks`, and so all of them.
        weakref.finalize(self, self.pool.free_all_blocks).atexit = False
        self.stream, self.side_stream = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
        self.event = cupy.cuda.Event(disable_timing=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, arrays come from the pool and launches go to the streams."""
        with self.stream, cupy.cuda.using_allocator(self.pool.malloc), using_side_stream(self.side_stream):
            yield

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """As `in_use`; what is launched inside comes after what the current stream has, and before what it gets.

        After an error, too: what had been launched before it still runs.
        """
        outer = cupy.cuda.get_current_stream()
        self.event.record(outer)
        self.stream.wait_event(self.event)
        try:
            with self.in_use():
                yield
        finally:
            self.event.record(self.stream)
            outer.wait_event(self.event)


class GraphedFunction:
    """Calls a function that launches kernels: as it is at first, then as a graph, until a setting changes.

    function: takes no arguments and returns nothing of interest: it reads and writes device arrays that stay where they
              are. It must not look at a number on the device, and change nothing on the host that a replay would miss
    memory:   shared with other graphs, which run in turns with this one
    capture:  False: never; for comparison

    reason:   why it is not a graph, in words; None if it is one, or will be. After a capture that failed it is tried
              again when a setting has changed
    """

    def __init__(
        self,
        function: Callable[[], Any],
        memory: GraphMemory | None = None,
        *,
        warm_up: int = WARM_UP,
        capture: bool = True,
    ):
        self.function = function
        self.memory = memory or GraphMemory()
        self.calls_before_capture = max(warm_up, 1)
        self.reason: str | None = None if capture else "not asked for"
        self.graph: Any = None
        self._settings: tuple | None = None  # those of the last capture, which made the graph or failed

    def __call__(self) -> None:
        """Launches on the current stream, and does not wait.

        Raises what earlier calls could not, such as an IndexError for a wrong id.
        """
        raise_deferred()
        if self._settings is not None and self._settings != settings():
            self.graph = self.reason = self._settings = None
            self.calls_before_capture = 1
        if self.graph is None and self.reason is None and self.calls_before_capture == 0:
            self.capture()
        if self.graph is not None:
            self.graph.launch()
            return
        with self.memory.in_turn():
            self.function()
        self.calls_before_capture = max(self.calls_before_capture - 1, 0)

    def capture(self) -> None:
        """Makes the graph, or says in `reason` why there is none. Runs nothing."""
        stream = self.memory.stream
        gc.collect()  # so that nothing is destroyed in the middle
        stream.begin_capture()
        try:
            with self.memory.in_use():
                self.function()
        except Exception as error:  # whatever it is, the function still runs without a graph
            self.reason = in_words(error)
        try:
            graph = stream.end_capture()
        except Exception as error:
            self.reason = self.reason or in_words(error)
        else:
            self.graph = graph if self.reason is None else None
        self._settings = settings()


def settings() -> tuple:
    """What else than its arguments decides which kernels a function launches."""
    return runs_reference_only(), float32_matmul_precision(), is_deterministic()


def in_words(error: Exception) -> str:
    """What stood in the way of a capture, and the line of this package where it did."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    first_line = (str(error).strip() or "no message").split("\n")[0]
    return f"{type(error).__name__}{place}: {first_line}"


def _is_ours(filename: str) -> bool:
    path = Path(filename).resolve()
    return PACKAGE in path.parents and path != Path(__file__).resolve()
