"""How many cores a process may use: the quotas of containers, what the user has told Python, what the system gives."""

import os
import sys

import pytest

from tinygrad_arith.backend import available_cores, cores
from tinygrad_arith.backend.cgroups import cgroup_mounts, cores_of_quota, own_groups

V2 = "31 23 0:27 {root} {at} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 23 0:29 {root} {at} rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
OTHERS = (
    "22 1 254:0 / / rw - ext4 /dev/root rw\n33 23 0:30 / /nowhere/memory rw - cgroup cgroup rw,memory\n\nnonsense\n"
)


class System:
    """A /proc and control groups in a folder."""

    def __init__(self, folder):
        self.proc, self.groups = folder / "proc", folder / "groups"
        self.proc.mkdir()
        self.groups.mkdir()

    def mounted(self, line, cgroup, root="/"):
        """With one tree, and the process in a group of it."""
        at = str(self.groups).replace(" ", "\\040")
        (self.proc / "mountinfo").write_text(OTHERS + line.format(root=root, at=at), encoding="utf-8")
        (self.proc / "cgroup").write_text(cgroup, encoding="utf-8")
        return self

    def limited(self, group, **files):
        """With these files in a group: `cpu_max="max 100000"`."""
        folder = self.groups / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("cpu_", "cpu.", 1)).write_text(text + "\n", encoding="ascii")
        return self

    @property
    def cores(self):
        return cores_of_quota(self.proc)


@pytest.fixture
def system(tmp_path):
    folder = tmp_path / "with a blank"
    folder.mkdir()
    return System(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000", 1.0),
        ("150000 100000", 1.5),
        ("5000 10000", 0.5),
        ("max 100000", None),
        ("", None),
        ("1 0", None),
        ("100000", None),
        ("a b", None),
    ],
)
def test_version_2(system, text, expected):
    system.mounted(V2, "0::/\n").limited("", cpu_max=text)
    assert system.cores == expected


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2.0), ("25000", 0.25), ("-1", None), ("0", None)])
def test_version_1(system, quota, expected):
    system.mounted(V1, "4:cpu,cpuacct:/\n3:memory:/other\n0::/\n")
    system.limited("", cpu_cfs_quota_us=quota, cpu_cfs_period_us="100000")
    assert system.cores == expected


@pytest.mark.parametrize("outer", [("max 100000", 3.0), ("800000 100000", 3.0), ("200000 100000", 2.0)])
def test_the_least_of_the_groups_around_it_counts(system, outer):
    system.mounted(V2, "0::/slice/service/inner\n")
    system.limited("slice", cpu_max=outer[0]).limited("slice/service", cpu_max="300000 100000")
    system.limited("slice/service/inner").limited("other", cpu_max="1000 100000")
    assert system.cores == outer[1]


@pytest.mark.parametrize("line", [V1, V2])
@pytest.mark.parametrize("root", ["/docker/abc", "/elsewhere"])  # whether the group has the same name in here
def test_what_is_mounted_may_be_the_group_itself(system, line, root):
    system.mounted(line, "4:cpu:/docker/abc\n0::/docker/abc\n", root)
    system.limited("", cpu_max="100000 100000", cpu_cfs_quota_us="100000", cpu_cfs_period_us="100000")
    assert system.cores == 1.0


def test_a_group_outside_of_what_is_seen(system):
    assert system.mounted(V2, "0::/../../x\n").limited("", cpu_max="100000 100000").cores == 1.0
    assert system.limited("x", cpu_max="50000 100000").cores == 0.5


def test_no_control_groups(system):
    assert system.cores is None  # no /proc
    (system.proc / "mountinfo").write_text("", encoding="utf-8")
    (system.proc / "cgroup").write_text("", encoding="utf-8")
    assert system.cores is None


def test_what_the_lines_mean():
    mounts = list(cgroup_mounts(OTHERS + V1.format(root="/a\\134b", at="/c\\040d") + V2.format(root="/", at="/u")))
    assert [(mount.root, mount.at.as_posix(), mount.version) for mount in mounts] == [
        ("/a\\b", "/c d", 1),
        ("/", "/u", 2),
    ]
    assert own_groups("12:cpuset:/x\n4:cpuacct,cpu:/a:b\n1:name=systemd:/\n0::/c\n") == {1: "/a:b", 2: "/c"}


@pytest.fixture
def machine(monkeypatch):
    """Of 64 cores, without a quota, on which nobody has told Python anything."""
    monkeypatch.delenv(cores.CPU_COUNT_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "_xoptions", {})
    monkeypatch.setattr(cores, "cores_of_quota", lambda: None)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    return monkeypatch


@pytest.mark.parametrize(("quota", "expected"), [(None, 64), (1.0, 1), (0.1, 1), (1.5, 2), (2.0, 2), (100.0, 64)])
def test_a_part_of_a_core_is_one(machine, quota, expected):
    machine.setattr(cores, "cores_of_quota", lambda: quota)
    assert available_cores() == expected


def test_what_the_user_has_told_python_comes_first(machine):
    machine.setattr(cores, "cores_of_quota", lambda: 1.0)
    machine.setenv(cores.CPU_COUNT_VARIABLE, "5")
    assert available_cores() == 5
    machine.setattr(sys, "_xoptions", {"cpu_count": "7"})
    assert available_cores() == 7
    machine.setattr(sys, "_xoptions", {"cpu_count": "default"})
    assert available_cores() == 1
    machine.setattr(sys, "_xoptions", {})
    for nothing in ("", "default", "0", "-3", "many"):
        machine.setenv(cores.CPU_COUNT_VARIABLE, nothing)
        assert available_cores() == 1


def test_an_older_python_asks_the_scheduler(machine):
    machine.delattr(os, "process_cpu_count", raising=False)
    machine.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert available_cores() == 3
    machine.delattr(os, "sched_getaffinity")
    machine.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1
