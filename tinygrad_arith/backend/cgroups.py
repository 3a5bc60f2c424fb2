"""How much time on the CPU a container may take, as Linux's control groups (cgroups) say.

`--cpus=1.5` gives a container so many seconds of all cores together in each second, though it sees every core. More
processes than that only wait for each other. Groups lie within groups, and each may have its limit.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC = Path("/proc/self")
QUOTA_AND_PERIOD = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # the files of version 1; 2 has both in one


class Mount(NamedTuple):
    """A tree of control groups: the group that is mounted, where, and which version it is of."""

    root: str
    at: Path
    version: int


def cores_of_quota(proc: Path = PROC) -> float | None:
    """The cores that this process's quota is worth: the least of its group and those around it; None without a quota.

    proc: the folder of the process in /proc
    """
    try:
        mounts = list(cgroup_mounts((proc / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape")))
        groups = own_groups((proc / "cgroup").read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:  # not Linux, or /proc is not to be read
        return None
    quotas = [
        quota
        for mount in mounts
        if mount.version in groups
        for folder in folders(mount, groups[mount.version])
        if (quota := quota_of(folder, mount.version)) is not None
    ]
    return min(quotas, default=None)


def cgroup_mounts(mountinfo: str) -> Iterator[Mount]:
    """The mounted trees that may limit the CPU, of the lines `36 35 98:0 /root /at rw - type source options`."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        root, at = unescaped(fields[3]), Path(unescaped(fields[4]))
        if kind[0] == "cgroup2":
            yield Mount(root, at, 2)
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            yield Mount(root, at, 1)


def unescaped(text: str) -> str:
    """A path of `mountinfo`, which has blanks and the like as octal numbers."""
    for character in " \t\n\\":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text


def own_groups(cgroup: str) -> dict[int, str]:
    """This process's group in the tree of each version, of the lines `4:cpu,cpuacct:/group` (1) and `0::/group` (2)."""
    found = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if (number, controllers) == ("0", ""):
            found[2] = group
        elif "cpu" in controllers.split(","):
            found[1] = group
    return found


def folders(mount: Mount, group: str) -> Iterator[Path]:
    """The folder of a group and of those around it, as far as they are seen here."""
    inside = PurePosixPath(group)
    if inside.is_relative_to(mount.root):  # else the group has another name outside of this container
        inside = inside.relative_to(mount.root)
        parts = [part for part in inside.parts if part not in ("/", "..")]
        yield from (mount.at.joinpath(*parts[:count]) for count in range(len(parts), 0, -1))
    yield mount.at


def quota_of(folder: Path, version: int) -> float | None:
    """The limit of one group, in cores; None if it has none."""
    with suppress(OSError, ValueError, ZeroDivisionError):  # no such file, `max`, or what no kernel of today writes
        if version == 2:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = ((folder / name).read_text(encoding="ascii") for name in QUOTA_AND_PERIOD)
        cores = float(int(quota)) / int(period)
        return cores if cores > 0 else None  # -1: no limit
    return None
