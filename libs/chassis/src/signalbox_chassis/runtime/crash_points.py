"""Named crash points: places where a test kills this process, to show that nothing is lost or done twice.

`SIGNALBOX_CRASH_AT=relay.sent` kills at the first pass of that point, `relay.sent:3` at the third. Unarmed, a point is
one look into an empty dict.
"""

import os
import signal

_armed: dict[str, int] = {}


def arm(spec: str) -> None:
    """`point` or `point:nth`, several separated by commas. Raises ValueError for a count that is no positive number."""
    for part in filter(None, spec.split(",")):
        point, _, nth = part.partition(":")
        if not point.strip() or not (nth or "1").strip().isdigit() or int(nth or 1) < 1:
            raise ValueError(f"crash point {part!r}: say `point` or `point:n`, n being 1 or more")
        _armed[point.strip()] = int(nth or 1)


def disarm() -> None:
    _armed.clear()


def point(name: str) -> None:
    """Die here, without any clean-up, if a test asked for it."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("SIGNALBOX_CRASH_AT", ""))
