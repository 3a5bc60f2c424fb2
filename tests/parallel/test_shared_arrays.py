"""Where the memory lies that several processes share: where there is room for all of it, and under no name."""

import errno
import os
import tempfile
import warnings

import numpy as np
import pytest

from tinygrad_arith.options.errors import MachineError, RunWarning
from tinygrad_arith.parallel import shared_arrays
from tinygrad_arith.parallel.shared_arrays import SharedArrays, file_with_room, map_arrays

SIZE = 3 << 20  # bytes: several of the blocks that are written where nothing can be reserved
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no files without a name")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A machine without memory of its own for this, with two folders instead: (in memory, on the disk)."""
    folders = tmp_path / "memory", tmp_path / "disk"
    for folder in folders:
        folder.mkdir()
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(shared_arrays, "IN_MEMORY", folders[0])
    monkeypatch.setattr(tempfile, "tempdir", str(folders[1]))
    return folders


@pytest.fixture
def refusing(monkeypatch):
    """Lets the first files that are made find no room; returns a function from how many, and why."""

    def refuse(count, error=errno.ENOSPC):
        left, reserve = [None] * count, shared_arrays.reserve

        def fail(file, size):
            if left:
                left.pop()
                raise OSError(error, os.strerror(error))
            reserve(file, size)

        monkeypatch.setattr(shared_arrays, "reserve", fail)

    return refuse


def check(shared):
    """That what is written through one mapping is read through the other."""
    np.testing.assert_array_equal(shared.rows, np.zeros((2, 3), np.float32))
    map_arrays(shared.location)[1] = [1, 2, 3]
    np.testing.assert_array_equal(shared.rows, [[0, 0, 0], [1, 2, 3]])
    shared.close()


def test_both_mappings_are_one_memory():
    check(SharedArrays(2, 3, np.float32))


def test_arrays_without_elements():
    shared = SharedArrays(3, 0, np.float32)
    assert map_arrays(shared.location).shape == shared.rows.shape == (3, 0)
    shared.close()


@posix
def test_a_file_has_no_name(places):
    shared = SharedArrays(2, 3, np.float32)
    assert [list(folder.iterdir()) for folder in places] == [[], []]
    check(shared)


def test_a_system_that_needs_names_removes_them_at_the_end(places, monkeypatch):
    monkeypatch.setattr(shared_arrays, "NAMED", True)  # as on Windows
    shared = SharedArrays(2, 3, np.float32)
    assert shared.descriptors == ()
    assert [len(list(folder.iterdir())) for folder in places] == [1, 0]
    check(shared)
    assert [list(folder.iterdir()) for folder in places] == [[], []]


@posix
@pytest.mark.parametrize("answer", [None, *shared_arrays.CANNOT_RESERVE])
def test_there_is_room_for_every_byte(places, monkeypatch, answer):
    if answer is not None:  # a file system that has no such call, or no such call at all
        monkeypatch.setattr(os, "posix_fallocate", failing(answer), raising=False)
    with file_with_room(SIZE) as file:
        assert os.fstat(file.fileno()).st_size == SIZE
        assert os.fstat(file.fileno()).st_blocks * 512 >= SIZE


def failing(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


@posix
def test_a_full_memory_is_told_with_the_place_that_is_taken(places, refusing):
    refusing(1)
    with pytest.warns(RunWarning) as told:
        shared = SharedArrays(2, 3, np.float32)
    (warning,) = told
    assert str(warning.message) == (
        f"the 24 bytes that the processes of this training share are in a file in {places[1]}, which may be slower: "
        f"{places[0]}: No space left on device"
    )
    check(shared)


@posix
def test_memory_in_a_folder_is_as_good(places, refusing, monkeypatch):
    monkeypatch.setattr(os, "memfd_create", failing(errno.ENOSYS), raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(SharedArrays(2, 3, np.float32))


@pytest.mark.parametrize("named", [False, True] if os.name != "nt" else [True])
def test_no_room_at_all_is_one_sentence(places, refusing, monkeypatch, named):
    monkeypatch.setattr(shared_arrays, "NAMED", named)
    refusing(2)
    with pytest.raises(MachineError) as caught:
        SharedArrays(2, 3, np.float32)
    assert str(caught.value) == (
        f"there is no room for the 24 bytes that the processes of this training share ({places[0]}: No space left on "
        f"device; {places[1]}: No space left on device); --worker-kind threads does without"
    )
    assert [list(folder.iterdir()) for folder in places] == [[], []]


def test_nothing_that_can_be_written_to_is_one_sentence(places, monkeypatch):
    monkeypatch.setattr(shared_arrays, "IN_MEMORY", places[0] / "none")
    monkeypatch.setattr(tempfile, "gettempdir", failing(errno.ENOENT))
    with pytest.raises(MachineError, match=r"share \(no folder for temporary files\); --worker-kind threads"):
        SharedArrays(2, 3, np.float32)
