"""Generated passwords, kept in files that only the owner can read."""

import os
import secrets
from pathlib import Path


def write_private(file: Path, text: str) -> None:
    """Write `text` to `file` in one step, readable by its owner only."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(file)


def password_in(file: Path) -> str:
    """The password kept in `file`; a new one of 192 bits the first time."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()
