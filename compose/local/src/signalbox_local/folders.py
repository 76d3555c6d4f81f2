"""Folders: made with the right modes, on a disk with space, where the account that needs them can reach them."""

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from signalbox_local.errors import CannotContinue, DiskFull, ForeignData, ProgramMissing, disk_full
from signalbox_local.process import Account
from signalbox_local.progress import Reporter

SPACE_BYTES = 1024**3
ELSEWHERE = Path("/var/tmp")
ACCOUNTS = ("postgres", "nobody")
"""Existing system users PostgreSQL may run as when we are root; none is ever created."""


def make(folder: Path, mode: int = 0o755) -> Path:
    """Make `folder` and its missing parents. Only what is made here gets `mode`: others' folders stay as they are."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in missing:
            one.chmod(mode)
    except OSError as error:
        raise in_words(error, folder) from error
    return folder


def check_space(folder: Path) -> None:
    """Raises DiskFull when less than 1 GiB is free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < SPACE_BYTES:
        raise DiskFull(folder, f"{free / 1024**2:.0f} MiB free, 1024 MiB needed")


def in_words(error: OSError, folder: Path) -> CannotContinue:
    """An error of the file system as a message: DiskFull where it is that."""
    return disk_full(error, folder) or CannotContinue(
        f"{error.filename or folder}: {error.strerror or error}",
        f"check who owns {folder}, or set SIGNALBOX_CACHE or SIGNALBOX_LOCAL to a folder of your own",
    )


def account_for_postgres() -> Account | None:
    """Who PostgreSQL runs as: None (ourselves) unless we are root, which it refuses. Raises ProgramMissing."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise ProgramMissing(
        f"PostgreSQL refuses to run as root, and there is no user {' or '.join(ACCOUNTS)} to run it as",
        "run as an ordinary user",
    )


def owner_of(path: Path) -> Account | None:
    """The system user that owns `path`; None for ourselves."""
    uid, gid = path.stat().st_uid, path.stat().st_gid
    if uid == os.geteuid():
        return None
    try:
        return Account(pwd.getpwuid(uid).pw_name, uid, gid)
    except KeyError:
        return Account(f"user {uid}", uid, gid)


def can_enter(folder: Path, account: Account) -> bool:
    """Whether `account` can walk to `folder`; asked of the kernel, so that access lists count too."""
    try:
        test = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
            user=account.uid, group=account.gid, extra_groups=[], cwd="/", capture_output=True, check=False,
        )  # fmt: skip
    except OSError:
        return False
    return test.returncode == 0


def reachable(folder: Path, account: Account | None, reporter: Reporter) -> Path:
    """`folder`, or where it cannot be entered by `account` (a project in /root, say) a folder of ours in /var/tmp.

    The latter is linked as `folder`/elsewhere, and its name is fixed by the path of `folder`. No mode of a folder that
    we did not make is changed. Raises ForeignData when somebody else holds the name in /var/tmp.
    """
    if account is None or can_enter(folder, account):
        return folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    place = ELSEWHERE / f"signalbox-{os.geteuid()}-{digest}"
    if not place.exists() and not place.is_symlink():
        place.mkdir(mode=0o711)
        place.chmod(0o711)
        reporter.report(f"{account.name} cannot enter {folder}: what PostgreSQL needs lies in {place} instead")
    found = place.lstat()
    if place.is_symlink() or not place.is_dir() or found.st_uid != os.geteuid():
        raise ForeignData(
            f"{place} is not ours (owner {found.st_uid})", "remove it, or move the project to another folder"
        )
    link = folder / "elsewhere"
    if not link.is_symlink():
        link.symlink_to(place)
    return place
