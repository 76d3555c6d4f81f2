"""Disks, modes and accounts."""

import errno
import os
import pwd
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from signalbox_local import folders
from signalbox_local.errors import CannotContinue, DiskFull, ForeignData, ProgramMissing
from signalbox_local.process import Account
from signalbox_local.progress import Reporter
from signalbox_local.secret import password_in, write_private

NOBODY = Account("nobody", 65534, 65534)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_nearly_full_disk_stops_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nearly_full(folder: Path) -> Usage:
        return Usage(10**10, 10**10, 700 * 1024**2)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    with pytest.raises(DiskFull) as full:
        folders.check_space(tmp_path)
    assert str(tmp_path) in full.value.what
    assert "700 MiB free" in full.value.what
    assert "free at least 1 GiB" in full.value.advice


def test_a_disk_that_fills_up_is_named_by_folder() -> None:
    trouble = folders.in_words(OSError(errno.ENOSPC, "No space left on device", "/data/x/file"), Path("/data"))
    assert isinstance(trouble, DiskFull)
    assert "/data/x" in trouble.what


def test_another_file_error_names_the_file_and_whom_to_ask() -> None:
    trouble = folders.in_words(PermissionError(errno.EACCES, "Permission denied", "/data/x"), Path("/data"))
    assert type(trouble) is CannotContinue
    assert "/data/x: Permission denied" in trouble.what
    assert "SIGNALBOX_LOCAL" in trouble.advice


def test_only_folders_we_make_get_a_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folders.make(tmp_path / "a" / "b")
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_a_password_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "password"
    first = password_in(file)
    assert len(first) == 32
    assert password_in(file) == first
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_private_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "env"
    for text in ("one", "two"):
        write_private(file, text)
    assert file.read_text() == "two"
    assert list(tmp_path.iterdir()) == [file]


def test_root_without_an_unprivileged_user_is_told_to_be_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    with pytest.raises(ProgramMissing, match="refuses to run as root"):
        folders.account_for_postgres()


def test_an_ordinary_user_runs_postgres_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert folders.account_for_postgres() is None


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the account cannot enter; `/var/tmp` is `tmp_path`/var."""
    (tmp_path / "var").mkdir()
    (tmp_path / "closed").mkdir()

    def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(folders, "can_enter", never)
    monkeypatch.setattr(folders, "ELSEWHERE", tmp_path / "var")
    return tmp_path / "closed"


def test_what_an_account_cannot_reach_moves_and_leaves_a_link(closed: Path) -> None:
    place = folders.reachable(closed, NOBODY, Reporter())
    assert place.parent == closed.parent / "var"
    assert (closed / "elsewhere").resolve() == place
    assert place.stat().st_mode & 0o777 == 0o711
    assert folders.reachable(closed, NOBODY, Reporter()) == place


def test_a_name_in_the_shared_folder_that_is_a_link_is_not_followed(closed: Path, tmp_path: Path) -> None:
    """Without it another user could have root write PostgreSQL's data wherever that user's link points."""
    place = folders.reachable(closed, NOBODY, Reporter())
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(ForeignData, match="is not ours"):
        folders.reachable(closed, NOBODY, Reporter())
