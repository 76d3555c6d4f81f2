"""Declared parameters, and the values a run brings for them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from signalbox_contracts.definitions.definition import ShortText
from signalbox_contracts.vocabulary import Value, parse_date

_PYTHON: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (str,),
    "json": (str, int, float, bool, list, dict, type(None)),
}

_ARTICLES: Final[Mapping[str, str]] = {
    "string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false",
    "date": "a date of the form 2026-03-31", "json": "any JSON value",
}  # fmt: skip


class InvalidParams(ValueError):
    """The values do not fit the declared parameters; one line per problem."""


class Param(Value):
    """One parameter: its type, and what it is when a run says nothing."""

    type: Literal["string", "integer", "number", "boolean", "date", "json"] = "string"
    default: JsonValue = None
    required: bool = False
    choices: Annotated[tuple[JsonValue, ...], Field(max_length=1000)] = ()
    description: ShortText = ""

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        shown = repr(value)[:100]
        if not self._fits(value):
            return f"{shown} is not allowed: {_ARTICLES[self.type]} is"
        if self.choices and value not in self.choices:
            return f"{shown} is not allowed: one of {', '.join(repr(choice)[:50] for choice in self.choices[:20])} is"
        return None

    def _fits(self, value: Any) -> bool:
        if isinstance(value, bool) and self.type not in ("boolean", "json"):
            return False  # Python's booleans are numbers, ours are not
        return isinstance(value, _PYTHON[self.type]) and (self.type != "date" or _is_date(value))

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        problem = None if self.default is None else self.problem(self.default)
        if problem:
            raise ValueError(f"default {problem}")
        return self


def bind(declared: Mapping[str, Param], given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The values a run works with: given ones over defaults. Raises `InvalidParams`, naming each problem."""
    bound = {name: given.get(name, param.default) for name, param in declared.items()}
    missing = [
        f"{name} is missing: {_ARTICLES[param.type]} is required"
        for name, param in declared.items()
        if param.required and bound[name] is None
    ]
    _refuse([*_misfits(declared, given), *missing])
    return bound


def check_given(declared: Mapping[str, Param], given: Mapping[str, JsonValue]) -> None:
    """Check values that go over others, which are not known here. Raises `InvalidParams`, naming each problem."""
    _refuse(_misfits(declared, given))


def _misfits(declared: Mapping[str, Param], given: Mapping[str, JsonValue]) -> list[str]:
    unknown = [name for name in given if name not in declared]
    allowed = f"{', '.join(declared) or 'none is'} allowed"
    problems = {name: param.problem(given[name]) for name, param in declared.items() if name in given}
    return [
        *(f"{name} is not a parameter: {allowed}" for name in unknown),
        *(f"{name}: {problem}" for name, problem in problems.items() if problem),
    ]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise InvalidParams("\n".join(problems))


def _is_date(text: Any) -> bool:
    try:
        parse_date(text)
    except ValueError:
        return False
    return True
