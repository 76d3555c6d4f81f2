"""What stops the local stack. Each says what happened, on what, and what to try; the command line prints just that."""

import errno
from pathlib import Path


class CannotContinue(Exception):
    """The root of all of them. `what` is the fact, `advice` the next step, `exit_code` for the command line."""

    exit_code = 1

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}\n  try: {advice}")
        self.what = what
        self.advice = advice


class SettingWrong(CannotContinue):
    """A variable or argument holds nonsense."""

    exit_code = 2


class FetchFailed(CannotContinue):
    """A download did not come, or what came is not what the lock names."""


class ProgramMissing(CannotContinue):
    """No Java, PostgreSQL or Redis that would do, neither fetched nor on this machine."""


class PortTaken(CannotContinue):
    """Somebody else listens on the port."""


class ForeignData(CannotContinue):
    """A folder holds something this stack did not put there, or cannot use. It is never deleted."""


class ServerNotReady(CannotContinue):
    """A server ended or did not answer in time. `what` ends with the tail of its log."""


class StackBusy(CannotContinue):
    """Another run holds the lock of the stack for too long."""


class DiskFull(CannotContinue):
    """No space, before or during the work."""

    def __init__(self, folder: Path, detail: str) -> None:
        super().__init__(
            f"the disk with {folder} is full ({detail})",
            "free at least 1 GiB there, or set SIGNALBOX_CACHE or SIGNALBOX_LOCAL to a folder on another disk; "
            "nothing was deleted",
        )


def disk_full(error: OSError, folder: Path) -> DiskFull | None:
    """`error` as DiskFull when it says that a disk or quota is used up, else None."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return DiskFull(Path(str(error.filename)).parent if error.filename else folder, "no space left on device")
