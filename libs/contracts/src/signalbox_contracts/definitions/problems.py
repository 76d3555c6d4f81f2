"""Reading a definition that a person wrote: every problem names the field, the value and what is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from signalbox_contracts.definitions.secrets import secret_refs

_VALUE_CHARACTERS: Final = 100
_TYPES_WITH_VALUES: Final = frozenset({"value_error", "assertion_error", "union_tag_invalid"})
"""Kinds of pydantic's errors whose messages may repeat what was given."""
_MISFIT: Final = "does not fit its schema"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `value` is cut short, and absent where it could be a secret."""

    field: str
    value: str | None
    allowed: str

    def __str__(self) -> str:
        shown = f" {self.value}" if self.value is not None else ""
        return f"{self.field}{shown}: {self.allowed}"


class InvalidFields(ValueError):
    """What a model finds wrong between its fields. Each problem names its own field, below the model's place."""

    def __init__(self, found: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {allowed}" for field, allowed in found))
        self.found = tuple(found)


class InvalidDefinition(ValueError):
    """What was written is not a definition of this kind; `problems` has one entry per field."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def problems_in(error: ValidationError, *, values: bool = True) -> tuple[Problem, ...]:
    """The problems pydantic found, in the words of the API: field paths with dots, no library terms.

    Without `values` nothing that was given is in them: it may be secret.
    """
    errors = error.errors(include_url=False)
    problems: list[Problem] = []
    for found in errors:
        place, cause = found["loc"], found.get("ctx", {}).get("error")
        inner = any(other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in errors)
        if found["type"] == "too_short" and inner:
            continue  # pydantic counts only the entries that are valid
        if isinstance(cause, InvalidFields):
            problems += [
                Problem(_dotted((*place, field)), None, allowed if values else _MISFIT)
                for field, allowed in cause.found
            ]
            continue
        value = _shown_value(found["type"], found["input"], place) if values else None
        hidden = not values and found["type"] in _TYPES_WITH_VALUES
        problems.append(
            Problem(_dotted(place), value, _MISFIT if hidden else found["msg"].removeprefix("Value error, "))
        )
    return tuple(problems)


def read(kind: TypeAdapter[Any] | type[Any], written: Any) -> Any:
    """A definition as a person wrote it. Unlike on the wire, unknown fields are refused. Raises `InvalidDefinition`."""
    adapter: TypeAdapter[Any] = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    try:
        return adapter.validate_python(written, extra="forbid")
    except ValidationError as error:
        raise InvalidDefinition(problems_in(error)) from None


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in place) or "definition"


def _shown_value(type: str, value: Any, place: tuple[int | str, ...]) -> str | None:
    if type == "missing" or isinstance(value, dict | list | tuple):
        return None
    word = str(place[-1]).lower() if place else ""
    if any(part in word for part in ("password", "token", "secret", "key", "credential")) and not secret_refs(value):
        return None
    text = repr(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}…"
