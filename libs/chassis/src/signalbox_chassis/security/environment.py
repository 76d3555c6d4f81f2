"""Secrets leave the environment of a process once they are read: others of its user may read `/proc/PID/environ`."""

import ctypes
import os
import re
from collections.abc import Iterable
from typing import Final

SHORTEST: Final = 6
"""A shorter value is in too many variables."""

_PASSWORD_IN_URL: Final = re.compile(rb"://[^/@\s]*:[^/@\s]+@")

_OTHER_NAMES: Final = (b"DATABASE_URL", b"REDIS_URL")


def forget_secrets(values: Iterable[str]) -> list[str]:
    """Overwrite every variable that holds one of these values, in the process's memory too; returns their names.

    So is a URL with a password under a name of ours: a service gets settings of others as well.

    Linux shows the memory of the first environment as `/proc/PID/environ` (proc(5)): to unset a variable is not enough.
    """
    wanted = [value.encode() for value in set(values) if len(value) >= SHORTEST]
    first = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    forgotten: list[str] = []
    place = 0
    while address := first[place]:
        name, _, value = ctypes.string_at(address).partition(b"=")
        foreign = (name.startswith(b"SIGNALBOX_") or name in _OTHER_NAMES) and _PASSWORD_IN_URL.search(value)
        if foreign or any(one in value for one in wanted):
            ctypes.memset(address + len(name) + 1, 0, len(value))
            forgotten.append(os.fsdecode(name))
        place += 1
    for name in forgotten:
        os.environ.pop(name, None)
    return sorted(forgotten)
