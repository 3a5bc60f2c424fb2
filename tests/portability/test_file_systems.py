"""File systems that lack a part of what POSIX promises, emulated: fsync, locks, renames, case, writing."""

import errno
import os
import re
from pathlib import Path

import pytest

from tinygrad_arith.cli.plot import folder_names
from tinygrad_arith.files import durability, locks
from tinygrad_arith.files.writing import Replacement, remove_temporaries, write_text
from tinygrad_arith.options.errors import MisuseError, RunWarning, UserError
from tinygrad_arith.options.system import in_words
from tinygrad_arith.run_files.metrics import MetricsWriter
from tinygrad_arith.training.runs import last_written, locked, make_directory

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no flock, and no fsync for folders")
REFUSED = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE] if hasattr(errno, "ESTALE") else [errno.EIO]


def raising(number):
    """A function that fails as the system does, and names no file."""

    def call(*arguments, **named):
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def without_full_sync(monkeypatch):
    """fsync is what brings bytes to the disk, on macOS too."""
    if durability.fcntl is not None:
        monkeypatch.delattr(durability.fcntl, "F_FULLFSYNC", raising=False)


@posix
@pytest.mark.parametrize("number", sorted(durability.NOT_OFFERED))
def test_what_cannot_be_brought_to_the_disk_is_written_all_the_same(tmp_path, monkeypatch, without_full_sync, number):
    monkeypatch.setattr(durability.os, "fsync", raising(number))
    write_text(tmp_path / "a", "text")
    with Replacement(tmp_path) as files:
        files.write_json("b", {})
    writer = MetricsWriter(tmp_path / "metrics.jsonl")
    writer.append({"step": 1})
    writer.sync()
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "metrics.jsonl"]


@posix
@pytest.mark.parametrize("number", REFUSED)
def test_an_error_of_the_disk_is_told_and_names_the_file(tmp_path, monkeypatch, without_full_sync, number):
    monkeypatch.setattr(durability.os, "fsync", raising(number))
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        write_text(tmp_path / "a", "text")
    assert in_words(raised.value) == f"{tmp_path / 'a'}: {os.strerror(number)}"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        durability.sync_directory(tmp_path)
    assert in_words(raised.value) == f"{tmp_path}: {os.strerror(number)}"


@posix
@pytest.mark.parametrize("number", [errno.EACCES, errno.EISDIR, errno.EINVAL])
def test_a_folder_that_cannot_be_opened_is_left_to_the_system(tmp_path, monkeypatch, number):
    monkeypatch.setattr(durability.os, "open", raising(number))
    durability.sync_directory(tmp_path)
    monkeypatch.setattr(durability.os, "open", raising(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        durability.sync_directory(tmp_path)


@posix
@pytest.mark.parametrize("number", sorted(locks.NO_LOCKS))
def test_a_run_without_locks_is_trained_with_a_warning(tmp_path, monkeypatch, number):
    monkeypatch.setattr(locks.fcntl, "flock", raising(number))
    with pytest.warns(RunWarning, match="its file system has no locks") as told, locked(tmp_path):
        pass
    assert [os.strerror(number) in str(warning.message) for warning in told] == [True]


@posix
@pytest.mark.parametrize("number", sorted(locks.TAKEN))
def test_only_a_lock_that_is_held_says_that_another_process_trains(tmp_path, monkeypatch, number):
    monkeypatch.setattr(locks.fcntl, "flock", raising(number))
    with pytest.raises(UserError, match="another process is training this run"), locked(tmp_path):
        pass


@posix
def test_a_lock_file_whose_server_is_away_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.fcntl, "flock", raising(errno.ESTALE))
    monkeypatch.setattr("filelock.FileLock", None)  # some versions take it for a lock that is held
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)) as raised, locked(tmp_path):
        pass
    assert raised.value.filename == str(tmp_path / "run.lock")


def test_an_error_of_the_library_of_locks_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("filelock.FileLock", raising(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised, locked(tmp_path):
        pass
    assert raised.value.filename == str(tmp_path / "run.lock")


def test_a_lock_that_is_held_is_still_refused_and_then_free(tmp_path):
    refused = pytest.raises(UserError, match="another process is training this run")
    with locked(tmp_path), refused, locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("number", durability.NOT_RENAMED)
def test_a_file_that_cannot_be_renamed_there_is_copied(tmp_path, monkeypatch, number):
    write_text(tmp_path / "a", "old and longer")
    monkeypatch.setattr(durability.os, "replace", raising(number))
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_copy_that_fails_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(durability.os, "replace", raising(errno.EXDEV))
    monkeypatch.setattr(durability.shutil, "copyfile", raising(errno.ENOSPC))
    with pytest.raises(OSError, match="No space") as raised:
        write_text(tmp_path / "a", "new")
    assert raised.value.filename == str(tmp_path / "a")


def test_what_went_wrong_first_is_told_where_nothing_can_be_deleted_either(tmp_path, monkeypatch):
    monkeypatch.setattr(durability.os, "replace", raising(errno.EROFS))
    monkeypatch.setattr(Path, "unlink", raising(errno.ESTALE))
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)) as raised:
        write_text(tmp_path / "a", "new")
    assert raised.value.filename == str(tmp_path / "a")


def test_a_file_that_cannot_be_made_is_told_by_the_name_it_would_have_had(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        write_text(tmp_path / "gone" / "a", "new")
    assert raised.value.filename == str(tmp_path / "gone" / "a")


def test_a_leftover_that_cannot_be_deleted_is_warned_of(tmp_path, monkeypatch):
    (tmp_path / "a.tmp").write_text("", encoding="utf-8")
    monkeypatch.setattr(Path, "unlink", raising(errno.EBUSY))
    with pytest.warns(RunWarning, match="not needed any more, and not deleted yet"):
        remove_temporaries(tmp_path)


def test_a_file_system_that_is_read_only_is_told_with_the_file(tmp_path, monkeypatch):
    def refuse(path, *arguments, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    sentence = f"^{re.escape(str(tmp_path / 'run'))}: no directory can be made there: Read-only file system; choose"
    with pytest.raises(UserError, match=sentence):
        make_directory(tmp_path / "run", "name", 1)
    monkeypatch.setattr(locks.os, "open", refuse)
    if os.name != "nt":
        with pytest.raises(OSError, match="Read-only") as raised, locked(tmp_path):
            pass
        assert raised.value.filename == str(tmp_path / "run.lock")


def test_a_stale_handle_does_not_hide_the_newest_run(tmp_path, monkeypatch):
    for name, time in (("a", 1000), ("b", 2000)):
        (tmp_path / name).write_text("", encoding="utf-8")
        os.utime(tmp_path / name, (time, time))
    stat = Path.stat

    def stale(path, **named):
        if path.name == "b":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return stat(path, **named)

    monkeypatch.setattr(Path, "stat", stale)
    assert last_written(tmp_path) == 1000


def test_pictures_of_runs_whose_names_differ_in_case_alone_do_not_share_a_folder(tmp_path):
    paths = [tmp_path / "x" / "Run", tmp_path / "y" / "run", tmp_path / "other"]
    assert list(folder_names(paths).values()) == ["x-Run", "y-run", "other"]
    paths = [tmp_path / "Run", tmp_path / "run", tmp_path / "RUN"]
    names = list(folder_names(paths).values())
    assert len({name.casefold() for name in names}) == 3
    assert [name.rpartition("-")[2] for name in names] == ["Run", "2", "3"]


def test_nor_do_those_whose_letters_are_put_together_otherwise(tmp_path):
    composed, decomposed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
    names = list(folder_names([tmp_path / "x" / composed, tmp_path / "y" / decomposed]).values())
    assert names == [f"x-{composed}", f"y-{decomposed}"]


def test_nor_those_whose_folders_and_names_look_alike_with_hyphens(tmp_path):
    paths = [tmp_path / "a" / "b", tmp_path / "c" / "b", tmp_path / "a-b"]
    assert list(folder_names(paths).values()) == ["a-b", "c-b", "a-b-2"]


def test_an_existing_file_is_no_directory(tmp_path):
    (tmp_path / "a").write_text("", encoding="utf-8")
    with pytest.raises(MisuseError, match="there is a file of that name"):
        make_directory(tmp_path / "a", "name", 1)


def test_neither_links_nor_hard_links_are_made():
    package = Path(durability.__file__).parents[1]
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert len(sources) > 300
    for call in ("os.link(", "os.symlink(", ".symlink_to(", ".hardlink_to("):
        assert not any(call in source for source in sources)
