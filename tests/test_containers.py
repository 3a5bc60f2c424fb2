"""What a container does to a training, tried in namespaces and control groups of this Linux; skipped where it has none.

docs/portability.md says what was tried beside these.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.backend.cgroups import PROC, cgroup_mounts, cores_of_quota, own_groups

PACKAGE = Path(tinygrad_arith.__file__).parent
IN_NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
AS_NOBODY = "exec unshare --user --map-user=12345 --map-group=12345"  # a user without a name or a home
WITHOUT_MEMFD = "import os; del os.memfd_create"


def can_mount():
    """Whether this user may have namespaces of its own, with file systems and with another user in them."""
    if shutil.which("unshare") is None:
        return False
    tried = f"mount -t tmpfs -o size=1m tmpfs /dev/shm; {AS_NOBODY} true"
    return subprocess.run([*IN_NAMESPACES, tried], capture_output=True).returncode == 0


namespaces = pytest.mark.skipif(not can_mount(), reason="this user cannot have namespaces of its own (unshare)")


def inside(*mounts, source, folder, start="exec"):
    """Run Python source in a folder after some mounts, as nobody in particular; returns the lines it has printed."""
    line = f'{"; ".join(mounts)}; cd "$2"; {start} "$0" -c "$1" 2>&1'
    home = {"HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"}
    environment = {name: value for name, value in os.environ.items() if name not in home}
    environment |= {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    command = [*IN_NAMESPACES, line, sys.executable, source, str(folder)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def shared_memory(size):
    return f"mount -t tmpfs -o size={size} tmpfs /dev/shm"


SHARES = """
import numpy as np
from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.tasks import Batch
from tinygrad_arith.training.workers import ProcessWorkers

model = GPT(GPTConfig(7, 9, d_model=96, layers=8, heads=3)).initialize(seed=1, policy=DtypePolicy.uniform("float32"))
workers = ProcessWorkers(model, 2)
ids = np.ones((4, 9), dtype=int)
print(workers.arrays.rows.nbytes >> 20, workers.forward_backward(Batch(ids, ids), RandomKey(1, "dropout"))[1])
workers.close()
"""


@namespaces
@pytest.mark.parametrize(("memfd", "lines"), [(True, 1), (False, 3)])
def test_two_megabytes_of_shared_memory_end_no_training(tmp_path, memfd, lines, monkeypatch):
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "numpy")
    source = ("" if memfd else WITHOUT_MEMFD) + SHARES
    found = inside(shared_memory("2m"), source=source, folder=tmp_path)
    assert found[-1] == "10 36"  # MiB, and predictions that count
    assert len(found) == lines
    if not memfd:
        assert "RunWarning: the 10,765,824 bytes" in found[0]
        assert "which may be slower: /dev/shm: No space left on device" in found[0]


KILLED = """
import os, signal, subprocess, sys, time

def used():
    found = os.statvfs("/dev/shm")
    return (found.f_blocks - found.f_bfree) * found.f_frsize >> 20

child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(used(), end=" ")
child.kill()
child.wait()
until = time.monotonic() + 30  # for its worker to notice
while used() and time.monotonic() < until:
    time.sleep(0.05)
print(used(), os.listdir("/dev/shm"))
"""
WAITS = SHARES.replace("workers.close()", "import sys, time; sys.stdout.flush(); time.sleep(60)")


@namespaces
def test_a_killed_training_leaves_no_memory_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "numpy")
    source = KILLED.replace("sys.argv[1]", repr(WITHOUT_MEMFD + WAITS))
    assert inside(shared_memory("64m"), source=source, folder=tmp_path) == ["10 0 []"]


COMPILES = """
import numpy as np, os, sys
from tinygrad_arith.cpu.passes import LIBRARY, passes
h = np.full((2, 2), -1, np.float32)
passes.bias_relu(h, np.zeros(2, np.float32))
print(LIBRARY, h.sum(), os.getuid(), os.listdir())
"""


@namespaces
def test_a_user_without_a_home_and_files_that_are_read_only(tmp_path):
    pytest.importorskip("numba", reason="Numba is not installed: pip install -e '.[fast]'")
    read_only = f"mount --bind '{PACKAGE}' '{PACKAGE}'; mount -o remount,bind,ro '{PACKAGE}'"
    found = inside(read_only, source=COMPILES, folder=tmp_path, start=AS_NOBODY)
    assert found[-1] == "numba 0.0 12345 []"  # no folder called ~
    assert sum("Numba cannot keep what it compiles (there is no folder" in line for line in found) == 1


@pytest.fixture
def half_a_core():
    """The file that takes processes into a group of this test's own, which may use half a core."""
    try:
        mounts, groups = (
            list(cgroup_mounts((PROC / "mountinfo").read_text(encoding="utf-8"))),
            own_groups((PROC / "cgroup").read_text(encoding="utf-8")),
        )
    except OSError as error:
        pytest.skip(f"no control groups: {error}")
    group, refused = f"tinygrad_arith-{os.getpid()}", "none is mounted"
    for mount in mounts:
        folder = mount.at / groups.get(mount.version, "/").strip("/") / group
        try:
            folder.mkdir()
            if mount.version == 1:
                (folder / "cpu.cfs_period_us").write_text("100000", encoding="utf-8")
                (folder / "cpu.cfs_quota_us").write_text("50000", encoding="utf-8")
            else:
                (folder / "cpu.max").write_text("50000 100000", encoding="utf-8")
        except OSError as error:
            refused = str(error)
            if folder.is_dir():
                folder.rmdir()
            continue
        yield folder / "cgroup.procs"
        folder.rmdir()
        return
    pytest.skip(f"no control group can be made here: {refused}")


def test_a_quota_is_the_number_of_cores(half_a_core):
    source = (
        "from tinygrad_arith.backend import available_cores, cgroups as c; print(c.cores_of_quota(), available_cores())"
    )
    line = 'echo $$ > "$2" && exec "$0" -c "$1"'
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    environment.pop("PYTHON_CPU_COUNT", None)
    command = ["sh", "-c", line, sys.executable, source, str(half_a_core)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "0.5 1\n", ended.stderr
    assert cores_of_quota() != 0.5  # of this process
