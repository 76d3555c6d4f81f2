"""The folder of a running job: its configuration, which holds credentials, for the workers' user alone."""

import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID


def write_config(root: Path, job_id: UUID, values: dict[str, Any], user: int | None) -> Path:
    """Write `config.json`; returns its path. Blocking."""
    root.mkdir(0o711, parents=True, exist_ok=True)
    folder = root.absolute() / str(job_id)
    folder.mkdir(0o700, exist_ok=True)
    path = folder / "config.json"
    draft = folder / ".config.json"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    if user is not None and os.geteuid() == 0:
        root.chmod(0o711)
        os.chown(draft, user, user)
        os.chown(folder, user, user)
    draft.replace(path)
    return path


def job_folders(root: Path) -> Iterator[UUID]:
    """The jobs that have a folder."""
    if not root.is_dir():
        return
    for folder in root.iterdir():
        try:
            yield UUID(folder.name)
        except ValueError:
            continue


def remove_folders(root: Path, ids: Collection[UUID]) -> None:
    for id in ids:
        shutil.rmtree(root / str(id), ignore_errors=True)
