"""A job in the document's fields (`jarURL`, `entryClass`, `config`), and back. Pure.

The document's fields and ours name the same work. An answer has both forms, and may be sent back as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import JsonValue

from signalbox_contracts.definitions.problems import InvalidDefinition, Problem
from signalbox_contracts.definitions.work import FlinkWork, Work

FIELDS: Final[Mapping[str, str]] = {
    "jarURL": "jar_url",
    "jarSHA256": "jar_sha256",
    "entryClass": "entry_class",
    "config": "config",
    "arguments": "arguments",
    "parallelism": "parallelism",
    "flinkConfiguration": "flink_configuration",
    "savepointPath": "savepoint_path",
    "allowNonRestoredState": "allow_non_restored_state",
    "stopWithSavepoint": "stop_with_savepoint",
}
"""The document's fields, and those it would have if it had more, by their name in Flink work."""
READ_ONLY: Final = ("schedule", "status")
_DEFAULTS: Final = FlinkWork().model_dump(mode="json")


def from_document(written: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The definition of a job that may be written in the document's fields. Raises `InvalidDefinition`."""
    definition = {name: value for name, value in written.items() if name not in FIELDS and name not in READ_ONLY}
    fields = {name: written[name] for name in FIELDS if name in written}
    if not fields:
        return dict(written) if "work" not in written else definition
    work = written.get("work")
    if work is None:
        definition["work"] = {"kind": "flink", **{FIELDS[name]: _plain(name, fields[name]) for name in fields}}
        return definition
    if not isinstance(work, Mapping) or work.get("kind") != "flink":
        names = [name for name, value in fields.items() if value is not None]
        if names:
            allowed = "is a field of Flink jobs: this one has other work"
            raise InvalidDefinition(tuple(Problem(name, None, allowed) for name in names))
        return definition
    problems = tuple(
        Problem(name, repr(value)[:100], f"differs from work.{FIELDS[name]}: write one of them")
        for name, value in fields.items()
        if _plain(name, value) != work.get(FIELDS[name], _DEFAULTS[FIELDS[name]])
    )
    if problems:
        raise InvalidDefinition(problems)
    return definition


def to_document(work: Work, schedule: str | None = None) -> dict[str, Any]:
    """The document's fields of Flink work; null for other work."""
    values = work.model_dump(mode="json") if isinstance(work, FlinkWork) else {}
    return {**{name: values.get(field) for name, field in FIELDS.items()}, "schedule": schedule}


def _plain(name: str, value: JsonValue) -> JsonValue:
    """Values of a configuration as texts: the document's may be numbers and truth values."""
    if name not in ("config", "flinkConfiguration") or not isinstance(value, dict):
        return [] if value is None and name == "arguments" else value
    return {key: _text(part) for key, part in value.items()}


def _text(value: JsonValue) -> JsonValue:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
