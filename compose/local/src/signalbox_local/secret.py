"""Files that only their owner can read: generated passwords, logs, spans."""

import os
import secrets
from pathlib import Path
from typing import BinaryIO


def write_private(file: Path, text: str) -> None:
    """Write `text` to `file` in one step, readable by its owner only."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(file)


def append_private(file: Path) -> BinaryIO:
    """Open `file` for appending, readable by its owner only, also if it was there with another mode."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def password_in(file: Path) -> str:
    """The password kept in `file`; a new one of 192 bits the first time."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()
