"""What the executor keeps in the blob store about artifacts, and the gateway shows: keys and their JSON.

An artifact is one file, named by its SHA-256 and never changed. A pin says which artifact a definition's version runs,
whatever its URL gives later; pins are numbered, the last one is in force, none is ever changed.
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from signalbox_contracts.definitions.work import Sha256
from signalbox_contracts.vocabulary import Count, Instant, Value

_Text = Annotated[str, Field(max_length=2048)]


class Pin(Value):
    """Which artifact a definition's version runs."""

    url: _Text
    sha256: Sha256
    bytes: Count
    pinned_at: Instant


class FlinkRun(Value):
    """One attempt as it was sent to a Flink cluster. `incarnation` is the JobManager it was sent to."""

    run_key: Annotated[str, Field(max_length=63)]
    task_id: UUID
    job_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    incarnation: Annotated[str, Field(max_length=1024)]
    jar_url: _Text
    jar_sha256: Sha256
    jar_bytes: Count
    target: _Text | None = None
    """What was started, such as `job:nightly`."""
    savepoint_path: _Text | None = None
    """The savepoint it started from."""
    stop_with_savepoint: bool = False
    written_at: Instant


class FlinkSavepoint(Value):
    """A savepoint that was taken."""

    path: _Text
    run_key: Annotated[str, Field(max_length=63)]
    job_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    engine: Annotated[str, Field(max_length=128)]
    stopped: bool
    """Whether the run ended with it."""
    taken_at: Instant


def artifact_key(sha256: str) -> str:
    """Where an artifact is."""
    return f"artifacts/sha256/{sha256}"


def pins_folder(scope: str) -> str:
    """Where the pins of a scope are. A scope is `jobs/ID/VERSION`, or `tasks/ID` for work without a definition."""
    return f"artifacts/pins/{scope}"


def pin_number(key: str) -> int:
    """The number of a pin by its key; 0 for what is none."""
    text = key.rpartition("/")[2].removesuffix(".json")
    return int(text) if text.isascii() and text.isdigit() else 0


def pin_key(scope: str, number: int) -> str:
    return f"{pins_folder(scope)}/{number:06d}.json"


def pin_scope(target: str | None, version: int | None, step: str | None, task_id: UUID) -> str:
    """The scope of a task's pin: its definition's version, and its step there."""
    kind, _, id = (target or "").partition(":")
    if not id or version is None:
        return f"tasks/{task_id}"
    scope = f"{kind}s/{id}/{version}"
    return f"{scope}/{step}" if step else scope


def flink_run_key(engine: str, run_key: str) -> str:
    """Where the record of a run is."""
    return f"flink/{engine}/runs/{run_key}.json"


def savepoints_folder(target: str) -> str:
    """Where the savepoints of a definition's runs are: `target` is such as `job:nightly`."""
    return f"savepoints/{target.replace(':', '/')}"
